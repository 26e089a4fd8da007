"""Statistics of one sample: averages, shares and tuning curves, with intervals that hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.samples import (
    Interval,
    costs,
    finite_sample,
    median_limits,
    ordinal_sample,
    refuse_undefined,
    tail_probability,
)


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


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean with Student's t limits; they are nan for fewer than two values.

    Raises ValueError for anything not finite. It covers normal values at every n; of skewed ones
    less often than it says (docs/calibration.md, `mean`).

    Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25.
    """
    outside, sample = tail_probability(level), finite_sample(values)
    n = len(sample)
    if n < 2:
        return Interval(float(mean(sample)), math.nan, math.nan, level)
    reach = -float(special.stdtrit(n - 1, outside)) * float(sample.std(ddof=1)) / math.sqrt(n)
    value = float(sample.mean())
    return Interval(value, value - reach, value + reach, level)


def median_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The median, between two of the values: exact for every distribution.

    The limits are the k-th smallest and the k-th largest value, with the largest k that keeps the
    level. They are nan where there is none, as for fewer than six values at 95%; worst values
    (infinite) may be limits.

    Source: W. R. Thompson, "On confidence ranges for the median and other expectation distributions
    for populations of unknown distribution form", Annals of Mathematical Statistics 7 (1936)
    122-128.
    """
    low, high = median_limits(ordinal_sample(values), level)
    return Interval(float(median(values)), low, high, level)


LEAST_OF_IQM = 8  # values, below which its interval covers too seldom


def iqm_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The interquartile mean with limits from the winsorized variance.

    That is the t interval of a trimmed mean, with h - 1 degrees of freedom where h = n - 2 (n // 4)
    values are not cut off. The limits are nan for fewer than `LEAST_OF_IQM` values, and
    where a value within the middle half, or the next one, is infinite. Measured:
    docs/calibration.md, `iqm`.

    Source: K. K. Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61
    (1974) 165-170, for one sample.
    """
    outside, sample = tail_probability(level), np.sort(ordinal_sample(values))
    n, value = len(sample), float(iqm(values))
    cut = n // 4
    held = sample[cut : n - cut]
    if n < LEAST_OF_IQM or not np.isfinite(held).all():
        return Interval(value, math.nan, math.nan, level)
    winsorized = np.clip(sample, held[0], held[-1])
    h = n - 2 * cut
    error = math.sqrt((n - 1) * float(winsorized.var(ddof=1)) / (h * (h - 1)))
    reach = -float(special.stdtrit(h - 1, outside)) * error
    return Interval(value, value - reach, value + reach, level)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The share successes / n with Wilson's score interval; nan for n = 0.

    ValueError if not 0 <= successes <= n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927) 209-212.
    """
    z = -float(special.ndtri(tail_probability(level)))
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level)
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 exactly; rounding does not.
    low = 0.0 if successes == 0 else middle - reach
    high = 1.0 if successes == n else middle + reach
    return Interval(share, low, high, level)


POINTS = 100  # of a curve, when nobody says which
TABLE_COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # numbers of trials that a table shows


@dataclass(frozen=True)
class Tuning:
    """The median best value of `counts` trials, with a simultaneous band, in the values' unit."""

    counts: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float = 0.95


def tuning_curve(
    values: ArrayLike, better: str, counts: Sequence[int] | None = None, *, level: float = 0.95
) -> Tuning:
    """What a random search of n trials finds: the median of its best value, for each n.

    The band is simultaneous, exact and free of the distribution: with probability `level` it holds
    the whole curve, whatever the values are. It is as wide as that takes, and the curve ends where
    one of its limits would lie beyond all trials done: no larger search can be told of. A worst
    value (infinite) counts as one; where the median or a limit is such, it is infinite. The band is
    of independent trials.

    counts: numbers of trials, at least 1; those beyond the end are left out. Raises ValueError for
    a count below 1.

    Source: N. Lourie, K. Cho and H. He, "Show your work with confidence: confidence bands for
    tuning curves", NAACL 2024 (arXiv 2311.09480). Measured: docs/calibration.md, `tuning curve`.
    """
    tail_probability(level)
    cost = np.sort(costs(values, better))
    trials = len(cost)
    sizes = _default_counts(trials) if counts is None else np.array(counts, dtype=int)
    if sizes.size and sizes.min() < 1:
        raise ValueError(f"at least one trial is drawn, not {sizes.min()}")
    if not trials or not sizes.size:
        return Tuning(sizes[:0], np.empty(0), np.empty(0), np.empty(0), level)
    wanted = 1 - 0.5 ** (1 / sizes)  # the quantile that half of all best values lie below
    least, most = band_of_order_statistics(trials, level)
    # Before the value i the distribution is at most `most[i]`, and at it at least `least[i]`.
    low = np.searchsorted(most, wanted, side="left") - 1
    high = np.searchsorted(least, wanted, side="left")
    middle = np.ceil(wanted * trials - 1e-9).astype(int) - 1
    known = (low >= 0) & (high < trials)
    found = [cost[place[known]] for place in (low, middle, high)]
    if better == "higher":
        found = [-found[2], -found[1], -found[0]]
    return Tuning(sizes[known], found[1], found[0], found[2], level)


@lru_cache(maxsize=64)
def band_of_order_statistics(n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits that hold all n ordered uniform values at once, with probability `level`: (n), (n).

    Each value has an interval of its beta distribution with equal tails, as small as keeps the
    level, which is found by bisection on the exact probability.

    Source: E. G. Learned-Miller and J. DeStefano, "A probabilistic upper bound on differential
    entropy", IEEE Transactions on Information Theory 54 (2008) 5223-5230.
    """
    place = np.arange(1, n + 1)

    def limits(tail: float) -> tuple[np.ndarray, np.ndarray]:
        return (
            special.betaincinv(place, n + 1 - place, tail),
            special.betaincinv(place, n + 1 - place, 1 - tail),
        )

    low, high = tail_probability(level) / n, tail_probability(level)  # Bonferroni, and one value
    while high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _held(*limits(middle)) >= level else (low, middle)
    return limits(low)


def _held(low: np.ndarray, high: np.ndarray) -> float:
    """The probability that n ordered uniform values all lie within their limits.

    The values are the jumps of a Poisson process that has n of them by time 1: the probability of
    each number of jumps is carried from limit to limit.

    Source: A. Moscovich and B. Nadler, "Fast calculation of boundary crossing probabilities for
    Poisson processes", Statistics and Probability Letters 123 (2017) 177-182.
    """
    n = len(low)
    # At high[i] at least i + 1 values have come; just before low[i], at most i.
    times = np.concatenate([low, high])
    place = np.concatenate([np.arange(n), np.arange(n)])
    of_low = np.arange(2 * n) < n
    jumps, now = np.zeros(n + 1), 0.0
    jumps[0] = 1.0
    for at in np.lexsort((~of_low, times)):
        jumps, now = _advance(jumps, n * (times[at] - now)), times[at]
        if of_low[at]:
            jumps[place[at] + 1 :] = 0.0
        else:
            jumps[: place[at] + 1] = 0.0
    jumps = _advance(jumps, n * (1 - now))
    return float(jumps[n] / np.exp(n * np.log(n) - n - special.gammaln(n + 1)))


def _advance(jumps: np.ndarray, mean: float) -> np.ndarray:
    """The probabilities of each number of jumps, after a time in which `mean` are expected."""
    if mean <= 0:
        return jumps
    most = min(len(jumps), int(mean + 12 * math.sqrt(mean) + 20))
    k = np.arange(most)
    pmf = np.exp(k * math.log(mean) - mean - special.gammaln(k + 1))
    return np.convolve(jumps, pmf)[: len(jumps)]


def _default_counts(trials: int) -> np.ndarray:
    """Every n, or about a hundred evenly spread on a log scale, and the round ones."""
    if trials <= POINTS:
        return np.arange(1, trials + 1)
    spread = np.rint(np.geomspace(1, trials, POINTS)).astype(int)
    return np.unique([*spread, *(n for n in TABLE_COUNTS if n <= trials)])
