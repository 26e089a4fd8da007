"""Words of a text: split, counted, numbered and put together again, a piece at a time."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.vocabulary import UNKNOWN, Vocabulary

CHUNK = 1 << 20  # bytes read at a time
REMEMBERED = 200_000  # different words in memory while encoding
END = "<eos>"  # the end of a line, as in the Penn Treebank's language-model files

_WORDS = re.compile(rf"{UNKNOWN}|{END}|\w+(?:'\w+)*|[^\w\s]")
_words = lru_cache(maxsize=REMEMBERED // 4)(_WORDS.findall)  # most chunks come again and again
_NO_SPACE_BEFORE = set(".,;:!?)]}%…”’")
_NO_SPACE_AFTER = set("([{“‘")


class Tokenizer:
    """How a text becomes words.

    kind `whitespace`: split at blanks alone. kind `words`: letters, digits and apostrophes inside
    a word belong together, any other sign is a word by itself. `lower`: capitals are read as small
    letters. Each line break becomes `<eos>` where `lines` is set, and nothing elsewhere.
    """

    def __init__(self, kind: str, *, lower: bool = False, lines: bool = True) -> None:
        self.kind = kind
        self.lower = lower
        self.lines = lines

    def split(self, text: str) -> list[str]:
        """The words of a text, in order."""
        return [word for chunk in self._chunks(text) for word in self._parts(chunk)]

    def _chunks(self, text: str) -> list[str]:
        """What lies between blanks."""
        if self.lower:
            text = text.lower()
        return (text.replace("\n", f" {END} ") if self.lines else text).split()

    def _parts(self, chunk: str) -> list[str]:
        return [chunk] if self.kind == "whitespace" else _words(chunk)

    def join(self, word: str, before: str | None) -> str:
        """How `word` is printed after the word `before` (None: at the start of a text)."""
        if word == END:
            return "\n"
        if before is None or before == END:
            return word
        tight = word in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER
        return word if tight and self.kind == "words" else f" {word}"

    def count(self, text: NDArray[np.uint8]) -> Counter[str]:
        """How often each word is in UTF-8 bytes."""
        counts: Counter[str] = Counter()
        for piece in _pieces(text):
            for chunk, times in Counter(self._chunks(piece)).items():
                for word in self._parts(chunk):
                    counts[word] += times
        return counts

    def encode(self, text: NDArray[np.uint8], vocabulary: Vocabulary) -> NDArray[Any]:
        """The ids of the words of UTF-8 bytes, in the vocabulary's own small type."""
        known = _Known(self._parts, vocabulary)
        out = [np.empty(0, vocabulary.dtype)]
        for piece in _pieces(text):
            ids = chain.from_iterable(map(known.__getitem__, self._chunks(piece)))
            out.append(np.fromiter(ids, vocabulary.dtype))
            if len(known) > REMEMBERED:
                known.clear()
        return np.concatenate(out)


class _Known(dict[str, list[int]]):
    """The ids of each run of letters between blanks that was met; most come again and again."""

    def __init__(self, parts: Callable[[str], list[str]], vocabulary: Vocabulary) -> None:
        super().__init__()
        self.parts = parts
        self.vocabulary = vocabulary

    def __missing__(self, chunk: str) -> list[int]:
        ids = self[chunk] = self.vocabulary.encode(self.parts(chunk)).tolist()
        return ids


def _pieces(text: NDArray[np.uint8]) -> Iterator[str]:
    """The text in pieces of about CHUNK, cut only after a blank or a line break."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest: list[str] = []
    for at in range(0, len(text), CHUNK):
        piece = decoder.decode(text[at : at + CHUNK].tobytes())
        cut = max(piece.rfind(" "), piece.rfind("\n")) + 1
        if cut:
            yield "".join([*rest, piece[:cut]])
            rest = []
        rest.append(piece[cut:])
    yield "".join(rest)
