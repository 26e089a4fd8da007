"""How often the words of the report are wrong, by simulation."""

import sys

from odyssey.report.calibration.main import main

if __name__ == "__main__":
    sys.exit(main())
