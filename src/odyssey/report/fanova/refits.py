"""Shares of a random forest with limits: forests of resampled trials, and what no forest explains.

A forest misses a part of the outcome, which may be noise or may belong to any setting. With R^2
out of sample, the part that setting k certainly has is share_k R^2 of the outcome's variance. If
what is missed is noise, share_k is the true share; if all of it belongs to k, that is
share_k R^2 + (1 - R^2). The limits hold both ends, each with the spread of the bootstrap over
trials (Efron 1979), so that they are wide where the forest predicts badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats
from odyssey.report.fanova.forest import (
    Forest,
    Tree,
    TreeVariance,
    decompose_tree,
    grow_trees,
)
from odyssey.report.stats.samples import Interval, percentiles

REFITS = 40  # forests of resampled trials
PART = 8  # a refitted forest has this part of the trees of the whole one
CELLS = 64  # along an axis, to whose edges the boxes of refitted trees are rounded
Block = tuple[int, ...]


def refitted_shares(
    axes: Sequence[Axis],
    unit: Floats,
    outcome: Floats,
    forest: Forest,
    parted: Sequence[TreeVariance],
    *,
    seed: int,
    level: float,
) -> dict[Block, Interval]:
    """Shares of each axis (a,), pair (a, b), of all pairs (-2,) and of the rest (-1,).

    forest, parted: grown on all points, and its decomposed trees. unit: (points, axes).
    """
    blocks = share_blocks(len(axes))
    value = mean_shares(parted)
    rng = np.random.default_rng(seed)
    trees = max(2, len(forest.trees) // PART)
    seeds = rng.integers(2**31, size=REFITS).tolist()
    drawn, certain = [], []
    for refit in range(REFITS):
        rows = rng.integers(len(outcome), size=len(outcome))
        if np.ptp(outcome[rows]) == 0:
            continue
        grown = grow_trees(
            axes, unit[rows], outcome[rows], trees=trees, leaf=forest.leaf, seed=seeds[refit]
        )
        again = [decompose_tree(_coarse(tree)) for tree in grown]
        if not any(p.variance > 0 for p in again):
            continue
        drawn.append(mean_shares(again))
        certain.append(_explained(forest.unseen[rows], outcome[rows]))
    # Forests of fewer different trials are biased; the spread of their shares is what is used.
    shares = np.array(drawn)
    shares = np.clip(shares - shares.mean(axis=0) + value, 0, 1)
    r2 = np.array(certain)[:, None]
    low, _ = percentiles(shares * r2, level)
    _, high = percentiles(shares * r2 + 1 - r2, level)
    return {
        block: Interval(float(v), float(min(lo, v)), float(max(hi, v)), level)
        for block, v, lo, hi in zip(blocks, value, low, high, strict=True)
    }


def share_blocks(axes: int) -> list[Block]:
    """The order of `mean_shares`."""
    return [*((a,) for a in range(axes)), *combinations(range(axes), 2), (-2,), (-1,)]


def mean_shares(parted: Sequence[TreeVariance]) -> Floats:
    """Shares of the variance of trees, their mean over trees; of `share_blocks`."""
    varying = [p for p in parted if p.variance > 0]  # samples of equal outcomes have none
    found = []
    for p in varying:
        pairs = list(p.pairs.values())
        found.append(np.array([*p.singles, *pairs, sum(pairs), p.rest]) / p.variance)
    return np.mean(found, axis=0)


def _coarse(tree: Tree) -> Tree:
    """A tree with boxes on a grid: its marginals take less time and memory."""
    low, high = np.round(tree.low * CELLS) / CELLS, np.round(tree.high * CELLS) / CELLS
    kept = (high > low).all(axis=1)
    return Tree(low[kept], high[kept], tree.value[kept])


def _explained(unseen: Floats, outcome: Floats) -> float:
    """R^2 of out-of-bag predictions, from 0 to 1."""
    seen = np.isfinite(unseen)
    variance = float(np.var(outcome[seen])) if seen.any() else 0.0
    if not variance > 0:
        return 0.0
    error = float(np.mean((unseen[seen] - outcome[seen]) ** 2))
    return float(np.clip(1 - error / variance, 0, 1))
