"""What of an axis is in view, and how its numbers are written."""

from __future__ import annotations

import math

import numpy as np

from odyssey.report.figures.marks import spread
from odyssey.report.figures.plotly import number
from odyssey.report.figures.scales import extent, short


def test_a_view_holds_the_bulk_and_counts_the_rest() -> None:
    random = np.random.default_rng(5)  # an example: others have outliers of their own
    groups = [list(random.normal(9, 0.1, 37)) for _ in range(8)]
    groups[2][5], groups[4][1] = 400.0, math.inf
    found = extent(groups)
    assert found is not None and found.outside == 1 and 9.2 < found.high < 11
    bulk = [v for g in groups for v in g if v < 100]
    assert found.low < min(bulk) and found.high > max(bulk)
    # A whole group somewhat off is shown, one that is absurdly far is not.
    near = extent([*groups, [12.0] * 20])
    assert near is not None and near.high > 12
    far = extent([*groups, [3e5] * 20])
    assert far is not None and far.high < 20 and far.outside == 21
    # One group of which a third is far off does not flatten the others: its middle is shown.
    wide = extent([*groups, [9.0] * 13 + [60.0] * 8])
    assert wide is not None and wide.high < 11 and wide.outside == 9
    assert extent([]) is None and extent([[math.nan], [math.inf, -math.inf]]) is None
    for alone in ([[0.0]], [[5.0]], [[2.0, 2.0]], [[-3.0], [-3.0]], [[1.0, 4.0]], [[1.0], [4.0]]):
        one = extent(alone)
        assert one is not None and one.low < alone[0][0] < one.high and not one.outside


def test_numbers_and_places() -> None:
    assert number(math.pi) == 3.142 and number(200.0) == 200 and number(-math.inf) is None
    assert isinstance(number(np.float64(3)), int)
    assert [short(v) for v in (0, 1, 0.001, 1e-5, 2e-6, 9999, 5e4, 2.5e6, 1e9)] == [
        "0", "1", "0.001", "10⁻⁵", "2·10⁻⁶", "9999", "50k", "2.5M", "10⁹",
    ]  # fmt: skip
    offsets = spread(101, 0.3)
    assert len(set(offsets)) == 101 and all(abs(x) <= 0.3 for x in offsets)
    assert spread(1, 0.3) == [0.0] and spread(0, 0.3) == []
