"""p-values adjusted for how many tests were made at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def bonferroni(ps: ArrayLike) -> np.ndarray:
    """Each p-value times the number of tests, at most 1 (Dunn 1961).

    A test that could not be made (nan) stays nan and still counts: it was part of the question
    asked, and leaving it out because of what the data were would make the others look better.

    Source: O. J. Dunn, "Multiple comparisons among means", Journal of the American Statistical
    Association 56 (1961) 52-64.
    """
    values = _checked(ps)
    return np.minimum(values * len(values), 1.0)


def holm(ps: ArrayLike) -> np.ndarray:
    """Holm's step-down p-values: never larger than Bonferroni's, with the same guarantee.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is below the one
    before it. A test that could not be made (nan) stays nan and counts as one more, with the
    largest p, for the reason given under `bonferroni`.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6 (1979) 65-70.
    """
    values = _checked(ps)
    order = np.argsort(values, kind="stable")  # nan last
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _checked(ps: ArrayLike) -> np.ndarray:
    values = np.asarray(ps, dtype=float)
    known = values[~np.isnan(values)]
    if values.ndim != 1 or (known < 0).any() or (known > 1).any():
        raise ValueError(f"p-values are one row of numbers from 0 to 1, not {values}")
    return values
