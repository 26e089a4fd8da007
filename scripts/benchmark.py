"""Speed against torch: `python scripts/benchmark.py [part …]`; `--help` lists the parts."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("benchmark"))
