"""Effect sizes of two samples: Hedges' g and the probability of improvement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from odyssey.report.stats.samples import (
    Interval,
    chunks,
    costs,
    finite_sample,
    percentiles,
    tail_probability,
    unanimous_interval,
)


def hedges_g(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """(mean(a) - mean(b)) / pooled standard deviation, without the bias of small samples.

    The correction is the exact one, gamma(df/2) / (sqrt(df/2) gamma((df-1)/2)). The limits come
    from the noncentral t distribution: the two effects under which the t statistic found would
    be at its upper or lower tail. Both assume equal variances. A pure number; nan with fewer than
    two values in a sample, or where no value varies. Raises ValueError for anything that is not
    finite, such as worst values.

    Source: L. V. Hedges, "Distribution theory for Glass's estimator of effect size and related
    estimators", Journal of Educational Statistics 6 (1981) 107-128; limits: J. H. Steiger and
    R. T. Fouladi, "Noncentrality interval estimation and the evaluation of statistical models",
    in "What if there were no significance tests?" (1997).
    """
    outside = tail_probability(level)
    first, second = finite_sample(a), finite_sample(b)
    n, m = len(first), len(second)
    unknown = Interval(math.nan, math.nan, math.nan, level)
    if min(n, m) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return unknown
    df = n + m - 2
    spread = math.sqrt(float((n - 1) * first.var(ddof=1) + (m - 1) * second.var(ddof=1)) / df)
    if not 0 < spread < math.inf:
        return unknown
    unbias = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    scale = math.sqrt(1 / n + 1 / m)  # of a noncentrality, as an effect
    effect = float(first.mean() - second.mean()) / spread
    # SciPy gives nan for some negative t, so the limits are found for |t| and turned round.
    t = abs(effect) / scale
    low = _noncentrality(lambda nc: float(stats.nct.sf(t, df, nc)) - outside, t)
    high = _noncentrality(lambda nc: outside - float(stats.nct.cdf(t, df, nc)), t)
    if effect < 0:
        low, high = -high, -low
    return Interval(unbias * effect, unbias * scale * low, unbias * scale * high, level)


def _noncentrality(rising: Callable[[float], float], t: float) -> float:
    """Where a rising function of the noncentrality crosses zero, looked for around `t`."""
    low = high = t
    step = 1.0 + t / 4
    for _ in range(60):
        at_low, at_high = rising(low), rising(high)
        if at_low <= 0 <= at_high:
            return float(optimize.brentq(rising, low, high, xtol=1e-10))
        # Each end goes no further than it has to: SciPy gives nan far out.
        low, high = low - step * (at_low > 0), high + step * (at_high < 0)
    return math.nan


def probability_of_improvement(
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
    outcome the bootstrap cannot vary, and the limits are those of `unanimous_interval`.

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
        return unanimous_interval(value, n, m, level)
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
