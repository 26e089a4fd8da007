"""Two variants whose trials had the same settings, pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from odyssey.report.statistics.interval import Interval, percentiles
from odyssey.report.statistics.values import chunks, comparable, costs

EXACT = 50  # differences, up to which p is counted out


@dataclass(frozen=True)
class Paired:
    """Of n pairs, how many the first variant wins and how many are ties; p is two-sided.

    The difference is the first minus the second, in the unit of the values.
    """

    n: int
    wins: int
    ties: int
    median_difference: Interval
    p: float


def paired(
    a: ArrayLike,
    b: ArrayLike,
    better: str,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Wilcoxon's signed-rank test of a[i] against b[i], and the median of a[i] - b[i].

    A worst value (infinite) against a finite one is a difference of the largest rank; two worst
    values are a tie, a difference of 0. Ties leave the test, as Wilcoxon had it; if all pairs are
    ties p is 1. p is exact up to 50 differences (over all signs of the ranks found, equal ranks
    shared) and a normal approximation beyond. The limits of the median are percentile bootstrap
    ones over pairs. p and the limits are nan for fewer than two pairs; the median is nan where
    its two middle values are infinite in both directions. ValueError for samples of unequal size.

    Source: F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945)
    80-83.
    """
    first, second = comparable(a), comparable(b)
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values on both sides: {len(first)}, {len(second)}")
    first_cost, second_cost = costs(first, better), costs(second, better)
    equal = first == second  # two worst values too
    difference = np.subtract(first, second, out=np.zeros(len(first)), where=~equal)
    n, wins, ties = len(first), int((first_cost < second_cost).sum()), int(equal.sum())
    middle = float(_middle(difference)) if n else math.nan
    if n < 2:
        return Paired(n, wins, ties, Interval(middle, math.nan, math.nan, level), math.nan)
    random = np.random.default_rng(seed)
    found = [
        _middle(difference[random.integers(0, n, size=(rows, n))]) for rows in chunks(draws, n)
    ]
    low, high = percentiles(np.concatenate(found), level)
    interval = Interval(middle, float(low), float(high), level)
    return Paired(n, wins, ties, interval, signed_rank(difference[~equal]))


def signed_rank(differences: np.ndarray) -> float:
    """The two-sided p of Wilcoxon's signed-rank test for differences none of which is 0."""
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)  # shared ranks: halves
    total = int(doubled.sum())
    positive = int(doubled[differences > 0].sum())
    smaller = min(positive, total - positive)
    if len(doubled) > EXACT:
        error = math.sqrt(float((doubled.astype(float) ** 2).sum())) / 2
        return min(1.0, 2 * float(special.ndtr((smaller - total / 2) / error)))
    # chances[s]: that the ranks with a plus sum up to s, each sign being a coin's.
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled:
        shifted = np.concatenate([np.zeros(rank), chances[: total + 1 - rank]])
        chances = (chances + shifted) / 2
    return min(1.0, 2 * float(chances[: smaller + 1].sum()))


def _middle(differences: np.ndarray) -> np.ndarray:
    """The median along the last axis; nan between -inf and inf."""
    with np.errstate(invalid="ignore"):
        return np.median(differences, axis=-1)
