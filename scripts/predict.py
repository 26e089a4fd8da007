"""Predict from a run: `python scripts/predict.py RUN --text "…"`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("predict"))
