"""Sample from a run: `python scripts/sample.py RUN --prompt "def "`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("sample"))
