"""Samples that the statistics accept, and intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits, in the unit of the value; nan where unknown."""

    value: float
    low: float
    high: float
    level: float = 0.95


def tail_probability(level: float) -> float:
    """The probability outside an interval on each side. ValueError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    return (1 - level) / 2


def percentiles(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile limits of bootstrap draws along the first axis (Efron 1979).

    The limits are draws themselves, the next one outwards, so that infinite draws need no
    arithmetic. A draw that is nan (undefined) counts as beyond either limit.
    """
    below = int(np.floor((len(draws) - 1) * tail_probability(level)))
    undefined = np.isnan(draws)
    low = np.sort(np.where(undefined, -np.inf, draws), axis=0)[below]
    high = np.sort(np.where(undefined, np.inf, draws), axis=0)[len(draws) - 1 - below]
    return low, high


def expanded_level(level: float, sizes: Sequence[int]) -> float:
    """The level of bootstrap percentiles that reach as far as Student's interval does.

    sizes: of the strata that are drawn by themselves, each above 1. Percentiles are too near by
    sqrt((n - 1) / n), and by the normal quantile over Student's.

    Source: T. C. Hesterberg, "What teachers should know about the bootstrap", The American
    Statistician 69 (2015) 371-386, section 4.
    """
    df = sum(n - 1 for n in sizes)
    farther = math.sqrt(np.mean([n / (n - 1) for n in sizes]))
    outside = float(special.ndtr(farther * special.stdtrit(df, tail_probability(level))))
    return 1 - 2 * max(outside, 1e-9)


def median_limits(values: np.ndarray, level: float) -> tuple[float, float]:
    """Exact limits of a median: the k-th smallest and the k-th largest value; nan if there is none.

    With k = 1 they are the extremes, between which the median lies with 1 - 2 ** (1 - n).
    """
    n, outside = len(values), tail_probability(level)
    # The median lies below the k-th smallest value if fewer than k of n values are below it.
    k = int((stats.binom.cdf(np.arange(n), n, 0.5) <= outside * (1 + 1e-12)).sum())
    if not k:
        return np.nan, np.nan
    ordered = np.sort(values)
    return float(ordered[k - 1]), float(ordered[n - k])


def unanimous_interval(value: float, n_a: int, n_b: int, level: float) -> Interval:
    """Limits for P(a < b) + P(a = b) / 2 where every pair of values had the same outcome.

    `value` is 0 or 1 (two samples that do not overlap) or 0.5 (all values equal). Nothing varies,
    so the usual limits would have no width. Of the pairs, m = min(n_a, n_b) have no value in
    common and are independent; the probability that all m have the same outcome is at most q^m,
    where q is the probability of that outcome. So q >= tail^(1/m), the bound of Clopper and
    Pearson (1934) for m successes of m. The limits are exact, and wide for small samples.
    """
    least = tail_probability(level) ** (1 / min(n_a, n_b))
    if value == 0.5:
        return Interval(value, least / 2, 1 - least / 2, level)
    return Interval(value, least, 1.0, level) if value else Interval(value, 0.0, 1 - least, level)


CHUNK = 1_000_000  # numbers in memory at a time while resampling


def ordinal_sample(values: ArrayLike) -> np.ndarray:
    """One sample as a float array. The worst result, of a diverged or failed run, may be infinite.

    Raises ValueError for nan and for infinities of both signs, since only one can be the worst.
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1:
        raise ValueError(f"a sample is one row of numbers, not an array of shape {sample.shape}")
    refuse_undefined(sample)
    return sample


def refuse_undefined(values: np.ndarray) -> None:
    """ValueError for nan and for infinities of both signs."""
    if np.isnan(values).any():
        raise ValueError("a value is nan: leave the run out, or give it the worst value")
    if np.isposinf(values).any() and np.isneginf(values).any():
        raise ValueError("values are infinite in both directions: only one can be the worst")


def finite_sample(values: ArrayLike) -> np.ndarray:
    """One sample for a method that needs distances. Raises ValueError for what is not finite."""
    sample = ordinal_sample(values)
    if np.isinf(sample).any():
        raise ValueError("this statistic has no place for an infinite (worst) value")
    return sample


def costs(values: ArrayLike, better: str) -> np.ndarray:
    """One sample with signs such that smaller is better and the worst is +inf.

    Raises ValueError for an infinity on the better side.
    """
    if better not in ("lower", "higher"):
        raise ValueError(f"better is 'lower' or 'higher', not {better!r}")
    cost = ordinal_sample(values) * (1.0 if better == "lower" else -1.0)
    if np.isneginf(cost).any():
        raise ValueError(f"an infinitely good value: where {better} is better, the worst is not it")
    return cost


def chunks(draws: int, width: int) -> Iterator[int]:
    """Sizes of the parts in which to make `draws` bootstrap draws of `width` numbers each."""
    if draws < 1:
        raise ValueError(f"a bootstrap needs at least one draw, not {draws}")
    rows = max(1, CHUNK // max(1, width))
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
