"""Random forests as functions on boxes, with exact marginals and variances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats

PILOT = 16  # trees grown to evaluate a leaf size
# Limits of the smallest leaf, as a share of the points: with larger ones a few points would have
# hardly any split, and with smaller ones many points would take too much time and memory.
LARGEST_LEAF = 1 / 20
SMALLEST_LEAF = 1 / 3000


@dataclass(frozen=True)
class Tree:
    """A function that is constant on boxes which partition the unit cube.

    low, high: (boxes, axes), the limits of each box. value: (boxes,).
    """

    low: Floats
    high: Floats
    value: Floats


@dataclass(frozen=True)
class Forest:
    """Trees, each grown on a bootstrap sample of the points.

    r2: out-of-bag R^2, of predictions by the mean of the trees without the point in their sample;
        nan if every point is in all samples.
    leaf: smallest number of points in a leaf.
    unseen: out-of-bag prediction of each point, (points,); nan where it is in all samples.
    """

    trees: tuple[Tree, ...]
    r2: float
    leaf: int
    unseen: Floats


def grow_forest(
    axes: Sequence[Axis],
    unit: Floats,
    outcome: Floats,
    *,
    trees: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Forest:
    """Fit a forest to points.

    unit: coordinates of `axes`, (points, axes). outcome: (points,).

    Every split may be along any axis. The smallest leaf is a power of two times the smallest
    allowed, the one with which single trees best predict points outside their samples: variance is
    decomposed tree by tree, so that noise fitted by a tree would count as interaction.
    """
    smallest = max(1, round(len(outcome) * SMALLEST_LEAF))
    leaf, best = smallest, -np.inf
    while leaf <= max(smallest, len(outcome) * LARGEST_LEAF):
        pilot = _fit(unit, outcome, min(PILOT, trees), leaf, seed)
        single, _, _ = _out_of_bag_r2(pilot, unit, outcome)
        if not single > best:
            break
        best, leaf = single, leaf * 2
    leaf = max(smallest, leaf // 2)
    model = _fit(unit, outcome, trees, leaf, seed)
    _, r2, unseen = _out_of_bag_r2(model, unit, outcome)
    found = []
    for i, grown in enumerate(model.estimators_):
        found.append(tree_boxes(grown.tree_, axes))
        if progress:
            progress(i + 1, trees)
    return Forest(tuple(found), r2, leaf, unseen)


def grow_trees(
    axes: Sequence[Axis], unit: Floats, outcome: Floats, *, trees: int, leaf: int, seed: int
) -> list[Tree]:
    """Trees as those of a forest with a given smallest leaf, one by one: faster for a few."""
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trees):
        rows = rng.integers(len(outcome), size=len(outcome))
        model = DecisionTreeRegressor(min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
        found.append(tree_boxes(model.fit(unit[rows], outcome[rows]).tree_, axes))
    return found


def tree_boxes(tree: Any, axes: Sequence[Axis]) -> Tree:
    """The leaves of a scikit-learn tree as boxes, without those outside the unit cube."""
    low = np.zeros((tree.node_count, len(axes)))
    high = np.ones((tree.node_count, len(axes)))
    threshold = np.zeros(tree.node_count)
    for j, axis in enumerate(axes):
        here = tree.feature == j
        threshold[here] = axis.snap(tree.threshold[here])
    level = np.array([0])
    while (level := level[tree.children_left[level] >= 0]).size:
        left, right, axis_at = (
            tree.children_left[level],
            tree.children_right[level],
            tree.feature[level],
        )
        for child in left, right:
            low[child], high[child] = low[level], high[level]
        high[left, axis_at] = np.minimum(high[left, axis_at], threshold[level])
        low[right, axis_at] = np.maximum(low[right, axis_at], threshold[level])
        level = np.concatenate([left, right])
    kept = (tree.children_left < 0) & (high > low).all(axis=1)
    return Tree(low[kept], high[kept], np.asarray(tree.value[kept, 0, 0], dtype=float))


def _fit(unit: Floats, outcome: Floats, trees: int, leaf: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(
        trees, bootstrap=True, min_samples_leaf=leaf, max_features=1.0, random_state=seed, n_jobs=1
    )
    return model.fit(unit, outcome)


def _out_of_bag_r2(model: Any, unit: Floats, outcome: Floats) -> tuple[float, float, Floats]:
    """Out-of-bag R^2: of single trees on average, and of their mean; predictions of the latter."""
    total, count = np.zeros(len(outcome)), np.zeros(len(outcome), dtype=int)
    errors = []
    for tree, sample in zip(model.estimators_, model.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(outcome)), sample)
        if not out.size:
            continue
        predicted = tree.predict(unit[out])
        errors.append(np.mean((predicted - outcome[out]) ** 2))
        total[out] += predicted
        count[out] += 1
    seen, variance = count > 0, np.var(outcome)
    if not seen.any():
        return np.nan, np.nan, np.full(len(outcome), np.nan)
    predicted = np.where(seen, total / np.maximum(count, 1), np.nan)
    of_mean = np.mean((predicted[seen] - outcome[seen]) ** 2)
    return float(1 - np.mean(errors) / variance), float(1 - of_mean / variance), predicted


@dataclass(frozen=True)
class StepFunction:
    """A function of one coordinate: `value[i]` from edges[i] to edges[i + 1]."""

    edges: Floats
    value: Floats

    def at(self, u: Floats) -> Floats:
        """The values at coordinates from 0 to 1."""
        return self.value[_find_cell(self.edges, u)]


@dataclass(frozen=True)
class GridFunction:
    """A function of two coordinates that is constant on the rectangles of a grid."""

    edges_a: Floats
    edges_b: Floats
    value: Floats  # (parts of a, parts of b)

    def at(self, u: Floats, v: Floats) -> Floats:
        """The values at all pairs of coordinates, (len(u), len(v))."""
        return self.value[np.ix_(_find_cell(self.edges_a, u), _find_cell(self.edges_b, v))]


@dataclass(frozen=True)
class TreeVariance:
    """The variance of a tree in parts, in squared units of its values.

    variance: total.
    singles: by axis.
    pairs: interactions, by two axes (a, b) with a < b.
    rest: of all interactions of three axes and more.
    steps, planes: marginals of one and of two axes, minus the tree's mean.
    """

    mean: float
    variance: float
    singles: Floats
    pairs: dict[tuple[int, int], float]
    rest: float
    steps: list[StepFunction]
    planes: dict[tuple[int, int], GridFunction]


def decompose_tree(tree: Tree) -> TreeVariance:
    """Decompose the variance of a tree under the uniform distribution on the unit cube."""
    widths = tree.high - tree.low
    weight = widths.prod(axis=1)
    mean = float(weight @ tree.value)
    # The mean is subtracted first, so that no variance is a small difference of large numbers.
    value = tree.value - mean
    variance = float(weight @ value**2)
    steps, planes = [], {}
    singles = np.zeros(widths.shape[1])
    pairs = {}
    for a in range(widths.shape[1]):
        step = _marginal(tree, a, value * weight / widths[:, a])
        steps.append(step)
        singles[a] = np.diff(step.edges) @ step.value**2
    for a, b in combinations(range(widths.shape[1]), 2):
        plane = _joint_marginal(tree, a, b, value * weight / widths[:, a] / widths[:, b])
        planes[a, b] = plane
        both = np.diff(plane.edges_a) @ plane.value**2 @ np.diff(plane.edges_b)
        # Negative only by rounding.
        pairs[a, b] = max(0.0, float(both - singles[a] - singles[b]))
    explained = float(singles.sum() + sum(pairs.values()))
    rest = max(0.0, variance - explained) if len(singles) > 2 else 0.0
    return TreeVariance(mean, variance, singles, pairs, rest, steps, planes)


def _marginal(tree: Tree, a: int, height: Floats) -> StepFunction:
    """Marginal of an axis: the sum of the heights of the boxes over each of its intervals.

    It is a cumulative sum of heights, added where a box starts and subtracted where it ends.
    """
    edges, start, stop = _box_edges(tree, a)
    size = len(edges)
    jumps = np.bincount(start, height, size) - np.bincount(stop, height, size)
    return StepFunction(edges, np.cumsum(jumps)[:-1])


def _joint_marginal(tree: Tree, a: int, b: int, height: Floats) -> GridFunction:
    """Marginal of two axes; as `_marginal`, with the four corners of each box."""
    edges_a, start_a, stop_a = _box_edges(tree, a)
    edges_b, start_b, stop_b = _box_edges(tree, b)
    shape = len(edges_a), len(edges_b)
    jumps = np.zeros(shape[0] * shape[1])
    for of_a, of_b, sign in (
        (start_a, start_b, 1),
        (stop_a, start_b, -1),
        (start_a, stop_b, -1),
        (stop_a, stop_b, 1),
    ):
        jumps += sign * np.bincount(of_a * shape[1] + of_b, height, len(jumps))
    value = jumps.reshape(shape).cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return GridFunction(edges_a, edges_b, value)


def _box_edges(tree: Tree, a: int) -> tuple[Floats, np.ndarray, np.ndarray]:
    """Edges of boxes along an axis, and for each box the indices of its first and last edge."""
    edges = np.unique(np.concatenate([tree.low[:, a], tree.high[:, a]]))
    return edges, np.searchsorted(edges, tree.low[:, a]), np.searchsorted(edges, tree.high[:, a])


def _find_cell(edges: Floats, u: Floats) -> np.ndarray:
    # A coordinate at an edge belongs to the cell on its left, as in the trees.
    return np.clip(np.searchsorted(edges, u, side="left") - 1, 0, len(edges) - 2)
