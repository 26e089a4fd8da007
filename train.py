"""Train: `python train.py cell=lstm task=charlm`; `--help` lists everything."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("train"))
