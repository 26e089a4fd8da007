"""The mean outcome along one axis and over two, all others averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats, Points
from odyssey.report.fanova.forest import TreeVariance
from odyssey.report.fanova.polynomials import Posterior
from odyssey.report.stats.samples import tail_probability

POINTS = 50  # of a curve
SURFACE_POINTS = 24  # along each side of a surface
LEVEL = 0.95  # part of the functions between low and high

Curves = tuple[dict[str, "Curve"], dict[tuple[str, str], "Surface"]]


@dataclass(frozen=True)
class Curve:
    """The mean outcome at values of one axis, averaged over the ranges of all others.

    x: values in increasing order, or the choices that points have.
    mean: in the outcome's unit, of the functions drawn from the posterior, or of the trees.
    low, high: limits of the middle 95% of these functions. Those of trees show how trees of other
        samples differ; neither shows where single outcomes lie.
    """

    x: tuple[Any, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Surface:
    """The mean outcome at values of two axes, averaged over the ranges of all others.

    mean[i][j] is at x[i] and y[j], and includes the constant and both main effects.
    """

    x: tuple[Any, ...]
    y: tuple[Any, ...]
    mean: tuple[tuple[float, ...], ...]

    def turned(self) -> Surface:
        """The surface with x and y exchanged."""
        return Surface(self.y, self.x, tuple(zip(*self.mean, strict=True)))


def axis_values(axis: Axis, points: int = POINTS) -> tuple[Any, ...]:
    """Values at which to draw an axis: all, or `points` of them evenly over its coordinate."""
    if axis.kind == "choice":
        return axis.choices
    if axis.size is not None and axis.size <= points:
        return tuple(range(int(axis.low), int(axis.high) + 1))
    values = axis.from_unit(np.linspace(0, 1, points))
    return tuple(dict.fromkeys(values))


def make_curve(x: Sequence[Any], heights: Floats) -> Curve:
    """The curve of the marginals of functions, (functions, len(x))."""
    mean = heights.mean(axis=0)
    low, high = np.quantile(heights, [tail_probability(LEVEL), 1 - tail_probability(LEVEL)], axis=0)
    # With a few functions far from all others the mean may lie outside.
    low, high = np.minimum(low, mean), np.maximum(high, mean)
    return Curve(tuple(x), tuple(mean.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def make_surface(x: Sequence[Any], y: Sequence[Any], height: Floats) -> Surface:
    """The surface of the mean marginal, (len(x), len(y))."""
    return Surface(tuple(x), tuple(y), tuple(map(tuple, height.tolist())))


def forest_curves(
    found: Points, parted: Sequence[TreeVariance], spread: float, shift: float
) -> Curves:
    """Curves and surfaces in the outcome's unit: spread * height + shift."""
    curves, surfaces = {}, {}
    for a, axis in enumerate(found.axes):
        x = axis_values(found.ordered[a])
        u = axis.to_unit(x)
        heights = np.array([p.mean + p.steps[a].at(u) for p in parted])
        curves[axis.name] = make_curve(x, heights * spread + shift)
    for a, b in combinations(range(len(found.axes)), 2):
        x, y = (axis_values(found.ordered[j], SURFACE_POINTS) for j in (a, b))
        u, v = found.axes[a].to_unit(x), found.axes[b].to_unit(y)
        height = np.mean([p.mean + p.planes[a, b].at(u, v) for p in parted], axis=0)
        name = found.axes[a].name, found.axes[b].name
        surfaces[name] = make_surface(x, y, height * spread + shift)
    return curves, surfaces


def posterior_curves(found: Points, posterior: Posterior, spread: float, shift: float) -> Curves:
    """Curves and surfaces in the outcome's unit: spread * height + shift."""
    curves, surfaces = {}, {}
    for a, axis in enumerate(found.axes):
        x = axis_values(found.ordered[a])
        heights = posterior.mean[:, None] + posterior.effect((a,), [axis.to_unit(x)])
        curves[axis.name] = make_curve(x, heights * spread + shift)
    for a, b in combinations(range(len(found.axes)), 2):
        x, y = (axis_values(found.ordered[j], SURFACE_POINTS) for j in (a, b))
        u, v = found.axes[a].to_unit(x), found.axes[b].to_unit(y)
        height = (
            posterior.mean.mean()
            + posterior.effect((a,), [u]).mean(axis=0)[:, None]
            + posterior.effect((b,), [v]).mean(axis=0)
            + posterior.effect((a, b), [u, v]).mean(axis=0)
        )
        name = found.axes[a].name, found.axes[b].name
        surfaces[name] = make_surface(x, y, height * spread + shift)
    return curves, surfaces
