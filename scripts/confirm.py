"""The best settings of a search with fresh seeds: `python scripts/confirm.py outputs/<study>`."""

import sys

from odyssey.confirm import main

if __name__ == "__main__":
    sys.exit(main())
