"""What the compiled backend makes of a cell: `python scripts/explain.py cell=mut1`."""

import sys

from odyssey.recurrence.compiled.explain import main

if __name__ == "__main__":
    sys.exit(main())
