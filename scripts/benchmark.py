"""Speed against torch: `python scripts/benchmark.py [part …]`; `--help` lists the parts."""

import sys

from odyssey.benchmark.main import main

if __name__ == "__main__":
    sys.exit(main())
