"""Functional ANOVA where trials were lost: of their values, and of whether they were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.decomposition import Decomposition, decompose

FEWEST_LOST = 5  # trials, and as many with a value, from which losses are decomposed


def decompose_with_losses(
    axes: Sequence[Axis],
    points: Sequence[Mapping[str, Any]],
    outcome: Sequence[float],
    *,
    trees: int = 64,
    seed: int = 0,
) -> Decomposition:
    """Decompose the outcome of the trials that have one, and whether a trial was lost.

    A lost trial has no value that could be compared with others: a large one in its place would
    make the shares depend on how large it is.

    outcome: of each point; nan or infinite for a lost trial.

    Returns the decomposition of the finite values, with that of losses (1, and 0 for others) as
    `lost`, where there are at least 5 of both. Raises what `decompose` does.
    """
    y = np.array(outcome, dtype=float)
    if y.shape != (len(points),):
        raise ValueError(f"{len(points)} points have outcomes of shape {y.shape}")
    kept = np.isfinite(y)
    held = [point for point, here in zip(points, kept, strict=True) if here]
    found = decompose(axes, held, y[kept].tolist(), trees=trees, seed=seed)
    lost = int((~kept).sum())
    if not lost:
        return found
    note = f"{lost} of {len(y)} trials were lost; the shares are of the others."
    if min(lost, len(y) - lost) < FEWEST_LOST:
        note += (
            f" It takes {FEWEST_LOST} lost and {FEWEST_LOST} others to tell which settings do it."
        )
        return replace(found, note=f"{found.note} {note}".strip())
    losses = decompose(axes, points, (~kept).astype(float).tolist(), trees=trees, seed=seed)
    return replace(found, note=f"{found.note} {note}".strip(), lost=losses)
