"""Where the scatter of runs comes from: components of variance of crossed factors.

The value of a run is a mean plus a random effect of each factor (its settings, weights, order of
the data, split) plus a remainder: interactions, and what nothing here explains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from odyssey.report.stats.samples import Interval, percentiles

DRAWS = 4000
REST = "remainder"
TOGETHER = 1e-9  # of a trace: a factor that the others determine has no share of its own


@dataclass(frozen=True)
class Budget:
    """Shares of the variance of a single run: by factor, and of the remainder under REST.

    They add up to 1. A component whose estimate is below 0 counts as 0. Intervals are nan where a
    factor could not be told.
    """

    shares: Mapping[str, Interval]
    variance: float  # the sum of the components
    runs: int


@dataclass(frozen=True)
class VarianceRow:
    """The budget of a variant, of all together, or of the difference of a variant to the baseline.

    seeds, items: standard errors of the mean difference, from the seeds and from the test items
    """

    label: str
    budget: Budget
    seeds: float = math.nan
    items: float = math.nan

    @property
    def of_difference(self) -> bool:
        """Whether it is of a difference."""
        return not math.isnan(self.seeds)


@dataclass(frozen=True)
class _Squares:
    """The mean squares of one table, and of which components they consist.

    sums (F + 1): of each factor beyond all others, then of the remainder; df (F + 1)
    traces (F): by which the variance of an effect enters its sum of squares
    """

    sums: np.ndarray
    df: np.ndarray
    traces: np.ndarray


def budget(
    tables: Sequence[tuple[np.ndarray, np.ndarray]],
    factors: Sequence[str],
    *,
    level: float = 0.95,
    same_seeds: bool = True,
    seed: int = 0,
) -> Budget | None:
    """The shares of the factors in the variance of a run, pooled over `tables`.

    tables: of each variant its values (n) and the levels of the factors (n, F).
    same_seeds: whether the tables have the same levels, which may act alike in all of them. The
        intervals then are as wide as those of one table.

    The method of moments: each factor's sum of squares beyond all other factors, and that of the
    residuals, are set equal to their expectations (Henderson's method 3 for additive effects; of a
    balanced table this is the analysis of variance). Intervals are generalized ones: sums of
    squares are divided by draws of chi-squared, each set of draws gives shares, and the limits are
    their percentiles. Effects are taken to be normal. None where no variance can be told apart, as
    where no run shares a level with another.

    Sources: C. R. Henderson, "Estimation of variance and covariance components", Biometrics 9
    (1953) 226-252; S. Weerahandi, "Generalized confidence intervals", Journal of the American
    Statistical Association 88 (1993) 899-905. Measured: docs/calibration.md, “Where the scatter
    comes from”.
    """
    found = [s for values, levels in tables if (s := _squares(values, levels)) is not None]
    if not found:
        return None
    sums, df, traces = (
        np.sum([getattr(s, name) for s in found], axis=0) for name in ("sums", "df", "traces")
    )
    if df[-1] < 1 or (df[:-1] < 1).any():
        return None
    components = _components(sums, df, traces)
    total = float(components.sum())
    if not total > 0:
        return None
    known = np.max([s.df for s in found], axis=0) if same_seeds else df
    random = np.random.default_rng(seed)
    # A sum of squares over its expectation is chi-squared over its degrees of freedom.
    drawn = random.chisquare(known, (DRAWS, len(df))) / known
    parts = _components(sums / drawn, df, traces)
    whole = parts.sum(axis=1, keepdims=True)
    shares = np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0)
    low, high = percentiles(shares, level)
    if not low[:-1].any():  # no factor is known to act, so that all may be the remainder
        high[-1] = 1.0
    values = components / total
    return Budget(
        {
            name: Interval(float(v), float(min(a, v)), float(max(b, v)), level)
            for name, v, a, b in zip((*factors, REST), values, low, high, strict=True)
        },
        total,
        sum(len(values) for values, _ in tables),
    )


def _components(sums: np.ndarray, df: np.ndarray, traces: np.ndarray) -> np.ndarray:
    """The variances of the effects and of the remainder, (…, F + 1), none below 0."""
    rest = sums[..., -1:] / df[-1]
    effects = (sums[..., :-1] - rest * df[:-1]) / traces
    return np.maximum(np.concatenate([effects, rest], axis=-1), 0.0)


def _squares(values: np.ndarray, levels: np.ndarray) -> _Squares | None:
    """None of a table with too few runs to tell its factors apart, or without scatter."""
    n, count = levels.shape
    if n < 3 or not count or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return None
    values = values - values.mean()
    designs = [(levels[:, [k]] == np.unique(levels[:, k])).astype(float) for k in range(count)]
    residual, rank = _residual(designs, values)
    sums, df, traces = [], [], []
    for k, own in enumerate(designs):
        others = [d for j, d in enumerate(designs) if j != k]
        without, fewer = _residual(others, values)
        left, _ = _residual(others, own)
        sums.append(float(without @ without - residual @ residual))
        df.append(rank - fewer)
        traces.append(float((left**2).sum()))
    if min(traces) < TOGETHER or n - rank < 1:
        return None
    sums.append(float(residual @ residual))
    return _Squares(np.maximum(sums, 0.0), np.array([*df, n - rank]), np.array(traces))


def _residual(designs: Sequence[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, int]:
    """What a mean and the effects of some factors leave of values (n) or (n, …); their rank."""
    columns = np.hstack([np.ones((len(values), 1)), *designs])
    left, strengths, _ = np.linalg.svd(columns, full_matrices=False)
    basis = left[:, strengths > 1e-9 * math.sqrt(len(values))]
    return values - basis @ (basis.T @ values), basis.shape[1]
