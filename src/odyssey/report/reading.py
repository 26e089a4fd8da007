"""Reading what a hand may have changed: plain bytes of plain files, values of the right kind."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("nan", "inf", "-inf")  # numbers that JSON has not, as run.json writes them
LARGEST = 2**53  # whole numbers beyond this are no counts, and no column of a table holds them


def read_bytes(file: Path) -> bytes:
    """What a plain file holds. Raises OSError where there is none."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe must not hold us
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{file} is not a plain file")
        return stream.read()


def number(value: Any) -> float:
    """A number of run.json; nan for what is none, such as true or a word."""
    if isinstance(value, str):
        return float(value) if value in NAMES else math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def whole(value: Any) -> int | None:
    """A whole number, or None; true is none."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        return None
    return value


def text(value: Any) -> str:
    """A text that can be written to a file; empty for None."""
    if value is None:
        return ""
    found = str(value)
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def table(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}
