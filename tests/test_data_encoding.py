"""Files in other encodings and with other line ends, against Python's own decoding."""

from __future__ import annotations

import codecs
import random
import re
import unicodedata

import numpy as np
import pytest

from odyssey.data.encoding import CHUNK, composed, is_composed, read_as_utf8
from odyssey.errors import UserError
from odyssey.text_encoding import check_encoding

LETTERS = "abc xyz,.'\n"
ENCODINGS = {  # what is typed -> letters that it has
    "utf-8": "ä€漢😀é",
    "utf-8-sig": "ä€漢😀é",
    "utf-16": "ä€漢😀é",
    "utf-16-be": "ä€漢😀é",
    "cp1252": "ä€“”é",
    "latin-1": "äéñ",
    "shift_jis": "漢字かな",
    "gb18030": "漢字€😀",
}


def array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def draw(letters: str, size: int) -> str:
    ends = random.sample(["\n", "\r\n", "\r"], random.randint(1, 3))
    text = "".join(random.choices(LETTERS + letters, k=size))
    return re.sub("\n", lambda _: random.choice(ends), text)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [0, 1, 2, 999, CHUNK + 3])
def test_a_text_is_what_python_decodes_with_one_line_end(encoding: str, size: int) -> None:
    text = draw(ENCODINGS[encoding], size)
    got, notes = read_as_utf8(array(text.encode(encoding)), "t.txt", encoding)
    assert got.tobytes().decode() == text.replace("\r\n", "\n").replace("\r", "\n")
    said = " ".join(notes)
    assert ("CR LF" in said) == ("\r\n" in text)
    assert ("CR read" in said) == ("\r" in text.replace("\r\n", ""))


@pytest.mark.parametrize("size", [30, CHUNK // 2, CHUNK + 7])
@pytest.mark.parametrize("blanks", [" \n", ""])
def test_accents_are_joined_to_their_letters(size: int, blanks: str) -> None:
    letters = ["e", "o", "i", "क", "가", "\u0301", "\u0308", "\u0323", "é", "ड", "\u093c", "ᄀ", "ᅡ"]
    text = "".join(random.choices([*letters, *blanks], k=size))
    content = array(text.encode())
    got = composed(content)
    assert got.tobytes().decode() == unicodedata.normalize("NFC", text)
    assert is_composed(content) == (got.tobytes() == text.encode())
    assert is_composed(got) and np.shares_memory(composed(got), got)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_the_mark_says_what_it_is(mark: bytes, encoding: str) -> None:
    text = draw("ä€漢😀", 300).replace("\r", "")
    got, notes = read_as_utf8(array(mark + text.encode(encoding)), "t.txt")
    assert got.tobytes().decode() == text
    assert notes == ([] if encoding == "utf-8" else [f"read as {encoding}"])


def test_plain_text_is_not_copied() -> None:
    content = array(b"\xef\xbb\xbfone\ntwo\n")
    got, notes = read_as_utf8(content, "t.txt")
    assert np.shares_memory(got, content)
    assert (got.tobytes(), notes) == (b"one\ntwo\n", [])


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        ("müde ".encode("cp1252") * 9, None, "t.txt is not UTF-8 text: byte 1 (0xfc) cannot be"),
        ("müde ".encode("cp1252") * 9, None, "type task.encoding=cp1252"),
        (b"\xef\xbb\xbf" + b"a\xff", None, "byte 4 (0xff)"),
        ("abc\n".encode("utf-16-le") * 9, None, "type task.encoding=utf-16-le"),
        ("abc\n".encode("utf-16-be") * 9, None, "type task.encoding=utf-16-be"),
        (b"\xff\xfea", None, "t.txt is not utf-16-le text: byte 2 cannot be decoded; mend"),
        (b"x" * CHUNK + b"\x81", "cp1252", f"t.txt is not cp1252 text: byte {CHUNK} cannot"),
        (b"a\xff", "utf-8", "leave task.encoding out"),
        (b"a", "klingon", "task.encoding=klingon is not an encoding that Python knows"),
        (b"a", "base64", "task.encoding=base64 is not an encoding"),
        (b"a", "", "task.encoding= is not an encoding"),
    ],
)
def test_what_cannot_be_decoded_is_a_sentence(
    content: bytes, encoding: str | None, words: str
) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        read_as_utf8(array(content), "t.txt", encoding)


def test_encodings_are_checked_before_any_file() -> None:
    assert check_encoding(None) == check_encoding("cp1252") == check_encoding("UTF8") == []
    (told,) = check_encoding("klingon")
    assert "task.encoding=klingon" in told
