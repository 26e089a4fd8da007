"""Evaluate a run: `python scripts/evaluate.py RUN --data FILE`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("evaluate"))
