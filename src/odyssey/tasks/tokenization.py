"""From UTF-8 bytes to the ids of characters or words, and back.

A text is read a piece at a time and never held as a Python string, which takes up to four times its
size.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.data.documents import MARK
from odyssey.errors import UserError
from odyssey.tasks.word_pattern import APOSTROPHE, without_blanks, word_pattern

UNKNOWN = "<unk>"
END = "<eos>"  # the end of a line, as in the Penn Treebank's language-model files
CHUNK = 1 << 20  # bytes in a piece: large against the cost of a call, small against the text
POINTS = 0x110000  # code points of Unicode
REMEMBERED = 200_000  # different words in memory while encoding


class Vocabulary:
    """The symbols (characters or words) of a text; the id of each is its index in `symbols`.

    unknown: the id of `<unk>`, which stands for all others; None where others are an error.
    start: the id that a sample without a prompt begins after.
    """

    def __init__(self, symbols: Sequence[str], *, unknown: bool = True, start: int = 0) -> None:
        self.symbols = tuple(symbols)
        self.ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.unknown = self.ids[UNKNOWN] if unknown else None
        self.start = start
        self.shown: Callable[[str], str] = repr  # a symbol in a message

    @classmethod
    def build(
        cls,
        counts: Mapping[str, int],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        unknown: bool = True,
        start: str | None = None,
    ) -> Vocabulary:
        """The vocabulary of a training part in which each symbol occurs `counts[symbol]` times.

        The commonest symbol comes first. Symbols below `min_count`, and those beyond the `max_size`
        commonest, become `<unk>`, which has an id even where it never occurs; the mark
        between documents is kept in any case, where there are marks. `start` is the symbol
        for the attribute of that name. Raises UserError if no symbol is left.
        """
        kept = [s for s, n in counts.items() if n >= min_count and s not in (UNKNOWN, MARK)]
        kept.sort(key=lambda symbol: (-counts[symbol], symbol))
        ends = [MARK] if MARK in counts else []  # of documents: however rare
        if unknown:
            kept = kept[: None if max_size is None else max_size - 1 - len(ends)]
        if not kept:
            raise UserError(
                f"task.min_count={min_count} leaves no symbol: the commonest of the training part "
                f"is seen {max(counts.values(), default=0)} times; type a smaller task.min_count"
            )
        symbols = [*kept, *ends, *([UNKNOWN] if unknown else [])]
        return cls(symbols, unknown=unknown, start=symbols.index(start) if start in symbols else 0)

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The smallest integer type for all ids and one more.

        uint16 is left out, as torch has few operations for it.
        """
        types: tuple[type[np.integer[Any]], ...] = (np.uint8, np.int16, np.int32)
        return next(np.dtype(t) for t in types if len(self) <= np.iinfo(t).max)

    @property
    def missing(self) -> int:
        """What an unseen symbol is encoded as: `unknown`, or else a number that is no id."""
        return len(self) if self.unknown is None else self.unknown

    def encode(self, symbols: Iterable[str]) -> NDArray[Any]:
        """The ids of symbols (N), unseen ones as `missing`."""
        get, missing = self.ids.get, self.missing
        return np.fromiter((get(symbol, missing) for symbol in symbols), self.dtype)

    def prompt(self, symbols: Sequence[str], name: str = "the prompt") -> list[int]:
        """The ids of a text of the user's, called `name` in messages.

        Raises UserError if there are unknown symbols in it.
        """
        unseen = list(dict.fromkeys(s for s in symbols if s not in self.ids or s == UNKNOWN))
        if unseen:
            listed = ", ".join(map(self.shown, unseen[:10])) + (" …" if len(unseen) > 10 else "")
            raise UserError(
                f"{name} has {listed}, which the model never learned: leave out what is not "
                f"among its {len(self)} symbols, such as {self.examples()}"
            )
        return [self.ids[s] for s in symbols]

    def examples(self) -> str:
        """The first symbols, for a message."""
        return ", ".join(self.shown(s) for s in self.symbols[:8] if s not in (UNKNOWN, MARK))

    def export(self) -> dict[str, Any]:
        """Plain values for `restore`."""
        known = self.unknown is not None
        return {"symbols": list(self.symbols), "unknown": known, "start": self.start}

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary whose `export` returned `saved`."""
        return cls(saved["symbols"], unknown=saved["unknown"], start=saved["start"])


# -- characters ----------------------------------------------------------------------------------


def code_points(text: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
    """The code points of UTF-8 bytes in order, a piece at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(text), CHUNK):
        piece = text[at : at + CHUNK]
        # ASCII bytes are their own code points. A character cut off at the end of the piece before
        # continues with a byte above 127.
        if piece.max() < 128:
            yield piece
        else:
            decoded = decoder.decode(piece.tobytes())
            yield np.frombuffer(decoded.encode("utf-32-le", "surrogatepass"), np.uint32)
    decoder.decode(b"", final=True)


def count_characters(text: NDArray[np.uint8]) -> dict[str, int]:
    """How often each character occurs in UTF-8 bytes."""
    total = np.zeros(POINTS, np.int64)
    for points in code_points(text):
        found = np.bincount(points)
        total[: len(found)] += found
    return {chr(i): int(total[i]) for i in np.flatnonzero(total)}


def ids_by_code_point(vocabulary: Vocabulary) -> NDArray[Any]:
    """The id of each code point (POINTS), `missing` where there is none."""
    ids = np.full(POINTS, vocabulary.missing, vocabulary.dtype)
    for symbol, i in vocabulary.ids.items():
        if len(symbol) == 1:
            ids[ord(symbol)] = i
    return ids


def encode_characters(text: NDArray[np.uint8], vocabulary: Vocabulary, part: str) -> NDArray[Any]:
    """The id of each character of UTF-8 bytes, in the vocabulary's type.

    part: the name of this part of the data, for messages. Raises UserError if the vocabulary has no
    `<unk>` and the text has characters that are not in it.
    """
    ids = ids_by_code_point(vocabulary)
    out = np.empty(_length(text), vocabulary.dtype)
    at = 0
    unseen: set[int] = set()
    for points in code_points(text):
        piece = out[at : at + len(points)]
        np.take(ids, points, out=piece, mode="clip")  # the mode that writes without a buffer
        at += len(points)
        if vocabulary.unknown is None and piece.max(initial=0) == vocabulary.missing:
            unseen |= set(np.asarray(points)[piece == vocabulary.missing].tolist())
    if unseen:
        listed = ", ".join(vocabulary.shown(chr(i)) for i in sorted(unseen)[:10])
        raise UserError(
            f"the {part} part has {listed}{' …' if len(unseen) > 10 else ''}, which the training "
            "part lacks: leave out task.unknown=false, or cut the text elsewhere with task.split"
        )
    return out


def _length(text: NDArray[np.uint8]) -> int:
    """The number of characters: of bytes that begin one."""
    pieces = (text[at : at + CHUNK] for at in range(0, len(text), CHUNK))
    return sum(int(np.count_nonzero((piece & 0xC0) != 0x80)) for piece in pieces)


# -- words ---------------------------------------------------------------------------------------

_ASCII_WORDS = re.compile(rf"{UNKNOWN}|{END}|\w+(?:'\w+)*|[^\w\s]")


@lru_cache(maxsize=REMEMBERED // 4)  # most chunks come again and again
def _words(chunk: str) -> list[str]:
    """The words of a stretch between blanks. For ASCII the short pattern says the same."""
    if chunk.isascii():
        return _ASCII_WORDS.findall(chunk)
    return word_pattern(UNKNOWN, END).findall(APOSTROPHE.sub("'", chunk))


_NO_SPACE_BEFORE = set(".,;:!?)]}%…”’。、，．；：！？）」』】》।॥")
_NO_SPACE_AFTER = set("([{“‘（「『【《")


class Tokenizer:
    """Splits a text into words, and joins them again.

    kind `whitespace`: split at blanks alone. kind `words`: letters with their marks, digits and
    apostrophes (' or ’, which is read as ') inside a word belong together, any other sign is a word
    by itself, and so is each letter of a script without blanks, such as Han and Thai. `lower`:
    capitals are read as small letters. With `lines` each line break becomes the word `<eos>`; else
    it only separates words. The text is read in Unicode's form NFC.
    """

    def __init__(self, kind: str, *, lower: bool = False, lines: bool = True) -> None:
        self.kind = kind
        self.lower = lower
        self.lines = lines

    def split(self, text: str) -> list[str]:
        """The words of a text, in order."""
        return [word for chunk in self._chunks(text) for word in self._parts(chunk)]

    def _chunks(self, text: str) -> list[str]:
        """The stretches between blanks."""
        if self.lower:
            text = text.lower()
        if not text.isascii():
            text = unicodedata.normalize("NFC", text).replace(MARK, f" {MARK} ")
        return (text.replace("\n", f" {END} ") if self.lines else text).split()

    def _parts(self, chunk: str) -> list[str]:
        return [chunk] if self.kind == "whitespace" else _words(chunk)

    def join(self, word: str, before: str | None) -> str:
        """`word` as it is printed after the word `before` (None: at the start of a text)."""
        if word == END:
            return "\n"
        if before is None or before in (END, MARK):
            return word
        tight = (
            word in _NO_SPACE_BEFORE
            or before in _NO_SPACE_AFTER
            or (without_blanks(word) and without_blanks(before))
        )
        return word if tight and self.kind == "words" else f" {word}"

    def count(self, text: NDArray[np.uint8]) -> Counter[str]:
        """How often each word occurs in UTF-8 bytes."""
        counts: Counter[str] = Counter()
        for piece in _pieces(text):
            for chunk, times in Counter(self._chunks(piece)).items():
                for word in self._parts(chunk):
                    counts[word] += times
        return counts

    def encode(self, text: NDArray[np.uint8], vocabulary: Vocabulary) -> NDArray[Any]:
        """The ids of the words of UTF-8 bytes, in the vocabulary's type."""
        known = _ChunkIds(self._parts, vocabulary)
        out = [np.empty(0, vocabulary.dtype)]
        for piece in _pieces(text):
            ids = chain.from_iterable(map(known.__getitem__, self._chunks(piece)))
            out.append(np.fromiter(ids, vocabulary.dtype))
            if len(known) > REMEMBERED:
                known.clear()
        return np.concatenate(out)


class _ChunkIds(dict[str, list[int]]):
    """Stretch between blanks -> the ids of its words; most stretches come again and again."""

    def __init__(self, parts: Callable[[str], list[str]], vocabulary: Vocabulary) -> None:
        super().__init__()
        self.parts = parts
        self.vocabulary = vocabulary

    def __missing__(self, chunk: str) -> list[int]:
        ids = self[chunk] = self.vocabulary.encode(self.parts(chunk)).tolist()
        return ids


def _pieces(text: NDArray[np.uint8]) -> Iterator[str]:
    """The text in pieces of about CHUNK bytes, cut only after a blank or a line break."""
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
