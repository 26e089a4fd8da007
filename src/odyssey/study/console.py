"""What a run prints, kept in a file instead of on the terminal of the study."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STANDARD = (1, 2)  # the file descriptors of standard output and standard error


@contextmanager
def console_into(path: Path) -> Iterator[None]:
    """Add all that this process prints to the end of `path`.

    The descriptors too, and not only Python's streams: what C libraries and child processes print
    goes there as well. Whoever wants to reach the terminal meanwhile needs a duplicate of its
    descriptor, made before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # "a": several processes may write to one file, and the lines of none are lost.
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        _flush()
        streams = sys.stdout, sys.stderr
        before = {number: _duplicate(number) for number in STANDARD}
        try:
            for number in STANDARD:
                os.dup2(log.fileno(), number)
            sys.stdout = sys.stderr = log
            yield
        finally:
            sys.stdout, sys.stderr = streams
            _flush()
            for number, copy in before.items():
                if copy is None:
                    os.close(number)
                else:
                    os.dup2(copy, number)
                    os.close(copy)


def _duplicate(number: int) -> int | None:
    """None where the descriptor is closed, as in a service without a console."""
    try:
        return os.dup(number)
    except OSError:
        return None


def _flush() -> None:
    """Let what was printed so far go where it was meant to."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed, or something that is no file
            stream.flush()
    with contextlib.suppress(Exception):  # of the C library's own streams
        ctypes.CDLL(None).fflush(None)
