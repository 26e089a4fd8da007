"""Contrasts of the cells of a grid: effects of a factor's levels, trends and interactions.

A contrast is a weighted sum of the cells' means, with weights that sum to 0. The cells are in the
order of the product of the factors' levels, the last factor fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.power import standard_errors_needed
from odyssey.report.stats.samples import Interval, tail_probability
from odyssey.report.stats.selection import FENCE

EVEN = 1e-3  # by which the steps between levels may differ, in doublings
LEAST_OF_FENCE = 8  # blocks; of fewer, one often lies beyond the fence by chance
CONSTANT = 1e-12  # of the values, below which differences are rounding errors


@dataclass(frozen=True)
class Contrasts:
    """Estimates of m contrasts, with their t-tests. Arrays are (m); nan where none is possible."""

    value: np.ndarray  # in the unit of the values
    error: np.ndarray  # standard error of `value`
    df: np.ndarray
    n: np.ndarray  # blocks that have all values; without blocks, values of the smallest cell
    far_out: np.ndarray  # whether the value of a block lies beyond the outer fence of the others'

    @property
    def p(self) -> np.ndarray:
        """Two-sided p-values, uncorrected."""
        return 2 * special.stdtr(self.df, -np.abs(self.value / self.error))

    def interval(self, place: int, level: float) -> Interval:
        """The t interval of a contrast."""
        value, error, df = (float(a[place]) for a in (self.value, self.error, self.df))
        reach = -float(special.stdtrit(df, tail_probability(level))) * error
        return Interval(value, value - reach, value + reach, level)

    def not_within(self, margin: float) -> np.ndarray:
        """The p-values of two one-sided tests: small where a contrast is within the margin.

        Source: D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987)
        657-680.
        """
        return special.stdtr(self.df, (np.abs(self.value) - margin) / self.error)

    def detectable(self, alpha: float, power: float) -> np.ndarray:
        """The sizes that a further such study finds at `alpha` with the probability `power`."""
        return self.error * [standard_errors_needed(df, alpha, power) for df in self.df.tolist()]


def contrasts_of_blocks(values: ArrayLike, weights: ArrayLike) -> Contrasts:
    """Student's t of each contrast, over blocks: a run of every cell with one seed.

    values: (blocks, cells); what is not finite is not there. weights: (m, cells). Each block gives
    one value of a contrast, from the cells that it weighs; a block that lacks one of them gives
    none. So the error of an effect is how much it differs from block to block, whatever the
    correlations and the variances of the cells: nothing is pooled, and no sphericity is assumed.

    Source: the multivariate approach to repeated measures, S. E. Maxwell and H. D. Delaney,
    "Designing experiments and analyzing data", 2nd edition (2004), chapter 13. Measured:
    docs/calibration.md, part `factors`.
    """
    table, matrix = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    there = np.isfinite(table)
    known = np.where(there, table, 0.0)
    lacking = (~there).astype(float) @ (matrix != 0).T.astype(float)  # (blocks, m)
    found = np.where(lacking == 0, known @ matrix.T, math.nan)
    n = (lacking == 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.nansum(found, axis=0) / n
        squares = np.nansum((found - value) ** 2, axis=0)
        error = np.sqrt(squares / (n - 1) / n)
    largest = float(np.abs(known).max(initial=0.0)) * np.abs(matrix).sum(axis=1)
    usable = (n >= 2) & (error > CONSTANT * largest)
    nan = np.full(len(matrix), math.nan)
    df = np.where(usable, n - 1.0, nan)
    return Contrasts(value, np.where(usable, error, nan), df, n, _far_out(found, usable))


def _far_out(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Whether a value of a column lies farther from its quartiles than `FENCE` of their distance.

    Never of fewer than `LEAST_OF_FENCE`.
    """
    found = np.zeros(values.shape[1], dtype=bool)
    for column in np.flatnonzero(usable):
        known = values[np.isfinite(values[:, column]), column]
        if len(known) >= LEAST_OF_FENCE:
            low, high = np.quantile(known, [0.25, 0.75])
            reach = FENCE * (high - low)
            found[column] = known.max() > high + reach or known.min() < low - reach
    return found


def contrasts_of_samples(samples: Sequence[ArrayLike], weights: ArrayLike) -> Contrasts:
    """Welch's t of each contrast, where the cells' runs have no seed in common.

    samples: of each cell, without what is not finite. weights: (m, cells). Variances may differ;
    degrees of freedom are Satterthwaite's.

    Source: B. L. Welch, "On the comparison of several mean values: an alternative approach",
    Biometrika 38 (1951) 330-336; F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.
    """
    matrix = np.asarray(weights, dtype=float)
    cells = [np.asarray(sample, dtype=float) for sample in samples]
    cells = [sample[np.isfinite(sample)] for sample in cells]
    sizes = np.array([len(sample) for sample in cells])
    means = np.array([sample.mean() if len(sample) else 0.0 for sample in cells])
    # A sum of squares of equal values need not round to 0, so this is asked of the values.
    parts = np.array(
        [s.var(ddof=1) / len(s) if len(s) > 1 and np.ptp(s) > 0 else 0.0 for s in cells]
    )
    used = matrix != 0
    n = np.where(used, sizes, np.iinfo(int).max).min(axis=1)
    terms = matrix**2 * parts  # (m, cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = terms.sum(axis=1)
        df = squared**2 / (terms**2 / np.maximum(sizes - 1, 1)).sum(axis=1)
    usable = (n >= 2) & (squared > 0)
    nan = np.full(len(matrix), math.nan)
    value = np.where(n >= 1, matrix @ means, nan)
    error, df = np.where(usable, np.sqrt(squared), nan), np.where(usable, df, nan)
    return Contrasts(value, error, df, n, np.zeros(len(matrix), dtype=bool))


def level_contrasts(levels: int, reference: int) -> np.ndarray:
    """Each level minus the reference, (levels - 1, levels), without that of the reference."""
    found = np.eye(levels)
    found[:, reference] -= 1
    return np.delete(found, reference, axis=0)


def trend_contrast(values: Sequence[float]) -> np.ndarray | None:
    """The slope of the levels' means by log2 of their values: the change with each doubling.

    Least squares. None for fewer than three levels, for values that are not positive, and where
    their logarithms are not evenly spaced: 8, 16, 32 are, and 10, 30, 90.
    """
    if len(values) < 3 or not all(0 < v < math.inf for v in values):
        return None
    logs = np.log2(values)
    steps = np.diff(logs)
    if np.ptp(steps) > EVEN:
        return None
    around = logs - logs.mean()
    return around / float(around @ around)


def cell_weights(parts: Sequence[ArrayLike]) -> np.ndarray:
    """The weights of the cells, (cells), from a row for each factor: their outer product."""
    found = np.ones(1)
    for part in parts:
        found = np.kron(found, np.asarray(part, dtype=float))
    return found
