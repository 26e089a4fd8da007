"""Functions whose variance is known part by part, and trees made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

import random_kit
from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.decomposition import Decomposition, decompose
from odyssey.report.fanova.forest import Tree

Expected = tuple[float, np.ndarray, dict[tuple[int, int], float], float]
Function = Callable[[np.ndarray], np.ndarray]
# Of ishigami: Ishigami and Homma (1990); with a = 7 and b = 0.1, Saltelli et al. (2008), p. 179.
ISHIGAMI = {"a": 0.3139, "b": 0.4424, "c": 0.0, ("a", "c"): 0.2437}


def ishigami(u: np.ndarray) -> np.ndarray:
    """sin x + 7 sin^2 y + 0.1 z^4 sin x, with x, y and z from -pi to pi as u is from 0 to 1."""
    x, y, z = (2 * math.pi * u[:, j] - math.pi for j in range(3))
    return np.sin(x) + 7 * np.sin(y) ** 2 + 0.1 * z**4 * np.sin(x)


def cube(names: str) -> list[Axis]:
    """An axis from 0 to 1 for each letter."""
    return [Axis(name, "linear", 0.0, 1.0) for name in names]


def rows(axes: Sequence[Axis], unit: np.ndarray) -> list[dict[str, Any]]:
    """The points at some coordinates."""
    columns = [axis.from_unit(unit[:, j]) for j, axis in enumerate(axes)]
    return [
        dict(zip((a.name for a in axes), row, strict=True)) for row in zip(*columns, strict=True)
    ]


def of(function: Function, names: str, n: int, seed: int = 0, noise: float = 0.0) -> Decomposition:
    """The decomposition of a function on the unit cube from `n` random points."""
    rng = random_kit.rng(seed)
    unit = rng.random((n, len(names)))
    y = function(unit) + noise * rng.standard_normal(n)
    return decompose(cube(names), rows(cube(names), unit), y)


def total(d: Decomposition) -> float:
    """All shares together."""
    return sum(v.value for v in (*d.singles.values(), *d.pairs.values(), d.rest))


def by_enumeration(values: np.ndarray, weights: Sequence[np.ndarray]) -> Expected:
    """Variance, singles, pairs and rest of a function given at every cell of a grid.

    values: one axis for each parameter. weights: of the cells along each, adding up to 1.
    """
    d = values.ndim

    def marginal(kept: tuple[int, ...]) -> np.ndarray:
        m = values
        for j in range(d):
            if j not in kept:
                shape = [-1 if k == j else 1 for k in range(d)]
                m = (m * weights[j].reshape(shape)).sum(axis=j, keepdims=True)
        return m

    def spread(kept: tuple[int, ...]) -> float:
        m = (marginal(kept) - marginal(())) ** 2
        for j in kept:
            shape = [-1 if k == j else 1 for k in range(d)]
            m = (m * weights[j].reshape(shape)).sum(axis=j, keepdims=True)
        return float(m.item())

    variance = spread(tuple(range(d)))
    singles = np.array([spread((j,)) for j in range(d)])
    pairs = {(a, b): spread((a, b)) - singles[a] - singles[b] for a, b in combinations(range(d), 2)}
    return variance, singles, pairs, variance - singles.sum() - sum(pairs.values())


def cut(rng: np.random.Generator, axes: int, leaves: int, parts: int) -> Tree:
    """A random tree with splits at multiples of 1 / parts."""
    boxes = [(np.zeros(axes), np.ones(axes))]
    while len(boxes) < leaves:
        low, high = boxes.pop(int(rng.integers(len(boxes))))
        j = int(rng.integers(axes))
        first, last = round(low[j] * parts) + 1, round(high[j] * parts)
        if first >= last:
            boxes.append((low, high))
            continue
        at = rng.integers(first, last) / parts
        left, right = high.copy(), low.copy()
        left[j] = right[j] = at
        boxes += [(low, left), (right, high)]
    low, high = (np.array(side) for side in zip(*boxes, strict=True))
    return Tree(low, high, rng.normal(3, 10, len(boxes)))


def at(tree: Tree, unit: np.ndarray) -> np.ndarray:
    """The values of a tree, looked up box by box."""
    inside = (unit[:, None] > tree.low) & (unit[:, None] <= tree.high)
    hit = inside.all(axis=2)
    assert (hit.sum(axis=1) == 1).all()
    return tree.value[hit.argmax(axis=1)]
