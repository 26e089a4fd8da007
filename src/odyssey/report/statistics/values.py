"""What the statistics accept: numbers, with the worst result as an infinity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

CHUNK = 1_000_000  # numbers in memory at a time while resampling


def comparable(values: ArrayLike) -> np.ndarray:
    """One sample as floats; the worst result (diverged, failed) may be an infinity.

    ValueError for nan, and for infinities of both signs: only one of them can be the worst.
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1:
        raise ValueError(f"a sample is one row of numbers, not an array of shape {sample.shape}")
    refuse_undefined(sample)
    return sample


def refuse_undefined(values: np.ndarray) -> None:
    """ValueError for nan and for infinities of both signs."""
    if np.isnan(values).any():
        raise ValueError("a value is nan: leave the run out, or give it the worst value")
    if np.isposinf(values).any() and np.isneginf(values).any():
        raise ValueError("values are infinite in both directions: only one can be the worst")


def finite(values: ArrayLike) -> np.ndarray:
    """One sample for a method that needs distances: ValueError for anything not finite."""
    sample = comparable(values)
    if np.isinf(sample).any():
        raise ValueError("this statistic has no place for an infinite (worst) value")
    return sample


def costs(values: ArrayLike, better: str) -> np.ndarray:
    """One sample turned so that smaller is better and the worst is +inf.

    ValueError for an infinity on the good side: there, something was encoded the wrong way round.
    """
    if better not in ("lower", "higher"):
        raise ValueError(f"better is 'lower' or 'higher', not {better!r}")
    cost = comparable(values) * (1.0 if better == "lower" else -1.0)
    if np.isneginf(cost).any():
        raise ValueError(f"an infinitely good value: where {better} is better, the worst is not it")
    return cost


def chunks(draws: int, width: int) -> Iterator[int]:
    """How many bootstrap draws of `width` numbers to make at a time, until `draws` are made."""
    if draws < 1:
        raise ValueError(f"a bootstrap needs at least one draw, not {draws}")
    rows = max(1, CHUNK // max(1, width))
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
