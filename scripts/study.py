"""Drop runs of a study, rename it, or merge studies; `--help` lists the options."""

import sys

from odyssey.study.edit_main import main

if __name__ == "__main__":
    sys.exit(main())
