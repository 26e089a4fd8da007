"""Text files as they are found, as UTF-8 without a byte order mark and with line ends of one kind.

A text stays bytes: as a Python string it would take up to four times the memory.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator

import numpy as np

from odyssey.data.types import Text
from odyssey.errors import UserError
from odyssey.text_encoding import encoding_name

CHUNK = 1 << 20  # bytes decoded at a time: large texts are checked without a copy of the whole
PIECE = 1 << 16  # bytes composed at a time, which takes several strings of them
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
CR, LF = 13, 10
SUGGESTED = "cp1252"  # the usual one of files that are neither UTF-8 nor UTF-16


def read_as_utf8(data: Text, name: str, encoding: str | None = None) -> tuple[Text, list[str]]:
    """The bytes of a text file as UTF-8, and what was done to them, a phrase each.

    name: what a message calls the file. encoding: a codec of Python's, `task.encoding`; None: found
    by the byte order mark, else UTF-8. Line ends CR LF and CR become LF. A file that is UTF-8 with
    LF is not copied.

    Raises UserError where the bytes are not of that encoding.
    """
    found, start = _encoding(data, name, encoding)
    data, notes = data[start:], []
    if found == "utf-8":
        _check_utf8(data, name, start, encoding)
    else:
        data = _recoded(data, name, found, start, encoding)
        notes.append(f"read as {found}")
    # In pieces, as the comparison of the whole takes as much memory as the text.
    if any(bool((data[at : at + CHUNK] == CR).any()) for at in range(0, len(data), CHUNK)):
        data, kind = _with_one_line_end(data)
        notes.append(f"line ends {kind} read as LF")
    return data, notes


def _encoding(data: Text, name: str, encoding: str | None) -> tuple[str, int]:
    """The name of the encoding, and how many bytes of the file are its mark."""
    head = data[:3].tobytes()
    for mark, marked in MARKS.items():
        if head.startswith(mark) and (
            encoding is None or encoding_name(encoding).startswith(marked[:6])
        ):
            return marked, len(mark)
    if encoding is None:
        return "utf-8", 0
    without_mark = {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}  # which are of most such files
    found = encoding_name(encoding)
    return without_mark.get(found, found), 0


def _check_utf8(data: Text, name: str, start: int, encoding: str | None) -> None:
    """Raise UserError where the bytes are not UTF-8. start: where in the file they begin."""
    if encoding is None and (other := _looks_like(data)):
        raise UserError(
            f"{name} has a zero in every other byte, as UTF-16 text has: type task.encoding={other}"
        )
    way_out = (
        f"type task.encoding={SUGGESTED}, or the encoding that it was written in"
        if encoding is None
        else "leave task.encoding out, or type the one that the file was written in"
    )
    view, at = data.data, 0
    while at < len(view):
        end = min(at + CHUNK, len(view))
        try:
            at += codecs.utf_8_decode(view[at:end], "strict", end == len(view))[1]
        except UnicodeDecodeError as error:
            at += error.start
            raise UserError(
                f"{name} is not UTF-8 text: byte {start + at} (0x{view[at]:02x}) cannot be "
                f"decoded; {way_out}"
            ) from None


def _looks_like(data: Text) -> str:
    """The kind of UTF-16 without a mark that the text seems to be; empty for others.

    Letters of ASCII have a zero byte in it, the second in the little-endian kind.
    """
    head = data[: 1 << 16]
    first, second = (np.count_nonzero(head[i::2] == 0) / max(len(head) // 2, 1) for i in (0, 1))
    if max(first, second) < 0.3 or min(first, second) > 0.05:
        return ""
    return "utf-16-le" if second > first else "utf-16-be"


def _recoded(data: Text, name: str, found: str, start: int, encoding: str | None) -> Text:
    decoder = codecs.getincrementaldecoder(found)()
    out, at = [], 0
    try:
        while at < len(data):
            end = min(at + CHUNK, len(data))
            out.append(decoder.decode(data[at:end].tobytes(), end == len(data)).encode())
            at = end
    except UnicodeError as error:
        where = start + at - len(decoder.getstate()[0]) + getattr(error, "start", 0)
        raise UserError(
            f"{name} is not {found} text: byte {where} cannot be decoded; "
            + (
                "mend the file, whose first bytes say that it is"
                if encoding is None
                else "leave task.encoding out, or type the one that the file was written in"
            )
        ) from None
    return np.frombuffer(b"".join(out), np.uint8)


def _with_one_line_end(data: Text) -> tuple[Text, str]:
    """The text with LF for CR LF and for CR, and what these were."""
    crs = data == CR
    pairs = crs[:-1] & (data[1:] == LF)
    both, alone = int(np.count_nonzero(pairs)), int(np.count_nonzero(crs))
    kinds = (["CR LF"] if both else []) + (["CR"] if alone > both else [])
    text = np.where(crs, np.uint8(LF), data)
    if both:
        keep = np.ones(len(data), bool)
        keep[:-1] = ~pairs
        text = text[keep]
    return text, " and ".join(kinds)


def bytes_as_text(data: Text) -> Text:
    """Any bytes as a text, in which byte b is the character of code point b."""
    high = data >= 128
    if not high.any():
        return data
    # Two bytes of UTF-8 for those above 127: 110000xx 10xxxxxx.
    starts = np.arange(len(data)) + np.cumsum(high) - high
    out = np.empty(len(data) + int(np.count_nonzero(high)), np.uint8)
    out[starts] = np.where(high, 0xC0 | data >> 6, data)
    out[starts[high] + 1] = 0x80 | data[high] & 0x3F
    return out


def is_composed(data: Text) -> bool:
    """Whether UTF-8 is in Unicode's form NFC: letters and their accents as one character."""
    return all(unicodedata.is_normalized("NFC", piece) for piece in _pieces(data))


def composed(data: Text) -> Text:
    """UTF-8 in Unicode's form NFC."""
    if is_composed(data):
        return data
    pieces = (unicodedata.normalize("NFC", piece).encode() for piece in _pieces(data))
    return np.frombuffer(b"".join(pieces), np.uint8)


def _pieces(data: Text) -> Iterator[str]:
    """The text in pieces that end with a line or a blank, which nothing is composed with."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")(), ""
    for at in range(0, len(data), PIECE):
        piece = rest + decoder.decode(data[at : at + PIECE].tobytes())
        cut = max(piece.rfind("\n"), piece.rfind(" ")) + 1
        yield piece[:cut]
        rest = piece[cut:]
    yield rest
