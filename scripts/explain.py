"""What the compiled backend makes of a cell: `python scripts/explain.py cell=mut1`."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("explain"))
