"""Marginals to draw: the outcome against one parameter or two, averaged over all the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.report.anova.axes import Axis
from odyssey.report.anova.forest import Floats
from odyssey.report.statistics.interval import tail

POINTS = 50  # of a curve
SURFACE_POINTS = 24  # of each side of a surface
LEVEL = 0.95  # share of the trees between low and high


@dataclass(frozen=True)
class Curve:
    """The mean outcome at each value of one axis, all others averaged over their range.

    x: values, growing; of a choice, the choices that points had. mean: of the trees, in the
    outcome's units. low, high: the middle 95% of the trees lie between: how far trees grown on
    other draws of the points differ, not where single outcomes lie.
    """

    x: tuple[Any, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Surface:
    """The mean outcome at each pair of values of two axes, all others averaged: mean[i][j] is at
    x[i] and y[j]. Both main effects and the constant are in it."""

    x: tuple[Any, ...]
    y: tuple[Any, ...]
    mean: tuple[tuple[float, ...], ...]

    def turned(self) -> Surface:
        """The same with x and y exchanged."""
        return Surface(self.y, self.x, tuple(zip(*self.mean, strict=True)))


def grid(axis: Axis, points: int = POINTS) -> tuple[Any, ...]:
    """Values to draw an axis at: all it has, or so many, evenly over its coordinate."""
    if axis.kind == "choice":
        return axis.choices
    if axis.size is not None and axis.size <= points:
        return tuple(range(int(axis.low), int(axis.high) + 1))
    values = axis.from_unit(np.linspace(0, 1, points))
    return tuple(dict.fromkeys(values))


def curve(x: Sequence[Any], heights: Floats) -> Curve:
    """The curve of the marginals of trees, (trees, len(x))."""
    mean = heights.mean(axis=0)
    low, high = np.quantile(heights, [tail(LEVEL), 1 - tail(LEVEL)], axis=0)
    # The mean lies outside where a few trees are far from all others.
    low, high = np.minimum(low, mean), np.maximum(high, mean)
    return Curve(tuple(x), tuple(mean.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def surface(x: Sequence[Any], y: Sequence[Any], height: Floats) -> Surface:
    """The surface of the trees' mean marginal, (len(x), len(y))."""
    return Surface(tuple(x), tuple(y), tuple(map(tuple, height.tolist())))
