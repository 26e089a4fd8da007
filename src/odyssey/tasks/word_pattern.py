"""The pattern of words: Unicode's letters with their marks, scripts without blanks by character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

_JOINERS = "\u200c\u200d"  # zero width: they say how letters of a word are joined
_TONES = "\U0001f3fb-\U0001f3ff"  # of skin, after an emoji
APOSTROPHE = re.compile("(?<=\\w)\u2019(?=\\w)")  # the curved one inside a word
_MARKS = ((0x300, 0x1FFFF), (0xE0100, 0xE01EF))  # the ranges in which there are marks

# Scripts that are written without blanks between words: ranges of code points.
_WITHOUT_BLANKS = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x1000, 0x109F),  # Myanmar
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x303F),  # radicals and signs of Han
    (0x3041, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x1B000, 0x1B16F),
)
_HAN = "\\U00020000-\\U0003ffff"  # the rest of Han: no other character is there


@cache
def word_pattern(*first: str) -> re.Pattern[str]:
    """Matches the words of a text without blanks, one after another.

    A word is letters, digits and underscores with their marks and joiners, and apostrophes inside
    it; in scripts without blanks a letter with its marks; else a sign, of which an emoji may have
    several. first: texts that are words as they are.
    """
    marks = _ranges(_is_mark, _MARKS)
    alone = _scripts_without_blanks()
    after = f"[{marks}{_JOINERS}]*"
    letters = rf"(?:[^\W{alone}]{after})+"
    ways = [
        *map(re.escape, first),
        f"[{alone}]{after}",
        f"{letters}(?:'{letters})*",
        rf"[^\w\s](?:[{marks}{_TONES}]|\u200d[^\w\s])*",
    ]
    return re.compile("|".join(ways))


@cache
def _scripts_without_blanks() -> str:
    return _ranges(_is_letter, _WITHOUT_BLANKS) + _HAN


@cache
def _alone() -> re.Pattern[str]:
    return re.compile(f"[{_scripts_without_blanks()}]")


def without_blanks(word: str) -> bool:
    """Whether a word is of a script that has no blanks between words."""
    return not word.isascii() and _alone().match(word) is not None


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _is_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Lo", "Lm", "Nl")


def _ranges(wanted: Callable[[str], bool], within: Iterable[tuple[int, int]]) -> str:
    """The characters that are wanted, as the inside of a pattern's brackets."""
    found: list[list[int]] = []
    for start, end in within:
        for point in range(start, end + 1):
            if not wanted(chr(point)):
                continue
            if found and found[-1][1] == point - 1:
                found[-1][1] = point
            else:
                found.append([point, point])
    return "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in found)
