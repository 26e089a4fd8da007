"""The best settings of a search with fresh seeds: `python scripts/confirm.py outputs/<study>`."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("confirm"))
