"""Export a run: `python scripts/export.py RUN --to onnx`; `--help` lists the options."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("export"))
