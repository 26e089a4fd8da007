"""One number for many runs: mean, median, interquartile mean, and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from odyssey.report.statistics.interval import Interval, percentiles
from odyssey.report.statistics.values import chunks, comparable, refuse_undefined

# Each takes one sample and gives a float, or rows of samples and gives one number for each.
Statistic = Callable[[np.ndarray], Any]


def mean(values: ArrayLike) -> Any:
    """The mean along the last axis; nan of nothing. ValueError for anything not finite."""
    x = np.asarray(values, dtype=float)
    if not np.isfinite(x).all():
        raise ValueError("a mean has no place for an infinite (worst) value or nan")
    return x.mean(axis=-1) if x.shape[-1] else math.nan


def median(values: ArrayLike) -> Any:
    """The median along the last axis; nan of nothing.

    A worst value (infinite) is the worst of its sample; the median is infinite if one of the two
    in the middle is.
    """
    x = np.asarray(values, dtype=float)
    refuse_undefined(x)
    return np.median(x, axis=-1) if x.shape[-1] else math.nan


def iqm(values: ArrayLike) -> Any:
    """The interquartile mean along the last axis: the mean of the middle half; nan of nothing.

    A quarter of the sample is cut off at each end, exactly: where n is no multiple of 4, the
    value at the cut counts with the part of it that lies inside, so 1, 2 and 3 values have one
    too. (Agarwal et al. cut n // 4 whole values; for multiples of 4 both are the same.) A worst
    value (infinite) is the worst of its sample: as long as fewer than a quarter are, they are cut
    off; otherwise the result is infinite.

    Source: R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville and M. G. Bellemare, "Deep
    reinforcement learning at the edge of the statistical precipice", NeurIPS 2021, section 4.3.
    """
    x = np.asarray(values, dtype=float)
    refuse_undefined(x)
    n = x.shape[-1]
    if not n:
        return math.nan
    # In quarters of a value: value i of the sorted ones lies from 4i to 4i + 4, and those from n
    # to 3n are kept.
    first, last = n // 4, -(-3 * n // 4)
    at = 4 * np.arange(first, last)
    weights = np.minimum(at + 4, 3 * n) - np.maximum(at, n)
    return np.sort(x, axis=-1)[..., first:last] @ (weights / (2 * n))


def bootstrap(
    strata: Sequence[ArrayLike],
    statistic: Statistic,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The statistic of all values together, with stratified percentile bootstrap limits.

    A stratum is what was drawn together: the seeds of one configuration, or all trials of a
    random search as one. Each draw takes as many values from each stratum as it has, with
    replacement. The same seed gives the same limits. They are nan if a stratum has a single
    value, whose spread is unknown, and if there are none; empty strata do not count. Worst values
    are treated as `statistic` treats them.

    Source: Agarwal et al. (NeurIPS 2021), section 4.1; B. Efron, "Bootstrap methods: another look
    at the jackknife", Annals of Statistics 7 (1979) 1-26.
    """
    samples = [s for s in map(comparable, strata) if len(s)]
    together = np.concatenate(samples) if samples else np.empty(0)
    value = float(statistic(together))
    if not samples or min(map(len, samples)) < 2:
        return Interval(value, math.nan, math.nan, level)
    random = np.random.default_rng(seed)
    found = []
    for rows in chunks(draws, len(together)):
        drawn = [s[random.integers(0, len(s), size=(rows, len(s)))] for s in samples]
        found.append(statistic(np.concatenate(drawn, axis=1)))
    low, high = percentiles(np.concatenate(found), level)
    return Interval(value, float(low), float(high), level)
