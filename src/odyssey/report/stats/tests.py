"""Tests of two samples (Welch, Brunner-Munzel, Wilcoxon, equivalence) and corrected p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from odyssey.errors import UserError
from odyssey.report.stats.samples import (
    Interval,
    costs,
    finite_sample,
    median_limits,
    ordinal_sample,
    tail_probability,
    unanimous_interval,
)

NAN = math.nan
TOO_FEW = "a sample has fewer than two values"
NO_VARIANCE = "no value differs from its sample's others, so the error of the difference is unknown"
SMALL = "a sample has fewer than 10 values, where the p-value is only rough"


@dataclass(frozen=True)
class Test:
    """Result of a two-sided test.

    `p` is nan where the test could not be made; `note` gives the reason, or a warning.
    """

    statistic: float
    df: float
    p: float
    difference: Interval
    note: str = ""


def welch_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """mean(a) - mean(b), its standard error and degrees of freedom (Welch 1947; Satterthwaite
    1946), for two or more finite values each. An error of 0 says that neither sample varies.
    """
    # A sum of squares of equal values need not round to 0, so this is asked of the values.
    a_part, b_part = (0.0 if np.ptp(x) == 0 else float(np.var(x, ddof=1)) / len(x) for x in (a, b))
    difference, squared = float(a.mean() - b.mean()), a_part + b_part
    if not 0 < squared < math.inf:
        return difference, math.sqrt(squared), NAN
    share = a_part / squared
    df = 1 / (share**2 / (len(a) - 1) + (1 - share) ** 2 / (len(b) - 1))
    return difference, math.sqrt(squared), df


def welch(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Test:
    """Welch's t-test of the means of two samples of unequal variance.

    The difference is mean(a) - mean(b) in the unit of the values, with its t interval. p is nan,
    with a note, for fewer than two values in a sample and where neither sample varies. Raises
    ValueError for anything that is not finite, such as worst values.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34 (1947) 28-35.
    """
    outside = tail_probability(level)
    first, second = finite_sample(a), finite_sample(b)
    if min(len(first), len(second)) < 2:
        known = len(first) and len(second)
        value = float(first.mean() - second.mean()) if known else NAN
        return Test(NAN, NAN, NAN, Interval(value, NAN, NAN, level), TOO_FEW)
    difference, error, df = welch_difference(first, second)
    if math.isnan(df):
        return Test(NAN, NAN, NAN, Interval(difference, NAN, NAN, level), NO_VARIANCE)
    t = difference / error
    p = 2 * float(special.stdtr(df, -abs(t)))
    reach = -float(special.stdtrit(df, outside)) * error
    return Test(t, df, p, Interval(difference, difference - reach, difference + reach, level))


def paired_t(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Test:
    """Student's t-test of the mean of the differences a[i] - b[i] of pairs.

    The difference is their mean in the unit of the values, with its t interval. p is nan, with a
    note, for fewer than two pairs and where all differences are equal. Raises ValueError for
    samples of unequal size, and for anything that is not finite. Measured: docs/calibration.md,
    `seeds, paired`.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908) 1-25.
    """
    outside = tail_probability(level)
    first, second = finite_sample(a), finite_sample(b)
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values on both sides: {len(first)}, {len(second)}")
    differences, n = first - second, len(first)
    value = float(differences.mean()) if n else NAN
    if n < 2:
        return Test(NAN, NAN, NAN, Interval(value, NAN, NAN, level), TOO_FEW)
    if np.ptp(differences) <= 1e-12 * max(np.abs(first).max(), np.abs(second).max()):
        return Test(NAN, NAN, NAN, Interval(value, NAN, NAN, level), NO_VARIANCE)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    t = value / error
    p = 2 * float(special.stdtr(n - 1, -abs(t)))
    reach = -float(special.stdtrit(n - 1, outside)) * error
    return Test(t, n - 1, p, Interval(value, value - reach, value + reach, level))


MOST_ORDERS = 20_000  # of a permutation test that are counted one by one
DRAWN_ORDERS = 4_000  # where there are more


def permuted_ranks(a: ArrayLike, b: ArrayLike, *, seed: int = 0) -> float:
    """The two-sided p of Brunner and Munzel's statistic over all ways to label the values.

    It is exact under exchangeable values at every n, with ties and lost runs among them, which
    Brunner and Munzel's t approximation is not for a handful. All labellings are counted where
    there are up to `MOST_ORDERS`; where there are more, `DRAWN_ORDERS` are drawn. nan for a sample
    without values. Measured: docs/calibration.md, `seeds, t3`.

    Source: K. Neubert and E. Brunner, "A studentized permutation test for the non-parametric
    Behrens-Fisher problem", Computational Statistics & Data Analysis 51 (2007) 5192-5204.
    """
    first, second = ordinal_sample(a), ordinal_sample(b)
    n, m = len(first), len(second)
    if not (n and m):
        return NAN
    ranks = stats.rankdata(np.concatenate([first, second]))
    random = np.random.default_rng(seed)
    if math.comb(n + m, n) <= MOST_ORDERS:
        labels = _every_order(n, m)
    else:
        labels = random.permuted(np.tile(np.arange(n + m) < n, (DRAWN_ORDERS, 1)), axis=1)
        labels[0] = np.arange(n + m) < n  # the observed one is one of them
    found = _studentized(ranks, labels)
    observed = float(_studentized(ranks, (np.arange(n + m) < n)[None, :])[0])
    slack = 1e-9 * abs(observed) if math.isfinite(observed) else 0.0
    low, high = (found <= observed + slack).mean(), (found >= observed - slack).mean()
    return min(1.0, 2 * float(min(low, high)))


@lru_cache(maxsize=32)
def _every_order(n: int, m: int) -> np.ndarray:
    """All ways to label n of n + m values: (ways, n + m)."""
    chosen = np.array(list(combinations(range(n + m), n)))
    labels = np.zeros((len(chosen), n + m), dtype=bool)
    labels[np.arange(len(chosen))[:, None], chosen] = True
    return labels


def _studentized(ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Brunner and Munzel's statistic for each row of labels (rows, n + m); inf without overlap."""
    order = np.argsort(ranks, kind="stable")
    ranks, labels = ranks[order], labels[:, order]
    n = int(labels[0].sum())
    m = len(ranks) - n
    # For each value, how many of the other sample lie below it, ties counting a half.
    first = np.concatenate([[True], ranks[1:] != ranks[:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(ranks)), 0))
    last = np.concatenate([first[1:], [True]])
    end = np.minimum.accumulate(np.where(last, np.arange(len(ranks)), len(ranks))[::-1])[::-1]
    found = []
    for side in (labels, ~labels):
        before = np.concatenate([np.zeros((len(side), 1), int), np.cumsum(side, axis=1)], axis=1)
        found.append((before[:, start] + before[:, end + 1]) / 2)
    of_a, of_b = found  # how many of a, and of b, lie below each value
    means, variances = [], []
    for side, below, size in ((labels, of_b, n), (~labels, of_a, m)):
        mean = np.where(side, below, 0).sum(axis=1) / size
        spread = np.where(side, (below - mean[:, None]) ** 2, 0).sum(axis=1) / max(size - 1, 1)
        means.append(mean)
        variances.append(spread / size)
    effect = means[0] / m - means[1] / n
    error = np.sqrt(variances[0] / m**2 + variances[1] / n**2)
    apart = np.where(effect > 0, np.inf, np.where(effect < 0, -np.inf, 0.0))
    return np.divide(effect, error, out=apart, where=error > 1e-12)


def brunner_munzel(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Test:
    """Brunner-Munzel test of whether values of `a` tend to be smaller or larger than those of `b`.

    The difference is P(a < b) + P(a = b) / 2, which is 0.5 if neither tends to be smaller, with
    its t interval clipped to [0, 1]. Only the order of the values counts; worst values
    (infinities) are ties. p is nan for fewer than two values in a sample.

    Where nothing varies the statistic is undefined, and p is that of the permutation test, as
    Neubert and Brunner (2007) propose for small samples: for two samples that do not overlap
    2 / C(n_a + n_b, n_a), since two of all labellings are as extreme, with a statistic of -inf or
    inf; if all values are equal 1, with a statistic of 0. df is nan in both cases, and the limits
    are those of `unanimous_interval`.

    Source: E. Brunner and U. Munzel, "The nonparametric Behrens-Fisher problem: asymptotic theory
    and a small-sample approximation", Biometrical Journal 42 (2000) 17-25.
    """
    outside = tail_probability(level)
    first, second = ordinal_sample(a), ordinal_sample(b)
    ordinal_sample(np.concatenate([first, second]))  # the worst is the same infinity in both
    n, m = len(first), len(second)
    if not (n and m):
        return Test(NAN, NAN, NAN, Interval(NAN, NAN, NAN, level), TOO_FEW)
    ranks = stats.rankdata(np.concatenate([first, second]))
    # For each value, how many of the other sample lie below it, ties counting a half.
    below_first = ranks[:n] - stats.rankdata(first)
    below_second = ranks[n:] - stats.rankdata(second)
    chance = float(below_second.sum()) / (n * m)
    if min(n, m) < 2:
        return Test(NAN, NAN, NAN, Interval(chance, NAN, NAN, level), TOO_FEW)
    first_part = float(np.var(below_first, ddof=1)) / m**2 / n
    second_part = float(np.var(below_second, ddof=1)) / n**2 / m
    squared = first_part + second_part
    note = SMALL if min(n, m) < 10 else ""
    if squared == 0:
        limits = unanimous_interval(chance, n, m, level)
        if chance == 0.5:
            return Test(0.0, NAN, 1.0, limits, "all values are equal")
        p = 2 / math.comb(n + m, n)
        return Test(math.copysign(math.inf, chance - 0.5), NAN, p, limits, "no overlap; exact p")
    share, error = first_part / squared, math.sqrt(squared)
    df = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    t = (chance - 0.5) / error
    p = 2 * float(special.stdtr(df, -abs(t)))
    reach = -float(special.stdtrit(df, outside)) * error
    interval = Interval(chance, max(0.0, chance - reach), min(1.0, chance + reach), level)
    return Test(t, df, p, interval, note)


def bonferroni(ps: ArrayLike) -> np.ndarray:
    """Each p-value times the number of tests, at most 1 (Dunn 1961).

    A test that could not be made (nan) stays nan and still counts in the number of tests: leaving
    it out depending on the data would make the other p-values too small.

    Source: O. J. Dunn, "Multiple comparisons among means", Journal of the American Statistical
    Association 56 (1961) 52-64.
    """
    values = _check_p_values(ps)
    return np.minimum(values * len(values), 1.0)


def holm(ps: ArrayLike) -> np.ndarray:
    """Holm's step-down p-values, which control the same error rate as Bonferroni's.

    They are never larger. The smallest of m is multiplied by m, the next by m - 1, and so on; none
    is below the one before it. A test that could not be made (nan) stays nan and counts as one
    with the largest p; see `bonferroni`.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6 (1979) 65-70.
    """
    values = _check_p_values(ps)
    order = np.argsort(values, kind="stable")  # nan last
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def holm_factors(ps: ArrayLike, alpha: float) -> np.ndarray:
    """The factor of each p-value in Holm's procedure at `alpha`.

    A confidence interval at the level 1 - alpha / factor excludes no difference exactly where
    `holm` is at most alpha: the factor is that of the step of the test, or of the step before it
    at which the procedure stopped.
    """
    values = _check_p_values(ps)
    order = np.argsort(values, kind="stable")
    steps = np.arange(len(values), 0, -1)
    refused = values[order] * steps <= alpha
    stop = len(values) - 1 if refused.all() else int(np.argmin(refused))
    factors = np.empty(len(values), dtype=int)
    factors[order] = steps[np.minimum(np.arange(len(values)), stop)]
    return factors


def _check_p_values(ps: ArrayLike) -> np.ndarray:
    values = np.asarray(ps, dtype=float)
    known = values[~np.isnan(values)]
    if values.ndim != 1 or (known < 0).any() or (known > 1).any():
        raise ValueError(f"p-values are one row of numbers from 0 to 1, not {values}")
    return values


MOST_EXACT = 50  # differences, up to which p is counted out


@dataclass(frozen=True)
class Paired:
    """Result of a paired comparison of n pairs; p is two-sided.

    wins: pairs in which the first sample is better. The difference is the first minus the second,
    in the unit of the values.
    """

    n: int
    wins: int
    ties: int
    median_difference: Interval
    p: float


def paired_comparison(
    a: ArrayLike,
    b: ArrayLike,
    better: str,
    *,
    level: float = 0.95,
) -> Paired:
    """Wilcoxon's signed-rank test of a[i] against b[i], and the median of a[i] - b[i].

    A worst value (infinite) against a finite one is a difference of the largest rank; two worst
    values are a tie, a difference of 0. Ties are left out of the test, as by Wilcoxon; if all
    pairs are ties p is 1. p is exact up to 50 differences (over all signs of the ranks, equal
    differences sharing their mean rank) and a normal approximation for more. The limits of the
    median are exact (see `estimates.median_interval`), and nan where no two differences keep the
    level. p is nan for fewer than two pairs; the median is nan where its two middle values are
    infinite in both directions. Raises ValueError for samples of unequal size.

    Source: F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945)
    80-83.
    """
    first, second = ordinal_sample(a), ordinal_sample(b)
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values on both sides: {len(first)}, {len(second)}")
    first_cost, second_cost = costs(first, better), costs(second, better)
    equal = first == second  # two worst values too
    difference = np.subtract(first, second, out=np.zeros(len(first)), where=~equal)
    n, wins, ties = len(first), int((first_cost < second_cost).sum()), int(equal.sum())
    middle = float(_median(difference)) if n else math.nan
    if n < 2:
        return Paired(n, wins, ties, Interval(middle, math.nan, math.nan, level), math.nan)
    interval = Interval(middle, *median_limits(difference, level), level)
    return Paired(n, wins, ties, interval, signed_rank(difference[~equal]))


def signed_rank(differences: np.ndarray) -> float:
    """The two-sided p of Wilcoxon's signed-rank test for differences none of which is 0."""
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(int)  # shared ranks: halves
    total = int(doubled.sum())
    positive = int(doubled[differences > 0].sum())
    smaller = min(positive, total - positive)
    if len(doubled) > MOST_EXACT:
        error = math.sqrt(float((doubled.astype(float) ** 2).sum())) / 2
        return min(1.0, 2 * float(special.ndtr((smaller - total / 2) / error)))
    # chances[s]: the probability that the positive ranks sum up to s, for random signs.
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for rank in doubled:
        shifted = np.concatenate([np.zeros(rank), chances[: total + 1 - rank]])
        chances = (chances + shifted) / 2
    return min(1.0, 2 * float(chances[: smaller + 1].sum()))


def _median(differences: np.ndarray) -> np.ndarray:
    """The median along the last axis; nan between -inf and inf."""
    with np.errstate(invalid="ignore"):
        return np.median(differences, axis=-1)


@dataclass(frozen=True)
class Equivalence:
    """Result of a test of whether two means are the same within `margin`, in the metric's unit.

    `smallest_margin` is the smallest with which they would be; it is no evidence if it is chosen
    after the test. `interval` is that of the difference at level 1 - 2 alpha.
    """

    p: float
    margin: float | None
    equivalent: bool
    smallest_margin: float
    interval: Interval
    note: str = ""


def paired_equivalence(
    a: ArrayLike, b: ArrayLike, margin: float | None, alpha: float = 0.05
) -> Equivalence:
    """Two one-sided t-tests of whether the mean of a[i] - b[i] is within the margin; as `tost`."""
    check_margin(margin)
    level, nan = 1 - 2 * alpha, math.nan
    found = paired_t(a, b, level=level)
    interval = found.difference
    if math.isnan(found.p):
        return Equivalence(nan, margin, False, nan, interval, found.note)
    smallest = max(abs(interval.low), abs(interval.high))
    if margin is None:
        return Equivalence(nan, None, False, smallest, interval, "no margin was set")
    error = (interval.high - interval.value) / -float(special.stdtrit(found.df, alpha))
    p = float(special.stdtr(found.df, (abs(interval.value) - margin) / error))
    return Equivalence(p, margin, smallest <= margin, smallest, interval)


def check_margin(margin: float | None) -> None:
    """UserError for a margin of equivalence that is not a number above 0."""
    if margin is not None and not 0 < margin < math.inf:
        raise UserError(
            f"margin={margin} (--margin {margin}) is no margin of equivalence: type a number above "
            "0 in the unit of the metric, as in --margin 0.05, or leave it out."
        )


def tost(a: ArrayLike, b: ArrayLike, margin: float | None, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t-tests of whether mean(a) - mean(b) is above -margin and below +margin.

    p is the larger of the two. Variances may be unequal (error and degrees of freedom are
    Welch's). Without a margin p is nan and the smallest margin is still computed. Both are nan for
    fewer than two values in a sample, or where neither sample varies. Raises ValueError for
    anything that is not finite, such as worst values, and UserError for a bad margin.

    Source: D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability", Journal of
    Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680.
    """
    check_margin(margin)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha lies between 0 and 0.5, not {alpha}")
    level, nan = 1 - 2 * alpha, math.nan
    first, second = finite_sample(a), finite_sample(b)
    if min(len(first), len(second)) < 2:
        return Equivalence(nan, margin, False, nan, Interval(nan, nan, nan, level), TOO_FEW)
    difference, error, df = welch_difference(first, second)
    if math.isnan(df):
        unknown = Interval(difference, nan, nan, level)
        return Equivalence(nan, margin, False, nan, unknown, NO_VARIANCE)
    reach = -float(special.stdtrit(df, alpha)) * error
    interval = Interval(difference, difference - reach, difference + reach, level)
    smallest = abs(difference) + reach
    if margin is None:
        return Equivalence(nan, None, False, smallest, interval, "no margin was set")
    # The nearer bound decides: the test against the other one has the smaller p.
    p = float(special.stdtr(df, (abs(difference) - margin) / error))
    return Equivalence(p, margin, smallest <= margin, smallest, interval)
