"""How likely a run of one variant beats a run of another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from odyssey.report.statistics.interval import Interval, one_sided_pairs, percentiles
from odyssey.report.statistics.values import chunks, costs


def probability(
    a: ArrayLike,
    b: ArrayLike,
    better: str,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """P(a better than b) + P(equal) / 2 over all pairs of a run of `a` and a run of `b`.

    The limits are stratified percentile bootstrap ones: `a` and `b` are each resampled. Only the
    order counts, so worst values (infinite) lose to all others and tie with each other. With one
    value in a sample the limits are nan, with none the value too. Where every pair has the same
    outcome the bootstrap cannot vary, and the limits are those of `one_sided_pairs`.

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021, section 4.3 (the statistic is that of Mann and Whitney, 1947).
    """
    first, second = costs(a, better), np.sort(costs(b, better))
    n, m = len(first), len(second)
    if not (n and m):
        return Interval(math.nan, math.nan, math.nan, level)
    # How many of b are better than each of a, and how many are better or equal.
    below = np.searchsorted(second, first, side="left")
    up_to = np.searchsorted(second, first, side="right")
    value = 1 - float((below + up_to).sum()) / (2 * n * m)
    if min(n, m) < 2:
        return Interval(value, math.nan, math.nan, level)
    if value in (0.0, 1.0) or (below == 0).all() and (up_to == m).all():
        return one_sided_pairs(value, n, m, level)
    random = np.random.default_rng(seed)
    found = []
    for rows in chunks(draws, max(n, m)):
        taken = _times_taken(random, rows, m)
        upto = np.concatenate([np.zeros((rows, 1)), np.cumsum(taken, axis=1)], axis=1)
        lost = (upto[:, below] + upto[:, up_to]) * _times_taken(random, rows, n)
        found.append(1 - lost.sum(axis=1) / (2 * n * m))
    low, high = percentiles(np.concatenate(found), level)
    return Interval(value, float(low), float(high), level)


def _times_taken(random: np.random.Generator, rows: int, n: int) -> np.ndarray:
    """How often each of n values is in a resample of n, for each of `rows` resamples."""
    at = random.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(at.ravel(), minlength=rows * n).reshape(rows, n)
