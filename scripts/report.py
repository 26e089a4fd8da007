"""A study as a page: `python scripts/report.py outputs/<study>`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("report"))
