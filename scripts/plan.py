"""How many seeds a comparison needs: `python scripts/plan.py outputs/STUDY`."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("plan"))
