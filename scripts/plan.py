"""How many seeds a comparison needs: `python scripts/plan.py outputs/STUDY`."""

import sys

from odyssey.report.planning import main

if __name__ == "__main__":
    sys.exit(main())
