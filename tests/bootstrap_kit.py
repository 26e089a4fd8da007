"""Limits of a bootstrap against those of another one, which differ by chance."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

# How often each limit that is right is taken for a wrong one.
FALSE_ALARM = 1e-7


def assert_limits(
    low: float, high: float, of_draws: int, draws: np.ndarray, level: float = 0.95
) -> None:
    """Limits from so many draws are quantiles of the draws given, but for chance.

    The share of draws below a limit is compared, not the limit: where draws fall on few values, as
    those of a median do, the limit itself may jump to the next one.
    """
    tail = (1 - level) / 2
    spread = math.sqrt(tail * (1 - tail) * (1 / of_draws + 1 / len(draws)))
    reach = -stats.norm.ppf(FALSE_ALARM / 2) * spread + 1 / len(draws)
    assert reach < tail / 2  # else it would tell nothing
    for limit, least, most in ((low, tail - reach, tail + reach),
                               (high, 1 - tail - reach, 1 - tail + reach)):  # fmt: skip
        near = 1e-9 * max(1.0, abs(limit))
        assert np.mean(draws <= limit + near) >= least and np.mean(draws < limit - near) <= most
