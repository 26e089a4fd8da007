"""How probable it is that a mean is better, the same within a margin, or worse.

These are posterior probabilities under a normal model, not error rates of a decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.samples import finite_sample
from odyssey.report.stats.tests import check_margin

_nodes, _weights = np.polynomial.legendre.leggauss(400)
QUANTILES, WEIGHTS = (_nodes + 1) / 2, _weights / 2  # of an integral from 0 to 1


@dataclass(frozen=True)
class Chances:
    """Posterior probabilities of the true difference of two means; they sum to 1.

    same: that it is within the margin; 0 where none was given. All are nan where they are unknown.
    """

    better: float
    same: float
    worse: float

    @property
    def known(self) -> bool:
        return not math.isnan(self.better)


UNKNOWN_CHANCES = Chances(math.nan, math.nan, math.nan)


def paired_chances(a: ArrayLike, b: ArrayLike, better: str, margin: float | None = None) -> Chances:
    """Chances that the mean of `a` is better than that of `b`, from pairs a[i], b[i].

    The differences are taken to be normal with unknown mean and standard deviation s, with the
    prior 1 / s: the posterior of the mean is Student's t with n - 1 degrees of freedom, around the
    mean found. That is Benavoli's correlated t with a correlation of 0: runs of different seeds on
    one fixed split share no fold. Unknown for fewer than two pairs, and where no difference varies.

    Source: A. Benavoli, G. Corani, J. Demsar and M. Zaffalon, "Time for a change: a tutorial for
    comparing multiple classifiers through Bayesian analysis", Journal of Machine Learning Research
    18 (2017) 1-36, section 4.1. Measured: docs/calibration.md, part `chances`.
    """
    check_margin(margin)
    first, second = finite_sample(a), finite_sample(b)
    if len(first) != len(second):
        raise ValueError(f"pairs need as many values on both sides: {len(first)}, {len(second)}")
    differences, n = first - second, len(first)
    if n < 2 or np.ptp(differences) <= 1e-12 * max(np.abs(first).max(), np.abs(second).max()):
        return UNKNOWN_CHANCES
    middle, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)

    def below(limit: float) -> float:
        return float(special.stdtr(n - 1, (limit - middle) / error))

    def above(limit: float) -> float:
        return float(special.stdtr(n - 1, (middle - limit) / error))

    return _chances(below(-(margin or 0.0)), above(margin or 0.0), better, margin)


def unpaired_chances(
    a: ArrayLike, b: ArrayLike, better: str, margin: float | None = None
) -> Chances:
    """Chances that the mean of `a` is better than that of `b`, of two independent samples.

    As `paired_chances`, with an unknown standard deviation for each sample: the posterior of the
    difference is that of two independent t variables (Behrens and Fisher), integrated numerically.
    Unknown for fewer than two values in a sample, and where one of them does not vary.

    Source: G. E. P. Box and G. C. Tiao, "Bayesian inference in statistical analysis" (1973),
    section 2.5.2.
    """
    check_margin(margin)
    first, second = finite_sample(a), finite_sample(b)
    if min(len(first), len(second)) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return UNKNOWN_CHANCES
    middle = float(first.mean() - second.mean())
    (narrow, narrow_df), (wide, wide_df) = sorted(
        (float(x.std(ddof=1)) / math.sqrt(len(x)), len(x) - 1) for x in (first, second)
    )
    # Both are symmetric, so it does not matter which of them is subtracted. The wider one is inside
    # the integral, where its distribution function is smooth over the quantiles of the other.
    of_narrow = narrow * special.stdtrit(narrow_df, QUANTILES)

    def beyond(distance: float) -> float:
        """The probability of lying further on one side of the middle than `distance`."""
        return float(WEIGHTS @ special.stdtr(wide_df, (of_narrow - distance) / wide))

    reach = margin or 0.0
    return _chances(beyond(middle + reach), beyond(reach - middle), better, margin)


def _chances(below: float, above: float, better: str, margin: float | None) -> Chances:
    """below, above: the probabilities of a difference below -margin, and above margin."""
    good, bad = (below, above) if better == "lower" else (above, below)
    return Chances(good, 0.0 if margin is None else max(0.0, 1 - good - bad), bad)
