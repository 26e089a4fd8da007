"""Characters of a long text: counted and numbered a piece at a time, by tables.

A text is UTF-8 bytes. It is never held as a Python string: that takes up to four times its size.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import UserError
from odyssey.tasks.vocabulary import Vocabulary

CHUNK = 1 << 20  # bytes in a piece: large against the cost of a call, small against the text
POINTS = 0x110000  # code points of Unicode


def code_points(text: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
    """The text's code points in order, some at a time; pure ASCII bytes are their own."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(text), CHUNK):
        piece = text[at : at + CHUNK]
        # A character cut off by the piece before goes on with a byte above 127.
        if piece.max() < 128:
            yield piece
        else:
            yield points_of(decoder.decode(piece.tobytes()))
    decoder.decode(b"", final=True)


def points_of(text: str) -> NDArray[np.uint32]:
    """The code points of a string."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def count(text: NDArray[np.uint8]) -> dict[str, int]:
    """How often each character is in the text."""
    total = np.zeros(POINTS, np.int64)
    for points in code_points(text):
        found = np.bincount(points)
        total[: len(found)] += found
    return {chr(i): int(total[i]) for i in np.flatnonzero(total)}


def table(vocabulary: Vocabulary) -> NDArray[Any]:
    """Code point -> id, or `missing`."""
    ids = np.full(POINTS, vocabulary.missing, vocabulary.dtype)
    for symbol, i in vocabulary.ids.items():
        if len(symbol) == 1:
            ids[ord(symbol)] = i
    return ids


def encode(text: NDArray[np.uint8], vocabulary: Vocabulary, part: str) -> NDArray[Any]:
    """The id of each character, in the vocabulary's own small type.

    Raises UserError naming the characters of this `part` (for the message) that are not in a
    vocabulary without `<unk>`.
    """
    ids = table(vocabulary)
    out = np.empty(_characters(text), vocabulary.dtype)
    at = 0
    strange: set[int] = set()
    for points in code_points(text):
        piece = out[at : at + len(points)]
        np.take(ids, points, out=piece, mode="clip")  # the mode that writes without a buffer
        at += len(points)
        if vocabulary.unknown is None and piece.max(initial=0) == vocabulary.missing:
            strange |= set(np.asarray(points)[piece == vocabulary.missing].tolist())
    if strange:
        shown = ", ".join(repr(chr(i)) for i in sorted(strange)[:10])
        raise UserError(
            f"the {part} part has {shown}{' …' if len(strange) > 10 else ''}, which the training "
            "part lacks: leave out task.unknown=false, or cut the text elsewhere with task.split"
        )
    return out


def _characters(text: NDArray[np.uint8]) -> int:
    """Bytes that begin a character."""
    pieces = (text[at : at + CHUNK] for at in range(0, len(text), CHUNK))
    return sum(int(np.count_nonzero((piece & 0xC0) != 0x80)) for piece in pieces)
