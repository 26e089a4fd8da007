"""Effect sizes of two samples: Hedges' g and the probability of improvement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from odyssey.report.stats.samples import Interval, costs, finite_sample, tail_probability


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


LEAST = 4  # values of a sample, below which limits cover too seldom


def probability_of_improvement(
    a: ArrayLike, b: ArrayLike, better: str, *, level: float = 0.95
) -> Interval:
    """P(a better than b) + P(equal) / 2 over all pairs of a run of `a` and a run of `b`.

    Only the order counts, so worst values (infinite) lose to all others and tie with each other.
    The limits are Newcombe's score limits, with the variance that the probability would have for
    exponential values; they cover at small n, also where all pairs have one outcome. nan with
    fewer than `LEAST` values in a sample, and the value too without any. Measured:
    docs/calibration.md, `P(better)`.

    Sources: Agarwal et al., "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021, section 4.3 (the statistic is that of Mann and Whitney, 1947);
    limits: R. G. Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic. Part 2", Statistics in Medicine 25 (2006) 559-573, method 5.
    """
    z = -float(special.ndtri(tail_probability(level)))
    first, second = costs(a, better), np.sort(costs(b, better))
    n, m = len(first), len(second)
    if not (n and m):
        return Interval(math.nan, math.nan, math.nan, level)
    # How many of b are better than each of a, and how many are better or equal.
    below = np.searchsorted(second, first, side="left")
    up_to = np.searchsorted(second, first, side="right")
    value = 1 - float((below + up_to).sum()) / (2 * n * m)

    if min(n, m) < LEAST:
        return Interval(value, math.nan, math.nan, level)

    def beyond(p: float) -> float:
        """Above 0 where `value` is farther from p than z standard errors under p."""
        common = 1 + ((n + m) / 2 - 1) * ((1 - p) / (2 - p) + p / (1 + p))
        return abs(value - p) - z * math.sqrt(p * (1 - p) * common / (n * m))

    # At 0 and at 1 nothing varies, so that both would be limits of themselves.
    inside = min(max(value, 1e-12), 1 - 1e-12)
    low = 0.0 if value == 0 else float(optimize.brentq(beyond, 0.0, inside))
    high = 1.0 if value == 1 else float(optimize.brentq(beyond, inside, 1.0))
    return Interval(value, low, high, level)


def probability_of_paired_improvement(
    a: ArrayLike, b: ArrayLike, better: str, *, level: float = 0.95
) -> Interval:
    """P(a[i] better than b[i]) + P(equal) / 2 over pairs, with exact limits.

    The limits are those of Clopper and Pearson for the share of pairs that `a` wins, half of the
    ties counted for it, rounded outwards. nan without pairs. Raises ValueError for samples of
    unequal size. Measured: docs/calibration.md, `P(better), paired`.

    Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated
    in the case of the binomial", Biometrika 26 (1934) 404-413.
    """
    outside = tail_probability(level)
    first, second = costs(a, better), costs(b, better)
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values on both sides: {len(first)}, {len(second)}")
    n = len(first)
    if not n:
        return Interval(math.nan, math.nan, math.nan, level)
    wins = float((first < second).sum()) + float((first == second).sum()) / 2
    least, most = math.floor(wins), math.ceil(wins)
    low = float(special.betaincinv(least, n - least + 1, outside)) if least else 0.0
    high = float(special.betaincinv(most + 1, n - most, 1 - outside)) if most < n else 1.0
    return Interval(wins / n, low, high, level)
