"""The variance of a tree: as by brute force over a grid, and as the sum over pairs of leaves."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

import anova_kit as kit
import random_kit
from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.forest import Tree, TreeVariance, decompose_tree, grow_forest, tree_boxes


def same(found: TreeVariance, expected: kit.Expected) -> None:
    variance, singles, pairs, rest = expected
    tight = {"abs": 1e-9 * max(variance, 1e-3)}
    assert found.variance == pytest.approx(variance, **tight)
    assert found.singles == pytest.approx(singles, **tight)
    assert found.pairs == pytest.approx(pairs, **tight)
    assert found.rest == pytest.approx(rest, **tight)
    assert found.singles.sum() + sum(found.pairs.values()) + found.rest == pytest.approx(
        found.variance, **tight
    )


def test_a_tree_made_by_hand() -> None:
    # 4 where a > 1/2 and b > 1/2, else 0: the mean is 1, the variance 3, of which a and b
    # explain 1 each and the two together the remaining 1.
    low = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0]])
    high = np.array([[0.5, 1, 1], [1, 0.5, 1], [1, 1, 1]])
    found = decompose_tree(Tree(low, high, np.array([0.0, 0.0, 4.0])))
    assert (found.mean, found.variance, found.rest) == (1, 3, 0)
    assert found.singles.tolist() == [1, 1, 0]
    assert found.pairs == {(0, 1): 1, (0, 2): 0, (1, 2): 0}
    assert found.steps[0].at(np.array([0.0, 0.3, 0.7, 1.0])).tolist() == [-1, -1, 1, 1]
    assert found.planes[0, 1].at(np.array([0.2, 0.9]), np.array([0.8])).tolist() == [[-1], [3]]


@pytest.mark.parametrize(
    ("axes", "leaves"), [(1, 7), (2, 1), (2, 2), (2, 61), (3, 5), (3, 97), (4, 53)]
)
def test_brute_force_over_a_grid_gives_the_same(axes: int, leaves: int) -> None:
    rng = random_kit.rng()
    side = 11 if axes == 4 else 23  # prime: no split but at the multiples falls between cells
    for _ in range(5):
        tree = kit.cut(rng, axes, leaves, side)
        middles = (np.arange(side) + 0.5) / side
        grid = np.stack(np.meshgrid(*[middles] * axes, indexing="ij"), axis=-1)
        values = kit.at(tree, grid.reshape(-1, axes)).reshape([side] * axes)
        found = decompose_tree(tree)
        same(found, kit.by_enumeration(values, [np.full(side, 1 / side)] * axes))
        assert found.mean == pytest.approx(values.mean(), abs=1e-9)
        for j, step in enumerate(found.steps):
            others = tuple(k for k in range(axes) if k != j)
            expected = values.mean(axis=others) - values.mean()
            assert step.at(middles) == pytest.approx(expected, abs=1e-9)
        for (a, b), plane in found.planes.items():
            others = tuple(k for k in range(axes) if k not in (a, b))
            expected = values.mean(axis=others) - values.mean()
            assert plane.at(middles, middles) == pytest.approx(expected, abs=1e-9)


def test_the_sum_over_pairs_of_leaves_gives_the_same() -> None:
    # Hutter et al. (2014): v_l v_m, times the overlap along the axes kept, times both widths
    # along the others.
    rng = random_kit.rng()
    x = rng.random((211, 4))
    forest = grow_forest(
        kit.cube("abcd"), x, x[:, 0] * x[:, 1] + np.sin(9 * x[:, 2] * x[:, 3]), trees=3
    )
    for tree in forest.trees:
        width = tree.high - tree.low
        value = tree.value - width.prod(axis=1) @ tree.value

        def explained(kept: tuple[int, ...], tree: Tree = tree, value: np.ndarray = value) -> float:
            product = np.outer(value, value)
            for j in range(4):
                low, high = tree.low[:, j], tree.high[:, j]
                if j in kept:
                    overlap = np.minimum.outer(high, high) - np.maximum.outer(low, low)
                    product = product * np.maximum(overlap, 0)
                else:
                    product = product * np.outer(high - low, high - low)
            return float(product.sum())

        singles = np.array([explained((j,)) for j in range(4)])
        pairs = {
            (a, b): explained((a, b)) - singles[a] - singles[b]
            for a, b in combinations(range(4), 2)
        }
        variance = explained((0, 1, 2, 3))
        rest = variance - singles.sum() - sum(pairs.values())
        assert rest > 1e-6 * variance  # there is something to tell apart
        same(decompose_tree(tree), (variance, singles, pairs, rest))


def test_ishigami_on_a_grid_of_boxes() -> None:
    side = 36
    grid = np.stack(np.meshgrid(*[np.arange(side) / side] * 3, indexing="ij"), axis=-1)
    low = grid.reshape(-1, 3)
    found = decompose_tree(Tree(low, low + 1 / side, kit.ishigami(low + 0.5 / side)))
    shares = found.singles / found.variance
    assert shares == pytest.approx([kit.ISHIGAMI[name] for name in "abc"], abs=0.002)
    assert found.pairs[0, 2] / found.variance == pytest.approx(kit.ISHIGAMI["a", "c"], abs=0.002)
    assert found.rest + found.pairs[0, 1] + found.pairs[1, 2] == pytest.approx(0, abs=1e-9)


def test_whole_numbers_and_choices_are_counted_one_by_one() -> None:
    axes = [
        Axis("n", "log", 3, 19, integer=True),
        Axis("layers", "linear", 1, 5, integer=True),
        Axis("kind", "choice", choices=tuple("abcdefg")),
    ]
    weights = [
        np.log1p(1 / np.arange(3, 20)) / math.log(20 / 3),
        np.full(5, 1 / 5),
        np.full(7, 1 / 7),
    ]
    values = [list(range(3, 20)), list(range(1, 6)), list("abcdefg")]
    units = [axis.to_unit(v) for axis, v in zip(axes, values, strict=True)]
    grid = np.stack(np.meshgrid(*units, indexing="ij"), axis=-1).reshape(-1, 3)
    rng = random_kit.rng()
    from sklearn.tree import DecisionTreeRegressor

    for n in (5, 37, 211):
        # Few points leave wide gaps, in whose middle a tree splits.
        x = grid[rng.choice(len(grid), n)]
        tree = DecisionTreeRegressor(random_state=0).fit(x, rng.normal(size=n)).tree_
        of_tree = tree.predict(grid.astype(np.float32))[:, 0].reshape(17, 5, 7)
        same(decompose_tree(tree_boxes(tree, axes)), kit.by_enumeration(of_tree, weights))


def test_boxes_say_what_the_tree_says() -> None:
    rng = random_kit.rng()
    x = rng.uniform(-0.3, 1.3, (307, 3))  # some outside of what was searched
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(random_state=1).fit(x, rng.normal(size=307)).tree_
    found = tree_boxes(tree, kit.cube("abc"))
    assert ((found.high - found.low).prod(axis=1)).sum() == pytest.approx(1)
    u = rng.random((1009, 3))
    assert kit.at(found, u).tolist() == tree.predict(u.astype(np.float32))[:, 0].tolist()


def test_a_leaf_is_larger_where_outcomes_are_noisy() -> None:
    rng = random_kit.rng()
    x = rng.random((500, 2))
    smooth = grow_forest(kit.cube("ab"), x, x[:, 0], trees=16)
    noisy = grow_forest(kit.cube("ab"), x, x[:, 0] + 0.5 * rng.normal(size=500), trees=16)
    assert smooth.leaf == 1 < noisy.leaf <= 25
    assert smooth.r2 > 0.99
    assert max(len(t.value) for t in noisy.trees) <= 500 / noisy.leaf
