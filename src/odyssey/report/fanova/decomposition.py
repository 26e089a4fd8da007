"""Functional ANOVA: shares of the variance of an outcome explained by parameters and interactions.

The function is a random forest: F. Hutter, H. Hoos and K. Leyton-Brown, "An efficient approach for
assessing hyperparameter importance", ICML 2014; the decomposition is that of Sobol (1993). Shares
of singles, pairs and the rest add up to 1. They are for parameters drawn independently and
uniformly in the coordinates of their axes, and depend on the ranges of these: a parameter may be
important in a wider range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats, Points, read_points
from odyssey.report.fanova.forest import TreeVariance, decompose_tree, grow_forest
from odyssey.report.stats.samples import Interval, tail_probability

POINTS = 50  # of a curve
SURFACE_POINTS = 24  # along each side of a surface
LEVEL = 0.95  # part of the trees between low and high


@dataclass(frozen=True)
class Curve:
    """The mean outcome at values of one axis, averaged over the ranges of all others.

    x: values in increasing order, or the choices that points have.
    mean: of the trees, in the outcome's unit.
    low, high: limits of the middle 95% of the trees; they show how trees of other samples differ,
        not where single outcomes lie.
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
    """The curve of the marginals of trees, (trees, len(x))."""
    mean = heights.mean(axis=0)
    low, high = np.quantile(heights, [tail_probability(LEVEL), 1 - tail_probability(LEVEL)], axis=0)
    # With a few trees far from all others the mean may lie outside.
    low, high = np.minimum(low, mean), np.maximum(high, mean)
    return Curve(tuple(x), tuple(mean.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def make_surface(x: Sequence[Any], y: Sequence[Any], height: Floats) -> Surface:
    """The surface of the trees' mean marginal, (len(x), len(y))."""
    return Surface(tuple(x), tuple(y), tuple(map(tuple, height.tolist())))


FEWEST = 10  # configurations for a forest
WEAK = 0.5  # R^2, below which a note warns that shares are rough
UNKNOWN = Interval(math.nan, math.nan, math.nan, LEVEL)


@dataclass(frozen=True)
class Decomposition:
    """Decomposition of the variance of the outcome over the ranges of some axes.

    n: points used.
    variance: over the axes' ranges, mean of the trees, in the outcome's squared unit.
    r2: out-of-bag R^2 of the forest.
    singles, pairs, rest: shares of the variance, as means of the trees with the limits of the
        middle 95% of them. Pairs are interactions of two axes, the rest those of three and more.
        nan where no forest could be used; the note has the reason.
    curves: by axis. surfaces: by pair.
    """

    axes: tuple[Axis, ...]
    n: int
    variance: float
    r2: float
    singles: dict[str, Interval]
    pairs: dict[tuple[str, str], Interval]
    rest: Interval
    curves: dict[str, Curve] = field(default_factory=dict)
    surfaces: dict[tuple[str, str], Surface] = field(default_factory=dict, repr=False)
    note: str = ""

    def surface(self, a: str, b: str) -> Surface | None:
        """The surface of two axes with `a` along x, or None."""
        if (a, b) in self.surfaces:
            return self.surfaces[a, b]
        other = self.surfaces.get((b, a))
        return other.turned() if other else None


def decompose(
    axes: Sequence[Axis],
    points: Sequence[Mapping[str, Any]],
    outcome: Sequence[float],
    *,
    trees: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Decomposition:
    """Decompose the variance of an outcome.

    points: configurations, mappings from name of an axis (or key) to value. Those with a value
        out of its axis' range, or of another type, are left out with a note. Equal ones count
        once, with the mean of their outcomes.
    outcome: of each point.
    progress: called with the number of trees done, and of all.

    Raises ValueError for an outcome that is not finite, for another number of outcomes than of
    points, and for two axes of one name.
    """
    y = np.array(outcome, dtype=float)
    if y.shape != (len(points),):
        raise ValueError(f"{len(points)} points have outcomes of shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError("an outcome is not finite: put the worst value in its place, or leave out")
    if len({axis.name for axis in axes}) != len(axes):
        raise ValueError(f"two axes have one name: {[axis.name for axis in axes]}")
    found = read_points(axes, points, y)
    empty = _empty(axes, found.used)
    if why := _why_impossible(found, len(axes)):
        return replace(empty, note=_join_notes([*found.notes, why]))
    # Standardized and rounded, so that the trees do not depend on the outcome's unit.
    scale = float(np.abs(found.outcome).max())
    inside = found.outcome / scale
    shift, spread = float(inside.mean()), float(inside.std())
    standard = np.round((inside - shift) / spread, 10)
    forest = grow_forest(
        found.axes, found.unit, standard, trees=trees, seed=seed, progress=progress
    )
    parted = [decompose_tree(tree) for tree in forest.trees]
    variance = float(np.mean([p.variance for p in parted]))
    unit = spread * scale
    known = replace(empty, variance=variance * unit * unit, r2=forest.r2)
    rows = len(found.outcome)
    notes = [*found.notes, *_extreme_notes(standard)]
    if not forest.r2 > least_r2(rows):
        why = (
            f"the forest predicts too little of points it has not seen (R^2 {forest.r2:.2f}, "
            f"{rows} configurations): no share can be told from noise"
        )
        return replace(known, note=_join_notes([*notes, why]))
    if forest.r2 < WEAK:
        notes.append(
            f"the forest predicts only {forest.r2:.0%} of the variance of points it has not seen: "
            "the shares are rough"
        )
    curves, surfaces = _marginal_curves(found, parted, unit, shift * scale)
    if len(found.axes) == 1:
        notes.append("one parameter varies: there is nothing to share the variance with")
        return replace(known, curves=curves, note=_join_notes(notes))
    singles, pairs, rest = _variance_shares(found.axes, parted)
    return replace(
        known,
        singles=known.singles | singles,
        pairs=known.pairs | pairs,
        rest=rest,
        curves=curves,
        surfaces=surfaces,
        note=_join_notes(notes),
    )


def least_r2(configurations: int) -> float:
    """The out-of-bag R^2 above which a forest is taken to have found more than noise.

    Outcomes of pure noise (normal, lognormal) exceeded it in about one case of twenty or less, in
    simulations of 10 to 1,000 configurations of 2 to 5 axes.
    """
    return 0.05 + 5 / configurations


def _empty(axes: Sequence[Axis], used: int) -> Decomposition:
    names = [axis.name for axis in axes]
    return Decomposition(
        axes=tuple(axes),
        n=used,
        variance=math.nan,
        r2=math.nan,
        singles=dict.fromkeys(names, UNKNOWN),
        pairs=dict.fromkeys(combinations(names, 2), UNKNOWN),
        rest=UNKNOWN,
    )


def _why_impossible(found: Points, axes: int) -> str:
    """The reason why no forest can be grown; empty if there is none."""
    rows = len(found.outcome)
    if rows < FEWEST:
        return f"{rows} different configurations are too few: it takes {FEWEST}"
    if not found.axes:
        return "no parameter varies" if axes else "there is no parameter"
    if np.ptp(found.outcome) <= 1e-12 * np.abs(found.outcome).max():
        return "the outcome does not vary"
    return ""


def _extreme_notes(standard: Floats) -> list[str]:
    """A note if the most extreme hundredth of the configurations has most of the variance.

    standard: outcomes with mean 0 and variance 1.
    """
    few = max(1, len(standard) // 100)
    held = float(np.sort(standard**2)[-few:].sum() / len(standard))
    if held <= 0.5:
        return []
    return [
        f"the most extreme {few} of {len(standard)} configurations hold {held:.0%} of the "
        "variance, so that shares are about them"
    ]


def _variance_shares(
    axes: Sequence[Axis], parted: Sequence[TreeVariance]
) -> tuple[dict[str, Interval], dict[tuple[str, str], Interval], Interval]:
    # Trees whose sample has equal outcomes have no variance.
    varying = [p for p in parted if p.variance > 0]
    singles = np.array([p.singles / p.variance for p in varying])
    pairs = {
        (axes[a].name, axes[b].name): _tree_interval([p.pairs[a, b] / p.variance for p in varying])
        for a, b in combinations(range(len(axes)), 2)
    }
    return (
        {axis.name: _tree_interval(singles[:, j]) for j, axis in enumerate(axes)},
        pairs,
        _tree_interval([p.rest / p.variance for p in varying]),
    )


def _tree_interval(values: Sequence[float] | Floats) -> Interval:
    mean = float(np.mean(values))
    low, high = np.quantile(values, [tail_probability(LEVEL), 1 - tail_probability(LEVEL)])
    # With a few trees far from all others the mean may lie outside.
    return Interval(mean, min(float(low), mean), max(float(high), mean), LEVEL)


def _marginal_curves(
    found: Points, parted: Sequence[TreeVariance], spread: float, shift: float
) -> tuple[dict[str, Curve], dict[tuple[str, str], Surface]]:
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


def _join_notes(notes: Sequence[str]) -> str:
    text = "; ".join(notes)
    return text[:1].upper() + text[1:] + "." if text else ""
