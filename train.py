"""Train: `python train.py cell=lstm task=charlm`; `--help` lists everything."""

import sys

from odyssey.cli import main

if __name__ == "__main__":
    sys.exit(main())
