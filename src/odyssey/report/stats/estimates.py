"""Statistics of one sample: averages with bootstrap intervals, shares, and expected best values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.samples import (
    Interval,
    chunks,
    costs,
    ordinal_sample,
    percentiles,
    refuse_undefined,
    tail_probability,
)

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
    samples = [s for s in map(ordinal_sample, strata) if len(s)]
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


def top_share(valid: ArrayLike, better: str, share: float = 0.1) -> np.ndarray:
    """The indices of the best `share` of the trials by validation value, best first.

    `valid` has a value for every trial; of those that diverged or failed it is the worst one
    (infinite), and they count in the number of which the share is taken. That is rounded up (2 of
    11) and at least 1. Trials with the worst value are never chosen, so that fewer may be
    returned. Of equal values the earlier trial is chosen. Raises ValueError for a share outside
    (0, 1].

    Source: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink and J. Schmidhuber, "LSTM: A
    Search Space Odyssey", IEEE Transactions on Neural Networks and Learning Systems 28 (2017)
    2222-2232, figure 3 (20 of 200 trials). `methods.METHODS["top_share"]` names its flaw.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the trials lies above 0 and is at most 1, not {share}")
    cost = costs(valid, better)
    chosen = np.argsort(cost, kind="stable")[: share_count(len(cost), share)]
    return chosen[np.isfinite(cost[chosen])]


def share_count(trials: int, share: float) -> int:
    """The number of trials in a share of them: rounded up, and at least 1 if there are any."""
    # 0.07 * 100 is a little above 7 in floating point, and must not become 8.
    return min(trials, max(1, math.ceil(round(share * trials, 9))))


POINTS = 100  # of a curve, when nobody says which
TABLE_COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # numbers of trials that a table shows


@dataclass(frozen=True)
class Expected:
    """The expected best value of `counts` trials, with a band, in the unit of the values."""

    counts: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float = 0.95


def expected_best(
    values: ArrayLike,
    better: str,
    counts: Sequence[int] | None = None,
    *,
    replacement: bool = True,
    worst: float | None = None,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Expected:
    """The expected best of n of the trials done, for each n of `counts` (up to 100 by default).

    With replacement it is the estimate of Dodge et al.: n draws from the distribution of the
    values. It is too pessimistic for n near the number of trials. Without, it is the mean over
    all subsets of n trials (Tang et al.), unbiased for independent trials, of larger variance.
    The band is a percentile bootstrap over trials; nan for a single one. For n near the number of
    trials it is too narrow, since no resample holds a better trial than the best one.

    A worst value (infinite) makes the expectation what it is, infinite: with replacement for
    every n; without, for each n that no finite trial is sure to be among. With `worst`, a finite
    stand-in, the curve is that of the values capped there: all that are worse count as `worst`.

    Raises ValueError for an n above the number of trials.

    Sources: J. Dodge, S. Gururangan, D. Card, R. Schwartz and N. A. Smith, "Show your work:
    improved reporting of experimental results", EMNLP 2019, section 3; R. Tang, J. Lee, J. Xin,
    X. Liu, Y. Yu and J. Lin, "Showing your work doesn't always work", ACL 2020.
    """
    tail_probability(level)
    cost = np.sort(costs(values, better))
    if worst is not None:
        if not np.isfinite(worst):
            raise ValueError(f"the stand-in for the worst value is a finite number, not {worst}")
        cost = np.minimum(cost, worst if better == "lower" else -worst)
    trials = len(cost)
    sizes = _default_counts(trials) if counts is None else np.array(counts, dtype=int)
    if sizes.size and not (1 <= sizes.min() and sizes.max() <= trials):
        raise ValueError(f"of {trials} trials, 1 to {trials} can be drawn, not {sizes}")
    weights = _weights(trials, sizes, replacement)
    mean = _expected_smallest(cost[None, :], weights, sizes, replacement)[0]
    low, high = np.full(sizes.shape, np.nan), np.full(sizes.shape, np.nan)
    if trials > 1:
        random = np.random.default_rng(seed)
        found = []
        for rows in chunks(draws, trials):
            at = np.sort(random.integers(0, trials, size=(rows, trials)), axis=1)
            found.append(_expected_smallest(cost[at], weights, sizes, replacement))
        low, high = percentiles(np.concatenate(found), level)
    if better == "higher":
        mean, low, high = -mean, -high, -low
    return Expected(sizes, mean, low, high, level)


def _default_counts(trials: int) -> np.ndarray:
    """Every n, or about a hundred evenly spread on a log scale, and the round ones."""
    if trials <= POINTS:
        return np.arange(1, trials + 1)
    spread = np.rint(np.geomspace(1, trials, POINTS)).astype(int)
    return np.unique([*spread, *(n for n in TABLE_COUNTS if n <= trials)])


def _weights(trials: int, sizes: np.ndarray, replacement: bool) -> np.ndarray:
    """Probability that the i-th best trial is the best of those drawn; a row for each size."""
    n = sizes[:, None]
    left = np.arange(trials, -1, -1)  # trials that are no better than the i-th, itself included
    if replacement:
        none_better = (left / max(trials, 1)) ** n
        return none_better[:, :-1] - none_better[:, 1:]
    # n - 1 others out of those after it: C(left - 1, n - 1) / C(trials, n).
    after = left[:-1] - 1
    possible = after >= n - 1
    others = np.where(possible, after, n - 1)
    log = _log_choose(others, n - 1) - _log_choose(np.array(trials), n)
    return np.where(possible, np.exp(log), 0.0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


def _expected_smallest(
    cost: np.ndarray, weights: np.ndarray, sizes: np.ndarray, replacement: bool
) -> np.ndarray:
    """Expected smallest cost; rows of sorted costs to rows of one number for each size."""
    lost = np.isinf(cost)
    found = np.where(lost, 0.0, cost) @ weights.T
    number = lost.sum(axis=1)[:, None]
    infinite = (number > 0) if replacement else (sizes[None, :] <= number)
    return np.where(infinite, np.inf, found)
