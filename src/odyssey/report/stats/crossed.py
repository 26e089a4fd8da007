"""Means of runs that share seeds: errors where several seeds vary crosswise.

Runs of the same initial weights, or of the same order of the data, are not independent: nine runs
of three times three seeds are fewer than nine draws. Their mean has an error from each seed, and a
test that takes it for the mean of nine draws finds a difference where there is none in a third of
studies (docs/calibration.md, `seeds, crossed`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from odyssey.report.stats.samples import Interval, tail_probability
from odyssey.report.stats.tests import NO_VARIANCE, TOO_FEW, Test

NAN = math.nan


@dataclass(frozen=True)
class CrossedMean:
    """A mean with several estimates of its error, all of which have to be passed.

    errors: each a standard error and its degrees of freedom; empty where there is none
    """

    value: float
    errors: Sequence[tuple[float, float]]

    def test(self, level: float = 0.95) -> Test:
        """The t-test of whether the mean is 0 by the estimate that makes most of chance."""
        outside = tail_probability(level)
        if not self.errors or not any(error > 0 for error, _ in self.errors):
            note = NO_VARIANCE if self.errors else TOO_FEW
            return Test(NAN, NAN, NAN, Interval(self.value, NAN, NAN, level), note)
        found = [(self._p(0.0, *one), *one) for one in self.errors if one[0] > 0]
        p, error, df = max(found)
        reach = max(-float(special.stdtrit(df, outside)) * error for _, error, df in found)
        limits = Interval(self.value, self.value - reach, self.value + reach, level)
        return Test(self.value / error, df, min(1.0, 2 * p), limits)

    def not_within(self, margin: float) -> float:
        """The p of the two one-sided tests of whether the mean lies within the margin."""
        found = [self._p(margin, *one) for one in self.errors if one[0] > 0]
        return max(found, default=NAN)

    def _p(self, margin: float, error: float, df: float) -> float:
        """The probability of a mean as far from the margin, on the far side of it or of 0."""
        distance = abs(self.value)
        apart = -distance if margin == 0 else distance - margin
        return float(special.stdtr(df, apart / error))


def crossed_mean(values: np.ndarray, levels: np.ndarray) -> CrossedMean:
    """The mean of `values` (n) of runs whose seeds are `levels` (n, kinds of seeds).

    Its variance has a part from each kind of seed. For each kind it is estimated from the means
    over the runs that share a seed, with one degree of freedom less than there are seeds: exact
    where only this kind matters. Together the variances are added, less what the residuals of an
    additive model say is counted twice, and are never less than the largest of them; that is
    unbiased, with Satterthwaite's degrees of freedom, which few seeds make uncertain. So all of
    these have to be passed. Balanced or not.

    Sources: F. E. Satterthwaite, "An approximate distribution of estimates of variance components",
    Biometrics Bulletin 2 (1946) 110-114; S. R. Searle, G. Casella and C. E. McCulloch, "Variance
    Components", 1992, chapter 4. Measured: docs/calibration.md, `seeds, crossed`.
    """
    n, kinds = levels.shape
    mean = float(values.mean()) if n else NAN
    counts = [len(np.unique(levels[:, k])) for k in range(kinds)]
    if n < 2 or not kinds or min(counts) < 2:
        return CrossedMean(mean, ())
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return CrossedMean(mean, [(0.0, 1.0)])
    residuals = values - mean
    single = [_cluster_variance(residuals, levels[:, [k]]) for k in range(kinds)]
    errors = [(math.sqrt(v), count - 1.0) for v, count in zip(single, counts, strict=True)]
    if kinds > 1:
        joint = sum(single) - (kinds - 1) * _residual_variance(residuals, levels) / n
        spread = sum(v**2 / (count - 1) for v, count in zip(single, counts, strict=True))
        df = sum(single) ** 2 / spread if spread else 1.0
        errors.append((math.sqrt(max(joint, *single)), df))
    return CrossedMean(mean, errors)


def _cluster_variance(residuals: np.ndarray, levels: np.ndarray) -> float:
    """The variance of a mean whose values are independent but for those of the same levels."""
    _, place = np.unique(levels, axis=0, return_inverse=True)
    sums = np.bincount(place.ravel(), residuals)
    count = len(sums)
    return float((sums**2).sum()) / len(residuals) ** 2 * count / max(count - 1, 1)


def _residual_variance(values: np.ndarray, levels: np.ndarray) -> float:
    """The mean square of the residuals of values with an effect of each seed; 0 of none left."""
    columns = [levels[:, [k]] == np.unique(levels[:, k]) for k in range(levels.shape[1])]
    effects = np.hstack(columns).astype(float)
    fitted, _, rank, _ = np.linalg.lstsq(effects, values, rcond=None)
    left = len(values) - int(rank)
    return float(((values - effects @ fitted) ** 2).sum()) / left if left > 0 else 0.0


def crossed_difference(one: CrossedMean, base: CrossedMean) -> CrossedMean:
    """The difference of two independent means, with an error for each pair of theirs (Welch)."""
    errors = []
    for (a, df_a), (b, df_b) in ((x, y) for x in one.errors for y in base.errors):
        squared = a**2 + b**2
        df = squared**2 / (a**4 / df_a + b**4 / df_b) if squared else 1.0
        errors.append((math.sqrt(squared), df))
    return CrossedMean(one.value - base.value, errors)
