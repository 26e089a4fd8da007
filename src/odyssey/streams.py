"""Standard output and error that never end a run, and text that is safe to print there."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import select
import sys
from pathlib import Path
from typing import Any, TextIO

from odyssey.io import open_regular

# What stands for the letters of our own texts where an encoding lacks them; "?" for all others.
SUBSTITUTES = {"…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "·": "*", "±": "+-"}
SUBSTITUTES |= {"≤": "<=", "≥": ">=", "≈": "~", "→": "->", "█": "#", "“": '"', "”": '"', "’": "'"}
ERRORS = "odyssey.substitute"  # the name of that way to encode

# The characters that steer a terminal or turn text around: C0 but for tab and newline, DEL, C1,
# directional marks, embeddings, overrides and isolates, line and paragraph separators, the byte
# order mark; and halves of surrogate pairs, which stand for bytes that are no text.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean(text: str) -> str:
    r"""The text with control characters in escapes, as \x1b; tabs and newlines stay."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def clean_line(text: str) -> str:
    r"""As `clean`, with newlines and tabs in escapes too: for names."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(letter, "?") for letter in letters), error.end


codecs.register_error(ERRORS, _substitute)


class _Lasting(io.FileIO):
    """Writes to a descriptor; once that fails, whatever is written there goes nowhere.

    It fails where a reader has left (`| head -1`), or a disk is full.
    """

    def __init__(self, descriptor: int, own: bool = False) -> None:
        super().__init__(descriptor, "w", closefd=own)
        self.lost = False

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:  # a descriptor that does not wait
                select.select([], [self], [])
            return written
        except OSError:
            self.lost = True
            with contextlib.suppress(OSError):
                _to_nowhere(self.fileno())  # for what C libraries and child processes print
            return memoryview(data).nbytes


def _to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def lasting(descriptor: int, like: TextIO | None, *, own: bool = False) -> io.TextIOWrapper:
    """A text stream on a descriptor that raises nothing when it is written to.

    like: the stream whose encoding it has; None for UTF-8. own: whether closing it closes the
    descriptor. Letters that the encoding lacks are printed as others.
    """
    raw = _Lasting(descriptor, own)
    through = bool(getattr(like, "write_through", False))
    return io.TextIOWrapper(
        raw if through else io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors=ERRORS,
        line_buffering=like is None or bool(getattr(like, "line_buffering", False)),
        write_through=through,
    )


def prepare() -> None:
    """Let standard output and error be there, and be lasting ones. Does nothing the second time.

    A service may have none; the next files to be opened would be given their numbers, and be
    printed into. A stream that somebody has put in their place is left alone.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and type(_raw(stream)) is io.FileIO:
            lasts = lasting(stream.fileno(), stream)
            setattr(sys, name, lasts)
            setattr(sys, f"__{name}__", lasts)


def _raw(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def is_lost(stream: Any) -> bool:
    """Whether the reader of a lasting stream has left."""
    return bool(getattr(_raw(stream), "lost", False))


def mute(stream: TextIO) -> None:
    """Let further output to a stream go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # no descriptor: somebody reads it in memory
        _to_nowhere(stream.fileno())


def open_log(path: Path) -> io.TextIOWrapper:
    """A lasting stream to the end of a file, in UTF-8, a line at a time. Raises OSError.

    Several processes may write to one file, and the lines of none are lost.
    """
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    return lasting(descriptor, None, own=True)
