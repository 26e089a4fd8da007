"""Sample from a run: `python scripts/sample.py RUN --prompt "def "`; `--help` lists the options."""

import sys

from odyssey.training.sampling import main

if __name__ == "__main__":
    sys.exit(main())
