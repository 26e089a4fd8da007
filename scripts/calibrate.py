"""How often the words of the report are wrong, by simulation."""

import sys

from odyssey.__main__ import start

if __name__ == "__main__":
    sys.exit(start("calibrate"))
