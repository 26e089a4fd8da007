"""A study's W&B workspace view and report; `--help` lists the options."""

import sys

from odyssey.report.wandb_dashboard.main import main

if __name__ == "__main__":
    sys.exit(main())
