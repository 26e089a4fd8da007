"""Standard output whose reader may have gone, as `head` does once it has seen enough."""

from __future__ import annotations

import os
import sys


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
