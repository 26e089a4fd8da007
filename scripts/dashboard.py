"""A study's W&B workspace view and report; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("dashboard"))
