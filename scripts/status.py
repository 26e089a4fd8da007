"""How a study stands: `python scripts/status.py outputs/<study>`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("status"))
