"""Simulated tables of crossed factors whose components of variance are known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from odyssey.report.calibration.rates import Rate
from odyssey.report.stats.components import REST, Budget, budget

FACTORS = ("weights", "order", "split")


@dataclass(frozen=True)
class Crossed:
    """Tables of one kind."""

    shape: tuple[int, ...]  # levels of each factor
    parts: tuple[float, ...]  # standard deviations of their effects, and of the rest
    lost: float = 0.0  # share of the runs
    variants: int = 1  # whose effects are independent, with seeds of their own

    @property
    def name(self) -> str:
        more = [f"{self.lost:.0%} lost"] if self.lost else []
        more += [f"{self.variants} variants"] if self.variants > 1 else []
        parts = " ".join(f"{part:g}" for part in self.parts)
        return ", ".join([" x ".join(map(str, self.shape)), f"sd {parts}", *more])

    @property
    def truth(self) -> dict[str, float]:
        """The shares."""
        squares = [part**2 for part in self.parts]
        names = (*FACTORS[: len(self.shape)], REST)
        return {n: s / sum(squares) for n, s in zip(names, squares, strict=True)}

    def draw(self, random: np.random.Generator) -> Budget | None:
        """The budget of one study."""
        levels = np.indices(self.shape).reshape(len(self.shape), -1).T
        tables = []
        for _ in range(self.variants):
            values = self.parts[-1] * random.normal(size=len(levels))
            for k, count in enumerate(self.shape):
                values += self.parts[k] * random.normal(size=count)[levels[:, k]]
            kept = random.random(len(levels)) >= self.lost
            tables.append((values[kept], levels[kept]))
        factors = FACTORS[: len(self.shape)]
        seed = int(random.integers(2**31))
        return budget(tables, factors, same_seeds=self.variants == 1, seed=seed)


BALANCED = [
    Crossed(shape, parts)
    for shape in ((3, 3), (5, 5), (10, 10), (3, 10))
    for parts in ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.0, 0.0, 1.0))
]
KNOWN: Sequence[Crossed] = (
    *BALANCED,
    Crossed((3, 3, 3), (1.0, 1.0, 1.0, 1.0)),
    replace(BALANCED[4], lost=0.15),
    replace(BALANCED[4], variants=4),
)


@dataclass(frozen=True)
class Mean(Rate):
    """The mean of estimates, with its Monte-Carlo error; `hits` is their sum."""

    deviation: float = math.nan

    @property
    def error(self) -> float:
        return self.deviation / math.sqrt(self.studies) if self.studies else math.nan


def variance_rows(known: Crossed, studies: int, seed: int) -> Iterator[tuple[str, dict[str, Rate]]]:
    """For each component its name, the mean of its estimates, and how often its interval held."""
    random = np.random.default_rng([seed, *known.name.encode()])
    found = [b for _ in range(studies) if (b := known.draw(random)) is not None]
    for name, true in known.truth.items():
        shares = [b.shares[name] for b in found]
        values = np.array([share.value for share in shares])
        held = sum(share.low <= true <= share.high for share in shares)
        rates = {
            "estimate": Mean(float(values.sum()), len(found), float(values.std())),
            "interval holds": Rate(held, len(found)),
        }
        yield f"{known.name}: {name}, true {true:.2f}", rates
