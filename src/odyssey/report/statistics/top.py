"""The best share of the trials of a search, as Greff et al. compare them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from odyssey.report.statistics.values import costs


def top_share(valid: ArrayLike, better: str, share: float = 0.1) -> np.ndarray:
    """The indices of the best `share` of the trials by validation value, best first.

    `valid` holds every trial that was done, those that diverged or failed as the worst value
    (infinite): they were trials, and count in the number of which the share is taken. That is
    rounded up (2 of 11) and at least 1. A worst trial is never chosen: with too few others, fewer
    are given, none if there are none. Ties go to the earlier trial. ValueError for a share
    outside (0, 1].

    Source: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink and J. Schmidhuber, "LSTM: A
    Search Space Odyssey", IEEE Transactions on Neural Networks and Learning Systems 28 (2017)
    2222-2232, figure 3 (20 of 200 trials). `methods.METHODS["top_share"]` names its flaw.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the trials lies above 0 and is at most 1, not {share}")
    cost = costs(valid, better)
    chosen = np.argsort(cost, kind="stable")[: count_of(len(cost), share)]
    return chosen[np.isfinite(cost[chosen])]


def count_of(trials: int, share: float) -> int:
    """How many trials a share is: rounded up, at least 1 if there are any."""
    # 0.07 * 100 is a little above 7 in floating point, and must not become 8.
    return min(trials, max(1, math.ceil(round(share * trials, 9))))
