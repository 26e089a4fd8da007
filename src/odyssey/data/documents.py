"""The documents of a text: where one ends, so that a model reads each from a state of zero."""

from __future__ import annotations

import re

import numpy as np

from odyssey.data.types import Text
from odyssey.errors import UserError

MARK = "\ufdd0"  # between documents: a code point that Unicode keeps free for such inner uses
_MARK = MARK.encode()


def mark_documents(
    text: Text, documents: str, *, of_bytes: bool = False, one: bool = False
) -> Text:
    """A text with MARK before, between and after its documents, in place of what separates them.

    documents: `lines`, where each line is one; `blank`, where blank lines are between them; else
    the separator itself, with the line ends around it. What is empty is no document.
    one: whether the text may be a single document. of_bytes: whether each character of the text
    stands for a byte, see `odyssey.data.text`.

    Raises UserError where the text has no separator, and `one` is false.
    """
    whole = text.tobytes()
    if _MARK in whole:
        raise UserError(
            f"task.documents={documents} marks where documents end by U+FDD0, which the text has: "
            "take that out of it"
        )
    between = _between(documents, of_bytes)
    if not one and re.search(between, whole.strip(b"\n")) is None:
        what = {"lines": "line end", "blank": "blank line"}.get(documents, "such separator")
        raise UserError(
            f"task.documents={documents}, and the text has no {what} between documents: type "
            'task.documents=lines, blank or "<what is between them>", or leave it out'
        )
    marked = re.sub(between, _MARK, whole)
    return np.frombuffer(_MARK + _trimmed(marked) + _MARK, np.uint8)


def last_document(text: str, documents: str) -> str:
    """What follows the last separator of a text: the beginning of a document."""
    return re.split(_between(documents, False), text.encode("utf-8", "replace"))[-1].decode()


def printed_separator(documents: str) -> str:
    """What separates documents, as it is written between them."""
    return {"lines": "\n", "blank": "\n\n"}.get(documents, f"\n{documents}\n")


def _between(documents: str, of_bytes: bool) -> bytes:
    """The pattern of what separates documents."""
    if documents == "lines":
        return rb"\n(?:[ \t]*\n)*"
    if documents == "blank":
        return rb"\n(?:[ \t]*\n)+"
    separator = documents.encode()
    if of_bytes:
        separator = separator.decode("latin-1").encode()
    return rb"\n*(?:" + re.escape(separator) + rb"\n*)+"


def _trimmed(marked: bytes) -> bytes:
    """Without marks and line ends at both ends."""
    while True:
        shorter = marked.strip(b"\n").removeprefix(_MARK).removesuffix(_MARK)
        if shorter == marked:
            return marked
        marked = shorter


def next_mark(text: Text, at: int) -> int:
    """Where the first MARK from byte `at` on begins; the length of the text where there is none."""
    found = text.tobytes().find(_MARK, at)
    return len(text) if found < 0 else found


def count_documents(text: Text) -> int:
    """The number of documents of a marked text."""
    return max(text.tobytes().count(_MARK) - 1, 0)
