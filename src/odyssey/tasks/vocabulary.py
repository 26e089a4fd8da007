"""Symbols (characters or words) and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import UserError

UNKNOWN = "<unk>"


class Vocabulary:
    """Each symbol's id is its place in `symbols`.

    unknown: the id of `<unk>`, which stands for all others; None where others are an error.
    start: the id that a text generated from nothing begins after.
    """

    def __init__(self, symbols: Sequence[str], *, unknown: bool = True, start: int = 0) -> None:
        self.symbols = tuple(symbols)
        self.ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.unknown = self.ids[UNKNOWN] if unknown else None
        self.start = start

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
        """From how often each symbol is in the training part, the commonest first.

        Symbols below `min_count`, and those beyond the `max_size` commonest, become `<unk>`, which
        has a place of its own even where it is never seen. Raises UserError if nothing is left.
        """
        kept = [s for s, n in counts.items() if n >= min_count and s != UNKNOWN]
        kept.sort(key=lambda symbol: (-counts[symbol], symbol))
        if unknown:
            kept = kept[: None if max_size is None else max_size - 1]
        if not kept:
            raise UserError(
                f"task.min_count={min_count} leaves no symbol: the commonest of the training part "
                f"is seen {max(counts.values(), default=0)} times; type a smaller task.min_count"
            )
        symbols = [*kept, UNKNOWN] if unknown else kept
        return cls(symbols, unknown=unknown, start=kept.index(start) if start in kept else 0)

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The smallest integer type for all ids and one more; uint16 is left out, as torch has
        few operations for it."""
        types: tuple[type[np.integer[Any]], ...] = (np.uint8, np.int16, np.int32)
        return next(np.dtype(t) for t in types if len(self) <= np.iinfo(t).max)

    @property
    def missing(self) -> int:
        """What an unseen symbol is encoded to: `unknown`, or else a number that is no id."""
        return len(self) if self.unknown is None else self.unknown

    def encode(self, symbols: Iterable[str]) -> NDArray[Any]:
        """Ids of symbols given one by one, unseen ones as `missing`."""
        get, missing = self.ids.get, self.missing
        return np.fromiter((get(symbol, missing) for symbol in symbols), self.dtype)

    def prompt(self, symbols: Sequence[str], name: str = "the prompt") -> list[int]:
        """Ids of what the user gave as `name`. Raises UserError with the symbols not known."""
        strange = list(dict.fromkeys(s for s in symbols if s not in self.ids or s == UNKNOWN))
        if strange:
            shown = ", ".join(repr(s) for s in strange[:10]) + (" …" if len(strange) > 10 else "")
            raise UserError(
                f"{name} has {shown}, which the model never learned: leave out what is not "
                f"among its {len(self)} symbols, such as {self.examples()}"
            )
        return [self.ids[s] for s in symbols]

    def examples(self) -> str:
        """A few known symbols for a message."""
        return ", ".join(repr(s) for s in self.symbols[:8] if s != UNKNOWN)

    def export(self) -> dict[str, Any]:
        """Plain values to rebuild it from."""
        known = self.unknown is not None
        return {"symbols": list(self.symbols), "unknown": known, "start": self.start}

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> Vocabulary:
        """What `export` gave, as an object again."""
        return cls(saved["symbols"], unknown=saved["unknown"], start=saved["start"])
