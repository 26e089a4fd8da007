"""How well importance is estimated: functions with known shares, trials drawn from them, coverage.

Each function has four settings, uniform from 0 to 1, the last of which does nothing. Its shares of
variance are integrated on a grid. Trials are drawn at random with normal noise, decomposed as the
report does it, and the estimates and intervals compared with the shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats
from odyssey.report.fanova.decomposition import Decomposition, decompose
from odyssey.report.stats.samples import Interval

NAMES = ("lr", "H", "momentum", "noise")  # of the settings
TRIALS = (50, 200)
GRID = 30  # cells along each setting; the jumps of `cliff` are at edges of cells
ALIKE = 0.01  # true shares that differ by less have no order
Share = tuple[int, ...]  # positions of the settings of a main effect or an interaction


@dataclass(frozen=True)
class Known:
    """A function of coordinates (points, 4), and the standard deviation of a trial's noise.

    watched: the shares whose estimates are reported.
    """

    name: str
    function: Callable[[Floats], Floats]
    noise: float
    watched: tuple[Share, ...]


def additive(u: Floats) -> Floats:
    """Three settings, each with a straight line."""
    return u[:, 0] + 0.6 * u[:, 1] + 0.3 * u[:, 2]


def product(u: Floats) -> Floats:
    """Two settings that matter together and hardly alone."""
    return (u[:, 0] - 0.56) * (u[:, 1] - 0.56)


def valley(u: Floats) -> Floats:
    """A loss with the best learning rate inside the range, where it depends on the size."""
    return 3 * (u[:, 0] - 0.45 - 0.256 * (u[:, 1] - 0.5)) ** 2


def strong(u: Floats) -> Floats:
    """A main effect, and an interaction as large."""
    return u[:, 0] + math.sqrt(12) * (u[:, 0] - 0.5) * (u[:, 1] - 0.5)


def cliff(u: Floats) -> Floats:
    """Jumps, which polynomials do not follow: above a learning rate all is lost."""
    below = 0.2 * u[:, 0] + 0.3 * (u[:, 1] > 0.5)
    return np.where(u[:, 0] > 0.7, 1.0, below)


KNOWN = (
    Known("additive", additive, 0.1, ((1,), (2,))),
    Known("product", product, 0.03, ((0, 1),)),
    Known("valley", valley, 0.072, ((0,), (0, 1))),
    Known("strong", strong, 0.12, ((0, 1),)),
    Known("cliff", cliff, 0.1, ((0,), (0, 1))),
)


@dataclass(frozen=True)
class ImportanceRow:
    """One share of one function, estimated from studies of `trials` trials.

    share: as `lr` or `lr x H`. true: from 0 to 1. mean: of the estimates. coverage: share of the
    printed 95% intervals that hold the true share. width: mean, of the intervals. printed: share of
    the studies with an interval. told: share of them with bars in the figure. order: share of the
    printed studies with the main effects in the right order. studies: how many were simulated.
    """

    function: str
    share: str
    trials: int
    true: float
    mean: float
    coverage: float
    width: float
    printed: float
    told: float
    order: float
    studies: int


@cache
def true_shares(function: Callable[[Floats], Floats]) -> dict[Share, float]:
    """Shares of the main effects and of the interactions of two settings, by grid integration."""
    size = len(NAMES)
    middle = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(*[middle] * size, indexing="ij"), axis=-1)
    values = function(points.reshape(-1, size)).reshape((GRID,) * size)
    total = float(values.var())

    def closed(kept: Share) -> float:
        others = tuple(j for j in range(size) if j not in kept)
        return float(values.mean(axis=others).var()) / total

    found: dict[Share, float] = {(a,): closed((a,)) for a in range(size)}
    pairs: dict[Share, float] = {
        (a, b): max(0.0, closed((a, b)) - found[a,] - found[b,])
        for a, b in combinations(range(size), 2)
    }
    return {**found, **pairs}


def simulate(known: Known, trials: int, seed: int, trees: int = 64) -> Decomposition:
    """The decomposition of one simulated study."""
    rng = np.random.default_rng([seed, trials, KNOWN.index(known)])
    unit = rng.random((trials, len(NAMES)))
    outcome = known.function(unit) + known.noise * rng.standard_normal(trials)
    axes = [Axis(name, "linear", 0.0, 1.0) for name in NAMES]
    points = [dict(zip(NAMES, row, strict=True)) for row in unit.tolist()]
    return decompose(axes, points, outcome.tolist(), trees=trees, seed=seed % 2**32)


def importance_rows(
    studies: int, seed: int, tell: Callable[[str], None] | None = None
) -> list[ImportanceRow]:
    """Simulate studies of every function with 50 and with 200 trials.

    studies: of each function and number of trials; the standard error of a coverage of 0.95 is
        0.22 / sqrt(studies).
    tell: called with what has been done.
    """
    rows = []
    for known in KNOWN:
        for trials in TRIALS:
            found = [simulate(known, trials, seed + i) for i in range(studies)]
            rows += [_row(known, share, trials, found) for share in known.watched]
            if tell:
                tell(f"importance: {known.name}, {trials} trials")
    return rows


def _row(known: Known, share: Share, trials: int, found: list[Decomposition]) -> ImportanceRow:
    true = true_shares(known.function)
    printed = [d for d in found if math.isfinite(d.rest.value)]
    intervals = [_interval(d, share) for d in printed]
    held = [i.low <= true[share] <= i.high for i in intervals]
    return ImportanceRow(
        function=known.name,
        share=" x ".join(NAMES[j] for j in share),
        trials=trials,
        true=true[share],
        mean=_mean([i.value for i in intervals]),
        coverage=_mean(held),
        width=_mean([i.high - i.low for i in intervals]),
        printed=len(printed) / len(found),
        told=sum(d.told for d in found) / len(found),
        order=_mean([order_right(d, true) for d in printed]),
        studies=len(found),
    )


def _interval(found: Decomposition, share: Share) -> Interval:
    names = [NAMES[j] for j in share]
    return found.singles[names[0]] if len(names) == 1 else found.pairs[names[0], names[1]]


def order_right(found: Decomposition, true: dict[Share, float]) -> bool:
    """Whether main effects whose true shares differ by 0.01 or more are in the right order."""
    for a, b in combinations(range(len(NAMES)), 2):
        difference = true[a,] - true[b,]
        estimated = found.singles[NAMES[a]].value - found.singles[NAMES[b]].value
        if abs(difference) >= ALIKE and difference * estimated <= 0:
            return False
    return True


def _mean(values: list[float] | list[bool]) -> float:
    return float(np.mean(values)) if values else math.nan
