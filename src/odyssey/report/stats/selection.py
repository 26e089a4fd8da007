"""The best shares of two searches, compared by selecting them anew in each resample.

The best trials of a search are not independent repetitions: which trials are among them depends on
all trials. A test that takes them as a sample, as Welch's on the best tenth does, forgets that the
threshold varies from search to search, and errs far too often (docs/calibration.md, rows `search`).
Here a resample is one of all trials, and the best share is selected in it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.samples import (
    Interval,
    chunks,
    costs,
    percentiles,
    tail_probability,
)

FENCE = 3.0  # interquartile ranges beyond the quartile, where a value is far out (Tukey 1977)


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


@dataclass(frozen=True)
class Trials:
    """The trials of one variant: the value each is selected by, and the one that is compared.

    Both have one number for each trial, and smaller is better in both; of a lost trial `chosen_by`
    is +inf, and `value` is not read.
    """

    chosen_by: np.ndarray
    value: np.ndarray

    def __post_init__(self) -> None:
        if self.chosen_by.shape != self.value.shape or self.chosen_by.ndim != 1:
            raise ValueError("each trial has one value that chooses it and one that is compared")


class Reselection:
    """The difference of the means of the best shares of two searches, and how sure it is.

    The difference is that of `a` minus that of `b`, in the unit of the values compared: the mean
    of `value` over the best share by `chosen_by`. It is +inf or -inf where one of them has no
    trial left to choose, and nan where neither has.

    Under the hypothesis that the variants differ by a shift d (in what is compared and, with
    `same_metric`, in what chooses), the trials of `a`, shifted by -d, and those of `b` may be
    exchanged. Each permutation exchanges them, selects the best share of each side anew and takes
    the difference of the means, as the observed one was taken: the test is exact for every number
    of trials, also unequal ones, with ties and lost trials among them. `pairs`: indices (i, j) of
    trials i of `a` and j of `b` that share their settings; they are exchanged within pairs, and
    trials without a partner stay where they are. Without it, all trials are exchanged.

    With another metric than the one that chooses, trials are selected among those shifted by the
    difference found of the means that choose.

    Values beyond the outer fence of those compared count as lying at it, on the worse side: one
    trial that exploded in its test would hold the mean.

    Sources: the principle of repeating the whole selection in each resample is that of
    permutation tests for data-dependent procedures, as in P. Good, "Permutation, parametric and
    bootstrap tests of hypotheses" (2005), chapter 3; confidence limits by shifts, ibid. 3.2.
    Measured: docs/calibration.md, `search`.
    """

    def __init__(
        self,
        a: Trials,
        b: Trials,
        share: float,
        *,
        pairs: np.ndarray | None = None,
        same_metric: bool = True,
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.n, self.m = len(a.value), len(b.value)
        self.kept = share_count(self.n, share), share_count(self.m, share)
        self._chosen_by = np.concatenate([a.chosen_by, b.chosen_by])
        self._value = fenced(np.concatenate([a.value, b.value]), np.isfinite(self._chosen_by))
        self._of_a = np.arange(self.n + self.m) < self.n
        # Of equal values the earlier trial is chosen, whichever side it is on.
        self._place = np.concatenate([np.arange(self.n), np.arange(self.m)])
        self._same = same_metric
        self._pairs, self._seed = pairs, seed
        self._draws = draws
        self._labels = self._permutations(pairs, np.random.default_rng(seed))
        self.difference = self._observed(self._value)
        self._shift_of_choice = 0.0 if same_metric else self._observed(self._chosen_by)
        finite = [int(np.isfinite(trials.chosen_by).sum()) for trials in (a, b)]
        self.chosen = min(self.kept[0], finite[0]), min(self.kept[1], finite[1])
        self.estimate = self.difference
        if self.n != self.m and math.isfinite(self.difference):
            # The best 2 of 20 are expected to be better than the best 3 of 21.
            found, permuted = self._under(self.difference)
            self.estimate = self.difference + found - float(np.median(permuted))

    def _permutations(self, pairs: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
        """Which trials are on the side of `a`: (draws, n + m), n in each row."""
        if pairs is None:
            return random.permuted(np.tile(self._of_a, (self._draws, 1)), axis=1)
        labels = np.tile(self._of_a, (self._draws, 1))
        swapped = random.random((self._draws, len(pairs))) < 0.5
        labels[:, pairs[:, 0]] = ~swapped
        labels[:, self.n + pairs[:, 1]] = swapped
        return labels

    def _observed(self, value: np.ndarray) -> float:
        return float(self._differences(self._chosen_by, value, self._of_a[None, :])[0])

    def _differences(
        self, chosen_by: np.ndarray, value: np.ndarray, of_a: np.ndarray
    ) -> np.ndarray:
        """The difference of the means for each row of sides (rows, n + m)."""
        order = np.lexsort((self._place, chosen_by))
        order = order[np.isfinite(chosen_by[order])]
        # The best of both sides are nearly always among the first few, whoever has them.
        first = 2 * sum(self.kept) + 32
        if first < len(order):
            few = of_a[:, order[:first]]
            on_a = few.sum(axis=1)
            if (on_a >= self.kept[0]).all() and (first - on_a >= self.kept[1]).all():
                order = order[:first]
        value, of_a = value[order], of_a[:, order]
        means = []
        for side, kept in ((of_a, self.kept[0]), (~of_a, self.kept[1])):
            taken = side & (np.cumsum(side, axis=1, dtype=np.int32) <= kept)
            count = taken.sum(axis=1)
            total = taken.astype(float) @ value
            means.append(np.where(count > 0, total / np.maximum(count, 1), np.inf))
        with np.errstate(invalid="ignore"):
            return means[0] - means[1]

    def tails(self, shift: float = 0.0) -> tuple[float, float]:
        """One-sided p of the hypothesis of that shift: of so small, and of so large a difference.

        Each counts the observed difference as one of the draws.
        """
        found, permuted = self._under(shift)
        # Rounding must not tell apart what is equal.
        slack = 1e-9 * max(1.0, abs(found)) if math.isfinite(found) else 0.0
        rows = len(permuted) + 1
        return (
            (1 + int((permuted <= found + slack).sum())) / rows,
            (1 + int((permuted >= found - slack).sum())) / rows,
        )

    def _under(self, shift: float) -> tuple[float, np.ndarray]:
        """The difference of the shifted trials, and those of the permutations."""
        moved = shift if self._same else self._shift_of_choice
        moved = moved if math.isfinite(moved) else 0.0
        chosen_by = self._chosen_by - moved * self._of_a
        value = self._value - shift * self._of_a
        permuted = np.concatenate(
            [
                self._differences(chosen_by, value, self._labels[start : start + rows])
                for start, rows in _parts(self._draws, len(value))
            ]
        )
        # Neither side with a trial to choose says nothing against the hypothesis.
        return self.difference - shift, np.where(np.isnan(permuted), 0.0, permuted)

    def error(self) -> float:
        """The standard deviation of the difference over the permutations; nan without one."""
        if not math.isfinite(self.estimate):
            return math.nan
        _, permuted = self._under(self.estimate)
        return float(np.std(permuted[np.isfinite(permuted)]))

    def p(self) -> float:
        """The two-sided p of no difference: twice the smaller tail. nan without a difference."""
        if math.isnan(self.difference):
            return math.nan
        return min(1.0, 2 * min(self.tails()))

    def not_within(self, margin: float) -> float:
        """p of the hypothesis that the difference is `margin` or more in either direction."""
        if not math.isfinite(self.difference):
            return math.nan
        return max(self.tails(margin)[0], self.tails(-margin)[1])

    def interval(self, level: float = 0.95) -> Interval:
        """The shifts that the test does not refuse at 1 - level; it agrees with `p`.

        The limits are unbounded where the permutations are too few to refuse any shift.
        """
        value = self.estimate
        if not math.isfinite(value):
            return Interval(value, math.nan, math.nan, level)
        outside = (1 - level) / 2
        if 1 / (self._draws + 1) > outside:
            return Interval(value, -math.inf, math.inf, level)
        # A shift above the difference makes it look small; below, large.
        low = self._limit(lambda d: self.tails(d)[1] > outside, -1.0)
        high = self._limit(lambda d: self.tails(d)[0] > outside, 1.0)
        return Interval(value, low, high, level)

    def detectable(self, alpha: float, wanted: float) -> float:
        """The shift that a further search like this one finds with probability `wanted`.

        It is the shift that the permutations just refuse at the two-sided level `alpha`, and
        beyond it the bootstrap's error of the difference times the normal quantile of `wanted`:
        few of the trials are among the best, and a permutation may deal these few either way, so
        that the test refuses far less than the error alone would have it. inf where no shift is
        refused. Measured: docs/calibration.md, part `detectable`.
        """
        limits = self.interval(1 - alpha)
        if math.isnan(limits.low):
            return math.nan
        reach = max(limits.high - limits.value, limits.value - limits.low)
        return reach + float(special.ndtri(wanted)) * self._bootstrap_error()

    def _bootstrap_error(self) -> float:
        """The standard deviation of the difference over searches drawn from these trials."""
        random = np.random.default_rng(self._seed)
        found = []
        pairs = self._pairs
        for _ in range(ERROR_DRAWS):
            if pairs is None or not len(pairs):
                a, b = random.integers(0, self.n, self.n), random.integers(0, self.m, self.m)
            else:
                a, b = pairs[random.integers(0, len(pairs), len(pairs))].T
            found.append(self._mean_of_best(a, 0) - self._mean_of_best(self.n + b, 1))
        return float(np.std(found))

    def _mean_of_best(self, trials: np.ndarray, side: int) -> float:
        order = np.argsort(self._chosen_by[trials], kind="stable")[: self.kept[side]]
        return float(self._value[trials[order]].mean())

    def _limit(self, accepted: Callable[[float], bool], direction: float) -> float:
        """The farthest accepted shift from the estimate in one direction, by bisection."""
        inside = self.estimate
        scale = self.error() or abs(inside) or 1.0
        step = 2 * scale
        outside = inside + direction * step
        for _ in range(12):
            if not accepted(outside):
                break
            inside, step = outside, 2 * step
            outside = inside + direction * step
        else:
            return direction * math.inf
        while abs(outside - inside) > 0.01 * scale:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if accepted(middle) else (inside, middle)
        return outside


def fenced(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The values, with those beyond the outer fence of the counted ones set to it, where larger.

    Source: J. W. Tukey, "Exploratory Data Analysis", 1977, section 2D.
    """
    finite = values[counted & np.isfinite(values)]
    if not finite.size:
        return np.where(np.isfinite(values), values, 0.0)
    low, high = np.quantile(finite, [0.25, 0.75])
    fence = high + FENCE * (high - low) if high > low else finite.max()
    return np.where(np.isnan(values), fence, np.minimum(values, fence))


def _parts(draws: int, width: int) -> list[tuple[int, int]]:
    """Start and length of the parts in which to make the draws."""
    found, start = [], 0
    for rows in chunks(draws, width):
        found.append((start, rows))
        start += rows
    return found


ERROR_DRAWS = 200  # searches drawn for an error
LEAST_TRIALS = 50  # below which the interval of a best share covers too seldom


def mean_of_best(
    trials: Trials, share: float, *, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The mean value of the best share, with bootstrap limits that select it anew in each draw.

    They are percentiles, expanded for the few trials that are kept: farther out by the factor of
    Student's quantile over the normal one, as without it they cover too seldom. The limits are nan
    for fewer than `LEAST_TRIALS` trials; the value too where none is left. Values far out are
    fenced as in `Reselection`. Measured: docs/calibration.md, `mean of the best share`.

    Sources: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
    (1979) 1-26; expanded: T. C. Hesterberg, "What teachers should know about the bootstrap", The
    American Statistician 69 (2015) 371-386.
    """
    n = len(trials.value)
    kept = share_count(n, share)
    order = np.argsort(trials.chosen_by, kind="stable")
    order = order[np.isfinite(trials.chosen_by[order])]
    values = fenced(trials.value, np.isfinite(trials.chosen_by))[order]
    if not len(values):
        return Interval(math.nan, math.nan, math.nan, level)
    value = float(values[:kept].mean())
    if n < LEAST_TRIALS or kept < 2:
        return Interval(value, math.nan, math.nan, level)
    random = np.random.default_rng(seed)
    found = []
    for _, rows in _parts(draws, n):
        taken = random.multinomial(n, np.full(n, 1 / n), size=rows)[:, : len(values)]
        before = np.cumsum(taken, axis=1) - taken
        counted = np.clip(kept - before, 0, taken)
        found.append(counted @ values / np.maximum(counted.sum(axis=1), 1))
    quantile = -float(special.stdtrit(kept - 1, tail_probability(level)))
    low, high = percentiles(np.concatenate(found), 1 - 2 * float(special.ndtr(-quantile)))
    return Interval(value, float(low), float(high), level)
