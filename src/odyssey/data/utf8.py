"""Text in files: read, checked to be UTF-8, and cut between characters."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import numpy as np

from odyssey.data.types import Text
from odyssey.errors import UserError

BOM = codecs.BOM_UTF8
CHUNK = 1 << 20  # bytes decoded at a time: large texts are checked without a copy of the whole


def read_bytes(path: str | os.PathLike[str], option: str = "task.path") -> Text:
    """The bytes of a file that is there and not empty, mapped into memory, not copied."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f"{option}={path} is a folder; name a text file")
    if not file.exists():
        raise UserError(f"{option}={path} does not exist; name a text file")
    if not file.is_file():  # a pipe cannot be mapped, and waits for ever for one who writes
        raise UserError(f"{option}={path} is a pipe or a device; save it as a file and name that")
    try:
        if file.stat().st_size == 0:
            raise UserError(f"{option}={path} is empty; name a file with text in it")
        return np.memmap(file, mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{option}={path} cannot be read ({reason}); name a text file") from None


def check(data: Text, name: str) -> Text:
    """`data` without a byte order mark, known to be UTF-8; `name` is its file in the message."""
    start = len(BOM) if data[: len(BOM)].tobytes() == BOM else 0
    view, at = data.data, start
    while at < len(view):
        end = min(at + CHUNK, len(view))
        try:
            at += codecs.utf_8_decode(view[at:end], "strict", end == len(view))[1]
        except UnicodeDecodeError as error:
            at += error.start
            hint = (
                ", which looks like UTF-16"
                if data[:2].tobytes() in (b"\xff\xfe", b"\xfe\xff")
                else ""
            )
            raise UserError(
                f"{name} is not UTF-8 text: byte {at} (0x{view[at]:02x}) cannot be decoded{hint}; "
                "save it as UTF-8"
            ) from None
    return data[start:]


def boundary(data: Text, at: int) -> int:
    """The first place from `at` on that is between two characters."""
    while at < len(data) and data[at] & 0xC0 == 0x80:  # 10xxxxxx goes on with a character
        at += 1
    return at


def characters(data: Text) -> int:
    """How many characters `data` has."""
    return int(np.count_nonzero((data & 0xC0) != 0x80))
