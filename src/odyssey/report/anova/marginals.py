"""Exact integrals of a tree over all axes but one or two, and what they explain.

Hutter, Hoos, Leyton-Brown: "An Efficient Approach for Assessing Hyperparameter Importance"
(ICML 2014), sections 3 and 4: the marginal of a tree over some axes is constant on the cells
that its splits along those axes make, so that its variance is a finite sum. No sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from odyssey.report.anova.forest import Floats, Tree


@dataclass(frozen=True)
class Steps:
    """A function of one coordinate: `value[i]` from edges[i] to edges[i + 1]."""

    edges: Floats
    value: Floats

    def at(self, u: Floats) -> Floats:
        """The values at coordinates from 0 to 1."""
        return self.value[_cell(self.edges, u)]


@dataclass(frozen=True)
class Plane:
    """A function of two coordinates, constant on the rectangles of a grid."""

    edges_a: Floats
    edges_b: Floats
    value: Floats  # (parts of a, parts of b)

    def at(self, u: Floats, v: Floats) -> Floats:
        """The values at every pair of coordinates: (len(u), len(v))."""
        return self.value[np.ix_(_cell(self.edges_a, u), _cell(self.edges_b, v))]


@dataclass(frozen=True)
class Parts:
    """What a tree's variance is made of, in squared units of its values.

    variance: all of it. singles: by axis. pairs: by two axes (a < b), what the two explain
    beyond either alone. rest: of all interactions of three axes and more.
    steps, planes: the marginals, less the tree's mean.
    """

    mean: float
    variance: float
    singles: Floats
    pairs: dict[tuple[int, int], float]
    rest: float
    steps: list[Steps]
    planes: dict[tuple[int, int], Plane]


def parts(tree: Tree) -> Parts:
    """The variance of a tree under the uniform measure on the unit cube, taken apart."""
    widths = tree.high - tree.low
    weight = widths.prod(axis=1)
    mean = float(weight @ tree.value)
    # Less the mean, so that no variance is a small difference of large numbers.
    value = tree.value - mean
    variance = float(weight @ value**2)
    steps, planes = [], {}
    singles = np.zeros(widths.shape[1])
    pairs = {}
    for a in range(widths.shape[1]):
        step = _single(tree, a, value * weight / widths[:, a])
        steps.append(step)
        singles[a] = np.diff(step.edges) @ step.value**2
    for a, b in combinations(range(widths.shape[1]), 2):
        plane = _pair(tree, a, b, value * weight / widths[:, a] / widths[:, b])
        planes[a, b] = plane
        both = np.diff(plane.edges_a) @ plane.value**2 @ np.diff(plane.edges_b)
        # No part is negative but by rounding.
        pairs[a, b] = max(0.0, float(both - singles[a] - singles[b]))
    explained = float(singles.sum() + sum(pairs.values()))
    rest = max(0.0, variance - explained) if len(singles) > 2 else 0.0
    return Parts(mean, variance, singles, pairs, rest, steps, planes)


def _single(tree: Tree, a: int, height: Floats) -> Steps:
    """The sum of boxes' heights over each part of an axis: up where one starts, down at its end."""
    edges, start, stop = _edges(tree, a)
    size = len(edges)
    jumps = np.bincount(start, height, size) - np.bincount(stop, height, size)
    return Steps(edges, np.cumsum(jumps)[:-1])


def _pair(tree: Tree, a: int, b: int, height: Floats) -> Plane:
    """The same in two dimensions, where a box has four corners."""
    edges_a, start_a, stop_a = _edges(tree, a)
    edges_b, start_b, stop_b = _edges(tree, b)
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
    return Plane(edges_a, edges_b, value)


def _edges(tree: Tree, a: int) -> tuple[Floats, np.ndarray, np.ndarray]:
    """Where any box starts or ends along an axis, and which of these each box does."""
    edges = np.unique(np.concatenate([tree.low[:, a], tree.high[:, a]]))
    return edges, np.searchsorted(edges, tree.low[:, a]), np.searchsorted(edges, tree.high[:, a])


def _cell(edges: Floats, u: Floats) -> np.ndarray:
    # Left of an edge, as trees send a point that is at a threshold.
    return np.clip(np.searchsorted(edges, u, side="left") - 1, 0, len(edges) - 2)
