"""Shares of runs, such as how many diverged."""

from __future__ import annotations

import math

from scipy import special

from odyssey.report.statistics.interval import Interval, tail


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The share successes / n with Wilson's score interval; nan for n = 0.

    ValueError if not 0 <= successes <= n.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927) 209-212.
    """
    z = -float(special.ndtri(tail(level)))
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
