"""The effects of a grid's factors, and which word each allows: pure functions of arrays.

`decide_effects` is what the page, the tables and verdict.json take their words from, and what
`scripts/calibrate.py factors` calls on simulated grids to measure how often a word is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from odyssey.report.analysis.decisions import (
    BETTER,
    CANNOT_TELL,
    NO_DIFFERENCE,
    POWER,
    SAME,
    WORSE,
    Sample,
)
from odyssey.report.analysis.grids import Grid
from odyssey.report.analysis.options import Options
from odyssey.report.stats.contrasts import (
    Contrasts,
    cell_weights,
    contrasts_of_blocks,
    contrasts_of_samples,
    level_contrasts,
    trend_contrast,
)
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.tests import holm, holm_factors

MAIN, SIMPLE, INTERACTION = "main", "within", "interaction"  # families, each corrected by itself
DEPENDS, NO_INTERACTION = "depends", "no interaction found"  # words of an interaction
DOUBLING = "each doubling"  # in place of a level: the slope by log2 of the levels' values
NAN = math.nan


@dataclass(frozen=True)
class Effect:
    """One contrast of a grid's cells, and what may be said of it.

    Of a main effect it is a level minus the reference level, averaged over all other factors; of a
    simple effect the same at one level of each other factor; of an interaction the difference of
    such differences between two levels of a second factor, averaged over any third.
    """

    family: str  # MAIN, SIMPLE or INTERACTION
    factors: tuple[int, ...]  # places in the grid: one, or the two of an interaction
    levels: tuple[str, ...]  # of each: a level that is not the reference, or DOUBLING
    at: tuple[str, ...] = ()  # of a simple effect, the level of each other factor, in their order
    conclusion: str = ""
    difference: Interval = Interval(NAN, NAN, NAN)  # its limits hold for the whole family at once
    p: float = NAN  # uncorrected
    holm_p: float = NAN
    equivalence_holm_p: float = NAN
    n: int = 0  # seeds that have all values; without shared seeds, values of the smallest cell
    dropped: int = 0  # seeds that lack one
    detectable: float = NAN  # what this grid finds in four of five studies
    needed: int | None = None  # seeds without which nothing can be told
    reason: str = ""  # why nothing can be told
    far_out: bool = False  # whether the value of one seed lies far from the others'

    @property
    def trend(self) -> bool:
        """Whether it is of a doubling, and not of two levels."""
        return DOUBLING in self.levels


@dataclass(frozen=True)
class Factors:
    """The analysis of a grid. effects: none where `why` says that none could be had."""

    grid: Grid
    effects: Sequence[Effect] = ()
    paired: bool = False  # whether seeds are blocks
    alpha: float = 0.05  # of each family
    margin: float | None = None  # of equivalence
    why: str = ""
    preliminary: str = ""  # why the words may not be the last ones
    exploratory: str = ""  # what of them was chosen after the data

    def of(self, family: str, *factors: int) -> list[Effect]:
        """The effects of a family, or those of it of one factor or of a pair."""
        found = [e for e in self.effects if e.family == family]
        return [e for e in found if not factors or e.factors == factors]


def decide_effects(
    grid: Grid, samples: Mapping[str, Sample], paired: bool, better: str, options: Options
) -> list[Effect]:
    """Main effects, simple effects and interactions of a grid of repeated seeds.

    samples: by the labels of the grid's cells. paired: whether runs of one key are a block. Seeds
    are blocks: each gives one value of a contrast, and Student's t is made of those, so that no
    variances are pooled and no sphericity is assumed. Without shared seeds it is Welch's t of the
    contrast. Each family is corrected by itself after Holm, over all its contrasts of all factors.
    """
    table = _table([samples[label] for label in grid.cells])
    found: list[Effect] = []
    for asked, weights in (_main(grid), _simple(grid), _interactions(grid)):
        if paired:
            tests = contrasts_of_blocks(table, weights)
        else:
            tests = contrasts_of_samples([samples[label].test for label in grid.cells], weights)
        found += _decide(grid, samples, asked, weights, tests, len(table), paired, better, options)
    return found


def _table(cells: Sequence[Sample]) -> np.ndarray:
    """The values by key and cell, (keys, cells); nan where a cell has no run of a key."""
    keys = list(dict.fromkeys(key for sample in cells for key in sample.keys))
    row = {key: i for i, key in enumerate(keys)}
    table = np.full((len(keys), len(cells)), NAN)
    for column, sample in enumerate(cells):
        for key, value in zip(sample.keys, sample.test, strict=True):
            table[row[key], column] = value
    return table


# --- which contrasts ---

Family = tuple[list[Effect], np.ndarray]  # contrasts without numbers, and weights (m, cells)


def _rows(grid: Grid, place: int, trend: bool = True) -> list[tuple[str, np.ndarray]]:
    """The contrasts of a factor's levels by their names, with the trend last, if there is one."""
    factor = grid.factors[place]
    names = [factor.levels[i] for i in factor.others]
    found = list(zip(names, level_contrasts(len(factor.levels), factor.reference), strict=True))
    slope = trend_contrast(factor.numbers) if factor.numbers and trend else None
    return found if slope is None else [*found, (DOUBLING, slope)]


def _means(grid: Grid) -> list[np.ndarray]:
    """A row for each factor that averages over its levels."""
    return [np.full(len(f.levels), 1 / len(f.levels)) for f in grid.factors]


def _main(grid: Grid) -> Family:
    asked, weights = [], []
    for i in range(len(grid.factors)):
        for name, row in _rows(grid, i):
            asked.append(Effect(MAIN, (i,), (name,)))
            weights.append(cell_weights([row if j == i else m for j, m in enumerate(_means(grid))]))
    return asked, np.array(weights)


def _simple(grid: Grid) -> Family:
    asked, weights = [], []
    for i in range(len(grid.factors)):
        others = [f for j, f in enumerate(grid.factors) if j != i]
        for places in product(*(range(len(f.levels)) for f in others)):
            chosen = [np.eye(len(f.levels))[place] for f, place in zip(others, places, strict=True)]
            at = tuple(f.levels[place] for f, place in zip(others, places, strict=True))
            for name, row in _rows(grid, i, trend=False):
                asked.append(Effect(SIMPLE, (i,), (name,), at))
                weights.append(cell_weights([*chosen[:i], row, *chosen[i:]]))
    return asked, np.array(weights)


def _interactions(grid: Grid) -> Family:
    asked, weights = [], []
    for i, j in combinations(range(len(grid.factors)), 2):
        for (a, row), (b, column) in product(_rows(grid, i), _rows(grid, j)):
            parts = _means(grid)
            parts[i], parts[j] = row, column
            asked.append(Effect(INTERACTION, (i, j), (a, b)))
            weights.append(cell_weights(parts))
    return asked, np.array(weights)


# --- which word ---


def _decide(
    grid: Grid,
    samples: Mapping[str, Sample],
    asked: Sequence[Effect],
    weights: np.ndarray,
    tests: Contrasts,
    blocks: int,
    paired: bool,
    better: str,
    options: Options,
) -> list[Effect]:
    """The effects of one family with their numbers and words."""
    alpha, ps = options.alpha, np.minimum(tests.p, 1.0)
    unsure = [_unsure(grid, samples, row) for row in weights]
    ps = np.where([bool(reason) for reason in unsure], NAN, ps)
    corrected, steps = holm(ps), holm_factors(ps, alpha)
    detectable = tests.detectable(alpha / len(asked), POWER)
    lost = [
        any(np.isinf(samples[grid.cells[c]].test).any() for c in np.flatnonzero(row))
        for row in weights
    ]
    # A margin is one of a difference: a slope has another unit.
    within = [i for i, effect in enumerate(asked) if not effect.trend]
    equivalence = np.full(len(asked), NAN)
    if options.margin is not None and within:
        not_within = tests.not_within(options.margin)
        refused = [NAN if lost[i] or math.isnan(ps[i]) else not_within[i] for i in within]
        equivalence[within] = holm(refused)
    sign = -1.0 if better == "lower" else 1.0
    found = []
    for i, effect in enumerate(asked):
        n, value = int(tests.n[i]), float(tests.value[i])
        interval = tests.interval(i, 1 - alpha / int(steps[i]))
        reason, needed = unsure[i], None
        if not reason and math.isnan(ps[i]):
            reason, needed = _why(n, paired)
        if equivalence[i] <= alpha:
            word = SAME
        elif corrected[i] <= alpha:
            word = DEPENDS if effect.family == INTERACTION else BETTER
            word = WORSE if word == BETTER and sign * value < 0 else word
        elif reason:
            word = CANNOT_TELL
        else:
            word = NO_INTERACTION if effect.family == INTERACTION else NO_DIFFERENCE
        found.append(
            replace(
                effect,
                conclusion=word,
                difference=Interval(value, NAN, NAN) if reason else interval,
                p=float(ps[i]),
                holm_p=float(corrected[i]),
                equivalence_holm_p=float(equivalence[i]),
                n=n,
                dropped=blocks - n if paired else 0,
                detectable=NAN if reason else float(detectable[i]),
                needed=needed,
                reason=reason,
                far_out=bool(tests.far_out[i]),
            )
        )
    return found


def _unsure(grid: Grid, samples: Mapping[str, Sample], weights: np.ndarray) -> str:
    """Why the runs that are left say little of a contrast; empty if they do not."""
    for place in np.flatnonzero(weights):
        label = grid.cells[place]
        values = samples[label].test
        lost = int(np.isinf(values).sum())
        if 2 * lost > len(values):
            return f"{label} lost {lost} of {len(values)} runs"
    return ""


def _why(n: int, paired: bool) -> tuple[str, int | None]:
    """Why no test could be made, and how many seeds one needs."""
    if n >= 2 and paired:
        return "the difference is the same in every seed, so its error is not known", None
    if n >= 2:
        return "the values do not scatter, so the error of a difference is not known", None
    if paired:
        return "too few seeds have a value in all these cells", 2
    return "a cell has too few runs with a value", 2
