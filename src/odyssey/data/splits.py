"""Random splits with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def drawn(
    labels: NDArray[np.int64], parts: Sequence[str], seed: int, texts: Sequence[str]
) -> dict[str, Indices]:
    """Rows of `train`, and of each of `parts` a tenth of the whole, at least one; see `stratified`.

    texts (N): rows of the same one are drawn together, as the hash of what they hold says.
    """
    shares = [1 - len(parts) / 10, *[0.1] * len(parts)]
    rows = stratified(labels, shares, seed, texts)
    return dict(zip(("train", *parts), rows, strict=True))


def stratified(
    labels: NDArray[np.int64],
    shares: Sequence[float],
    seed: int,
    texts: Sequence[str] | None = None,
) -> tuple[Indices, ...]:
    """Sorted row indices of parts with the given shares, the same shares of every class.

    labels (N): the class of each row. Every part but the first gets at least one row of a class
    that has rows enough. With `texts` (N), rows of the same text go to the same part, by the class
    of the first of them, so that no part holds a text of another.
    """
    # RandomState: its stream is frozen for good, a Generator's may change with NumPy's version.
    random = np.random.RandomState(seed)
    groups: dict[object, list[int]] = {}
    for row in range(len(labels)):
        groups.setdefault(row if texts is None else texts[row], []).append(row)
    members = list(groups.values())
    classes = labels[[rows[0] for rows in members]]
    parts: list[list[int]] = [[] for _ in shares]
    for kind in np.unique(classes):
        order = random.permutation(np.flatnonzero(classes == kind))
        start = 0
        for part, share in reversed(list(zip(parts, shares, strict=True))[1:]):
            stop = start + max(1, round(len(order) * share))
            for group in order[start:stop]:
                part.extend(members[group])
            start = stop
        for group in order[start:]:
            parts[0].extend(members[group])
    return tuple(np.sort(np.array(part, dtype=np.int64)) for part in parts)
