"""A study as a page: `python scripts/report.py outputs/<study>`; `--help` lists the options."""

import sys

from odyssey.report.main import main

if __name__ == "__main__":
    sys.exit(main())
