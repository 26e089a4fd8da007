"""Who is at a study: sessions that run it share it, and whoever edits it has it alone.

The lock ends with its process, however that ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from odyssey.errors import UserError

SESSION_FILE = ".session.lock"  # in the folder of a study


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """A session that runs the study, beside others that do. Raises UserError where it is edited."""
    with _held(folder, alone=False) as held:
        if not held:
            raise UserError(
                f"{folder} is being edited by another process (drop, rename or merge): wait for it"
            )
        yield


@contextmanager
def editing(folder: Path) -> Iterator[None]:
    """A process that edits the study. Raises UserError where it is run, or edited by another."""
    with _held(folder, alone=True) as held:
        if not held:
            raise UserError(
                f"{folder} is in use by another process: wait for its command, or end it (Ctrl-C)"
            )
        yield


@contextmanager
def _held(folder: Path, alone: bool) -> Iterator[bool]:
    """Whether the lock could be had; a file system without locks has no say."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    try:
        handle = os.open(folder / SESSION_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield True
        return
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
    finally:
        os.close(handle)
