"""Whether two variants lose their runs at one rate: an exact test, and the runs that it needs."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy import stats

MOST_NEEDED = 200  # runs of each variant, beyond which nobody looks


@lru_cache(maxsize=4096)
def loss_test(lost_a: int, n_a: int, lost_b: int, n_b: int) -> float:
    """The two-sided exact p of one rate of loss in both: `lost_a` of `n_a` runs, and of the other.

    Boschloo's test: the largest probability, over all common rates, of a table whose Fisher p is as
    small. It is exact for independent runs, at every n, and never less powerful than Fisher's. 1
    where no run or every run is lost; nan without runs on a side. Measured: docs/calibration.md,
    `losses`.

    Source: R. D. Boschloo, "Raised conditional level of significance for the 2x2-table when testing
    the equality of two probabilities", Statistica Neerlandica 24 (1970) 1-9.
    """
    if not (n_a and n_b):
        return math.nan
    if lost_a + lost_b in (0, n_a + n_b):
        return 1.0
    table = [[lost_a, lost_b], [n_a - lost_a, n_b - lost_b]]
    return min(1.0, float(stats.boschloo_exact(table, alternative="two-sided").pvalue))


def most_extreme(lost: int, n_a: int, n_b: int) -> float:
    """The smallest p that `loss_test` could give with so many lost runs, all on one side."""
    if not (n_a and n_b):
        return 1.0
    on_a, on_b = min(lost, n_a), min(lost, n_b)
    return min(
        loss_test(on_a, n_a, lost - on_a, n_b),
        loss_test(lost - on_b, n_a, on_b, n_b),
    )


def runs_needed(share_a: float, share_b: float, alpha: float) -> int | None:
    """The least number of runs of each at which such shares of loss would differ at `alpha`.

    None where they would not with `MOST_NEEDED`.
    """
    low, high = sorted((share_a, share_b))
    lost = [(round(high * n), round(low * n)) for n in range(MOST_NEEDED + 1)]
    # Fisher's test is quicker, and never needs fewer runs than Boschloo's.
    enough = (n for n in range(2, MOST_NEEDED + 1) if _fisher(*lost[n], n) <= alpha)
    if (needed := next(enough, None)) is None:
        return None
    while needed > 2:
        fewer = needed - 1
        if loss_test(lost[fewer][0], fewer, lost[fewer][1], fewer) > alpha:
            break
        needed = fewer
    return needed


def _fisher(lost_a: int, lost_b: int, n: int) -> float:
    """Twice the smaller one-sided p of Fisher's exact test, for n runs of each."""
    of_a = stats.hypergeom(2 * n, lost_a + lost_b, n)
    return min(1.0, 2 * min(float(of_a.cdf(lost_a)), float(of_a.sf(lost_a - 1))))
