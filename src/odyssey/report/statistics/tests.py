"""Do two samples differ? Welch's t-test on means, the Brunner-Munzel test on ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from odyssey.report.statistics.interval import Interval, one_sided_pairs, tail
from odyssey.report.statistics.values import comparable, finite

NAN = math.nan
TOO_FEW = "a sample has fewer than two values"
NO_VARIANCE = "no value differs from its sample's others, so the error of the difference is unknown"
SMALL = "a sample has fewer than 10 values, where the p-value is only rough"


@dataclass(frozen=True)
class Test:
    """A two-sided test: what was estimated, and how surprising it is if nothing differs.

    `p` is nan where the test could not be made; `note` says why, or what to be wary of.
    """

    statistic: float
    df: float
    p: float
    difference: Interval
    note: str = ""


def mean_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
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
    """Welch's t-test: are the means of two samples of unequal variance the same?

    The difference is mean(a) - mean(b) in the unit of the values, with its t interval. p is nan,
    with a note, for fewer than two values in a sample and where neither sample varies. A mean has
    no place for worst values: ValueError for anything that is not finite.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34 (1947) 28-35.
    """
    outside = tail(level)
    first, second = finite(a), finite(b)
    if min(len(first), len(second)) < 2:
        known = len(first) and len(second)
        value = float(first.mean() - second.mean()) if known else NAN
        return Test(NAN, NAN, NAN, Interval(value, NAN, NAN, level), TOO_FEW)
    difference, error, df = mean_difference(first, second)
    if math.isnan(df):
        return Test(NAN, NAN, NAN, Interval(difference, NAN, NAN, level), NO_VARIANCE)
    t = difference / error
    p = 2 * float(special.stdtr(df, -abs(t)))
    reach = -float(special.stdtrit(df, outside)) * error
    return Test(t, df, p, Interval(difference, difference - reach, difference + reach, level))


def brunner_munzel(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Test:
    """Brunner-Munzel test: is a value of `a` as likely below one of `b` as above it?

    The difference is P(a < b) + P(a = b) / 2, 0.5 if neither tends to be smaller, with its t
    interval cut to [0, 1]. Only the order of the values counts: worst values (infinities) are
    ties at the worst. p is nan for fewer than two values in a sample.

    Where nothing varies the statistic is undefined, and p is that of the permutation test
    (the way of Neubert and Brunner 2007 for small samples): for two samples that do not
    overlap 2 / C(n_a + n_b, n_a), two labellings of all being that extreme, with a statistic of
    -inf or inf; if all values are equal, 1, with a statistic of 0. df is nan in both, and the
    limits are those of `one_sided_pairs`.

    Source: E. Brunner and U. Munzel, "The nonparametric Behrens-Fisher problem: asymptotic theory
    and a small-sample approximation", Biometrical Journal 42 (2000) 17-25.
    """
    outside = tail(level)
    first, second = comparable(a), comparable(b)
    comparable(np.concatenate([first, second]))  # the worst is the same infinity in both
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
        limits = one_sided_pairs(chance, n, m, level)
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
