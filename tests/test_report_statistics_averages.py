"""Means, medians, interquartile means and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.stats.estimates import (
    iqm,
    iqm_interval,
    mean,
    mean_interval,
    median,
    median_interval,
)
from odyssey.report.stats.samples import CHUNK, chunks, percentiles

INF = math.inf
ALL = pytest.mark.parametrize("statistic", [mean, median, iqm])


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return random_kit.rng(seed, n).gamma(2.0, size=n)


@pytest.mark.parametrize("n", [4, 8, 20, 100])
def test_iqm_is_the_trimmed_mean_where_whole_values_are_cut(n: int) -> None:
    assert iqm(numbers(n)) == pytest.approx(stats.trim_mean(numbers(n), 0.25), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 11, 13])
def test_iqm_cuts_exactly_a_quarter_of_any_number(n: int) -> None:
    """Each value four times makes the cut fall between values."""
    expected = stats.trim_mean(np.repeat(numbers(n), 4), 0.25)
    assert iqm(numbers(n)) == pytest.approx(expected, rel=1e-12)


def test_iqm_by_hand() -> None:
    assert iqm([3.0]) == 3.0
    assert iqm([1.0, 4.0]) == 2.5
    assert iqm([1.0, 2.0, 9.0]) == pytest.approx((0.25 * 1 + 1 * 2 + 0.25 * 9) / 1.5)
    assert iqm([9.0, 1.0, 2.0, 4.0]) == 3.0


@pytest.mark.parametrize("worst", [INF, -INF])
@pytest.mark.parametrize("n", [3, 4, 5, 8, 20, 23])
def test_iqm_holds_worst_values_in_less_than_a_quarter(n: int, worst: float) -> None:
    for lost in range(n + 1):
        values = numbers(n)
        values[:lost] = worst
        if 4 * lost <= n:
            stand_in = np.where(np.isinf(values), math.copysign(1e5, worst), values)
            assert iqm(values) == pytest.approx(iqm(stand_in), rel=1e-12)
        else:
            assert iqm(values) == worst


def test_median_and_mean() -> None:
    for n in (1, 2, 5, 6):
        assert median(numbers(n)) == np.median(numbers(n)) and mean(numbers(n)) == pytest.approx(
            sum(numbers(n)) / n
        )
    assert median([1.0, INF, 2.0]) == 2.0
    assert median([1.0, INF]) == INF
    assert median([1.0, -INF, -INF]) == -INF


@ALL
def test_of_nothing_it_is_nan_and_of_nan_an_error(statistic) -> None:
    assert math.isnan(statistic([]))
    with pytest.raises(ValueError, match="nan"):
        statistic([1.0, math.nan])
    with pytest.raises(ValueError, match="infinite"):
        statistic([INF, 1.0, -INF])


def test_a_mean_has_no_place_for_the_worst() -> None:
    with pytest.raises(ValueError, match="worst"):
        mean([1.0, INF])


@ALL
@pytest.mark.parametrize("n", [1, 2, 3, 7, 12])
def test_rows_order_shift_and_scale(statistic, n: int) -> None:
    rows = random_kit.rng().normal(size=(5, n))
    assert statistic(rows) == pytest.approx([statistic(row) for row in rows], rel=1e-12)
    one = rows[0]
    assert statistic(one[::-1]) == pytest.approx(statistic(one), rel=1e-12)
    assert statistic(3 * one - 2) == pytest.approx(3 * statistic(one) - 2, rel=1e-12)
    assert statistic(-one) == pytest.approx(-statistic(one), rel=1e-12)


# --- Intervals ---


@pytest.mark.parametrize("n", [2, 3, 7, 40])
def test_limits_of_a_mean_are_scipys(n: int) -> None:
    values = numbers(n)
    found = mean_interval(values, 0.9)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("level", [0.95, 0.5, 0.999])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 30, 101])
def test_limits_of_a_median_keep_the_level_for_every_distribution(n: int, level: float) -> None:
    """The median lies between the k-th smallest and largest but where k - 1 or fewer are beyond."""
    values = numbers(n)
    found, ordered = median_interval(values, level), np.sort(values)
    keeps = [k for k in range(1, n // 2 + 1) if 2 * stats.binom.cdf(k - 1, n, 0.5) <= 1 - level]
    if not keeps:
        assert math.isnan(found.low) and math.isnan(found.high)
    else:
        k = keeps[-1]
        assert (found.low, found.high) == (ordered[k - 1], ordered[n - k])
    assert found.value == median(values)


def test_worst_values_may_be_limits_of_a_median() -> None:
    values = np.append(numbers(17), [INF] * 8)
    found = median_interval(values)
    assert math.isfinite(found.low) and math.isfinite(found.value) and found.high == INF
    turned = median_interval(-values)
    assert turned.low == -INF and turned.high == pytest.approx(-found.low)


@pytest.mark.parametrize("n", [8, 12, 40])
def test_limits_of_an_iqm_are_those_of_a_trimmed_mean(n: int) -> None:
    """SciPy divides the winsorized variance by n / 4, Yuen by h (h - 1) / (n - 1), h = n / 2."""
    values = numbers(n)
    found = iqm_interval(values)
    theirs = stats.mstats.trimmed_mean_ci(values, limits=(0.25, 0.25), inclusive=(True, True))
    reach = (theirs[1] - theirs[0]) / 2 * math.sqrt((n / 4) * (n - 1) / ((n / 2) * (n / 2 - 1)))
    assert found.value == pytest.approx(np.mean(theirs))
    assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach))


def test_an_iqm_of_few_or_lost_values_has_no_limits() -> None:
    for values in (numbers(7), [], np.append(numbers(9), [INF] * 4)):
        found = iqm_interval(values)
        assert math.isnan(found.low) and math.isnan(found.high)
        assert found.value == pytest.approx(iqm(values), nan_ok=True)
    assert math.isfinite(iqm_interval(np.append(numbers(18), [INF] * 2)).high)


@pytest.mark.parametrize("interval", [mean_interval, median_interval, iqm_interval])
def test_limits_turn_and_scale(interval) -> None:
    values = random_kit.rng().normal(size=15)
    one, moved = interval(values), interval(4 - 3 * values)
    assert (moved.low, moved.high) == pytest.approx((4 - 3 * one.high, 4 - 3 * one.low))
    assert interval(values, 0.5).low > one.low


@pytest.mark.parametrize(("draws", "width"), [(1, 1), (1001, 5003), (7, 0), (3, 2 * CHUNK)])
def test_draws_are_made_in_parts_that_fit(draws: int, width: int) -> None:
    parts = list(chunks(draws, width))
    assert sum(parts) == draws and all(n == 1 or n * width <= CHUNK for n in parts)


def test_percentiles_are_draws_the_next_ones_outwards() -> None:
    draws = random_kit.rng().permutation(101).astype(float)
    assert percentiles(draws, 0.8125) == (9.0, 91.0)  # 9.375 and 90.625
    assert percentiles(draws, 0.5) == (25.0, 75.0)
    assert percentiles(np.stack([draws, -draws], axis=1), 0.5)[0].tolist() == [25.0, -75.0]
    assert percentiles(np.array([1.0, math.nan, 2.0]), 0.9) == (-INF, INF)
    with pytest.raises(ValueError, match="draw"):
        list(chunks(0, 3))
