"""Where a user's own modules are found."""

from __future__ import annotations

import sys
from pathlib import Path


def see_current_folder() -> None:
    """Let `cell._target_=my_cells.MyCell` find my_cells.py in the folder one starts from."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
