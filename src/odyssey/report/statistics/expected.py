"""How good the best of n trials is expected to be: what a smaller search would have found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.statistics.interval import percentiles, tail
from odyssey.report.statistics.values import chunks, costs

POINTS = 100  # of a curve, when nobody says which
ROUND = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # numbers of trials that a table shows


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

    Nothing is said beyond the trials that were done: ValueError for an n above their number.

    Sources: J. Dodge, S. Gururangan, D. Card, R. Schwartz and N. A. Smith, "Show your work:
    improved reporting of experimental results", EMNLP 2019, section 3; R. Tang, J. Lee, J. Xin,
    X. Liu, Y. Yu and J. Lin, "Showing your work doesn't always work", ACL 2020.
    """
    tail(level)
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
    mean = _best_of(cost[None, :], weights, sizes, replacement)[0]
    low, high = np.full(sizes.shape, np.nan), np.full(sizes.shape, np.nan)
    if trials > 1:
        random = np.random.default_rng(seed)
        found = []
        for rows in chunks(draws, trials):
            at = np.sort(random.integers(0, trials, size=(rows, trials)), axis=1)
            found.append(_best_of(cost[at], weights, sizes, replacement))
        low, high = percentiles(np.concatenate(found), level)
    if better == "higher":
        mean, low, high = -mean, -high, -low
    return Expected(sizes, mean, low, high, level)


def _default_counts(trials: int) -> np.ndarray:
    """Every n, or about a hundred evenly spread on a log scale, and the round ones."""
    if trials <= POINTS:
        return np.arange(1, trials + 1)
    spread = np.rint(np.geomspace(1, trials, POINTS)).astype(int)
    return np.unique([*spread, *(n for n in ROUND if n <= trials)])


def _weights(trials: int, sizes: np.ndarray, replacement: bool) -> np.ndarray:
    """The chance that the i-th best trial is the best of those drawn; a row for each size."""
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


def _best_of(
    cost: np.ndarray, weights: np.ndarray, sizes: np.ndarray, replacement: bool
) -> np.ndarray:
    """Expected smallest cost; rows of sorted costs to rows of one number for each size."""
    lost = np.isinf(cost)
    found = np.where(lost, 0.0, cost) @ weights.T
    number = lost.sum(axis=1)[:, None]
    infinite = (number > 0) if replacement else (sizes[None, :] <= number)
    return np.where(infinite, np.inf, found)
