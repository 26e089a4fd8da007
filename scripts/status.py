"""How a study stands: `python scripts/status.py outputs/<study>`; `--help` lists the options."""

import sys

from odyssey.study.status import main

if __name__ == "__main__":
    sys.exit(main())
