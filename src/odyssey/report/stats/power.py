"""What a design of repeated seeds can find: power of the t-tests that decide."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats


def _integral(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of an integral from 0 to 1, by Gauss and Legendre."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1) / 2, weights / 2


QUANTILES, WEIGHTS = _integral(300)
FEW_QUANTILES, FEW_WEIGHTS = _integral(60)  # of a double integral
MOST_SEEDS = 10_000  # of each variant, beyond which nobody plans


def power(difference: float, sd: float, n: int, alpha: float, correlation: float | None) -> float:
    """The probability that n seeds of two variants find a difference of their means.

    difference, sd: of the values, in one unit; sd is that of a variant's seeds. alpha: the level,
    two-sided; for one of m comparisons alpha / m, which leaves out the little that Holm's
    correction adds. correlation: of runs of the same seed, for the t-test of pairs; None for
    Welch's, with equal variances. Measured against: docs/calibration.md, part `power`.

    Source: J. Cohen, "Statistical power analysis for the behavioral sciences" (1988), chapter 2.
    """
    if n < 2:
        return 0.0
    shared = 0.0 if correlation is None else correlation
    error = sd * math.sqrt(2 * (1 - shared) / n)
    if error == 0:
        return 1.0 if difference else alpha
    df = n - 1 if correlation is not None else 2 * (n - 1)
    critical, shift = float(stats.t.isf(alpha / 2, df)), abs(difference) / error
    # The mean over all scatters found, at their quantiles: SciPy's noncentral t is nan far out.
    found = critical * np.sqrt(stats.chi2.ppf(QUANTILES, df) / df)
    return min(1.0, float(WEIGHTS @ (special.ndtr(shift - found) + special.ndtr(-shift - found))))


def detectable(
    sd: float, n: int, alpha: float, correlation: float | None, wanted: float = 0.8
) -> float:
    """The difference that n seeds find with probability `wanted`; inf for fewer than two."""
    if n < 2:
        return math.inf
    if sd == 0 or correlation == 1:
        return 0.0
    high = sd
    while power(high, sd, n, alpha, correlation) < wanted:
        high *= 2
    found = optimize.brentq(lambda d: power(d, sd, n, alpha, correlation) - wanted, 0, high)
    return float(found)


def standard_errors_needed(df: float, alpha: float, wanted: float = 0.8) -> float:
    """The difference that a further study like this one finds with probability `wanted`.

    It is in standard errors of this study, whose scatter is itself a draw: a study of few seeds
    that scatters little by chance would promise too much otherwise. df: degrees of freedom of the
    t-test, rounded down to quarters, so that it is computed once for many tests; nan for fewer
    than one. alpha: the level, two-sided. Measured: docs/calibration.md, part `detectable`.
    """
    return _errors_needed(math.floor(4 * df) / 4, alpha, wanted) if df >= 1 else math.nan


@lru_cache(maxsize=4096)
def _errors_needed(df: float, alpha: float, wanted: float) -> float:
    critical = float(stats.t.isf(alpha / 2, df))
    scatter = np.sqrt(stats.chi2.ppf(FEW_QUANTILES, df) / df)
    weights = FEW_WEIGHTS[:, None] * FEW_WEIGHTS[None, :]

    def missing(size: float) -> float:
        found = special.ndtr(size * scatter[:, None] - critical * scatter[None, :])
        return float((weights * found).sum()) - wanted

    high = critical + 1
    while missing(high) < 0:
        high *= 2
    return float(optimize.brentq(missing, 0, high, xtol=1e-3))


def seeds_needed(
    difference: float, sd: float, alpha: float, correlation: float | None, wanted: float = 0.8
) -> int | None:
    """The fewest seeds that find a difference with probability `wanted`; None for too many."""
    if power(difference, sd, MOST_SEEDS, alpha, correlation) < wanted:
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, sd, middle, alpha, correlation) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high
