"""What the scripts' commands share: sentences for mistakes, and exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from odyssey.errors import UserError


def show(text: str) -> None:
    """Print, or do without where nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute()


def mute() -> None:
    """Let further output go nowhere; Python would complain once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def open_closed() -> None:
    """Let there be a standard output and error, of which a service may have none.

    The next files to be opened would be given their numbers, and be printed into.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


class Parser(argparse.ArgumentParser):
    """Raises UserError for a mistake, one sentence, as everywhere in Odyssey."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def exit_status(action: Callable[[], None], on_error: int = 2) -> int:
    """Do it: 0; `on_error` after its error's sentences; 130 on Ctrl-C; 0 if its reader has gone."""
    try:
        action()
        return 0
    except UserError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        return on_error
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        mute()
        return 0


def see_current_folder() -> None:
    """Let `cell._target_=my_cells.MyCell` find my_cells.py in the folder one starts from."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
