"""Are two means the same within a margin? Two one-sided tests."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import special

from odyssey.errors import UserError
from odyssey.report.statistics.interval import Interval
from odyssey.report.statistics.tests import NO_VARIANCE, TOO_FEW, mean_difference
from odyssey.report.statistics.values import finite


@dataclass(frozen=True)
class Equivalence:
    """Whether two means were shown to be the same within `margin` (in the metric's unit).

    `smallest_margin` is the one with which it would just be shown, whatever `margin` is; choosing
    it after the fact shows nothing. `interval` is that of the difference at level 1 - 2 alpha.
    """

    p: float
    margin: float | None
    equivalent: bool
    smallest_margin: float
    interval: Interval
    note: str = ""


def check_margin(margin: float | None) -> None:
    """UserError for a margin of equivalence that is not a number above 0."""
    if margin is not None and not 0 < margin < math.inf:
        raise UserError(
            f"margin={margin} (--margin {margin}) is no margin of equivalence: type a number above "
            "0 in the unit of the metric, as in --margin 0.05, or leave it out."
        )


def tost(a: ArrayLike, b: ArrayLike, margin: float | None, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t-tests: is mean(a) - mean(b) above -margin and below +margin?

    p is the larger of the two. Variances may be unequal (error and degrees of freedom are
    Welch's). Without a margin p is nan and nothing is shown, but the smallest margin is given. It
    is nan for fewer than two values in a sample, or where neither sample varies. No place for
    worst values: ValueError for anything that is not finite. UserError for a bad margin.

    Source: D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability", Journal of
    Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680.
    """
    check_margin(margin)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha lies between 0 and 0.5, not {alpha}")
    level, nan = 1 - 2 * alpha, math.nan
    first, second = finite(a), finite(b)
    if min(len(first), len(second)) < 2:
        return Equivalence(nan, margin, False, nan, Interval(nan, nan, nan, level), TOO_FEW)
    difference, error, df = mean_difference(first, second)
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
