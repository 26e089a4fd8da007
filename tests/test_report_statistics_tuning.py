"""Tuning curves: the median best of n trials, and a band that holds all of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.stats.estimates import (
    TABLE_COUNTS,
    band_of_order_statistics,
    tuning_curve,
)

INF = math.inf


def test_the_median_is_that_of_the_best_of_so_many_draws() -> None:
    """Half of all draws of n trials, with replacement, have a best value no larger."""
    values = random_kit.rng().gamma(2.0, size=60)
    curve = tuning_curve(values, "lower")
    assert curve.counts[0] == 1 and len(curve.counts) > 5
    for n, middle in zip(curve.counts, curve.median, strict=True):
        at_most, below = ((1 - np.mean(test)) ** n for test in (values <= middle, values < middle))
        assert 1 - at_most >= 0.5 - 1e-9 and 1 - below <= 0.5 + 1e-9


@pytest.mark.parametrize("trials", [12, 40, 200])
def test_the_band_is_one_of_order_statistics_and_ends_where_they_do(trials: int) -> None:
    """Its limits are trials that were done, they enclose the median, and no curve goes farther."""
    values = random_kit.rng().normal(size=trials)
    curve = tuning_curve(values, "lower")
    assert set(curve.low) <= set(values) and set(curve.high) <= set(values)
    assert (curve.low <= curve.median).all() and (curve.median <= curve.high).all()
    assert (np.diff(curve.low) <= 0).all() and (np.diff(curve.high) <= 0).all()
    assert 1 <= curve.counts.max() < trials / 2
    more = tuning_curve(values, "lower", [int(curve.counts.max()) + 5, 10 * trials])
    assert not len(more.counts)


@pytest.mark.slow
@pytest.mark.parametrize("trials", [12, 24, 60])
def test_it_is_that_of_the_papers_authors(trials: int) -> None:
    """Their package draws the level of its band, so that a limit may be the neighbouring trial."""
    opda = pytest.importorskip("opda.nonparametric", reason="opda is not installed")
    values = np.sort(random_kit.rng().normal(size=trials))
    ours, counts = tuning_curve(values, "lower"), np.arange(1, trials + 1)
    bands = opda.EmpiricalDistribution.confidence_bands(
        values, 0.95, method="ld_equal_tailed", n_jobs=1, generator=random_kit.rng("opda")
    )
    high, middle, low = (d.quantile_tuning_curve(counts, minimize=True) for d in bands)
    known = np.isfinite(low) & np.isfinite(high)
    assert abs(known.sum() - len(ours.counts)) <= 1
    n = min(known.sum(), len(ours.counts))
    # A middle between two trials is theirs above, and ours below.
    for mine, theirs in ((ours.low, low), (ours.median, middle), (ours.high, high)):
        places = [np.searchsorted(values, x[:n]) for x in (mine, theirs)]
        assert np.abs(places[0] - places[1]).max() <= 1


@pytest.mark.parametrize(("n", "level"), [(1, 0.95), (2, 0.8), (7, 0.95), (40, 0.5)])
def test_all_ordered_values_are_held_as_often_as_said(n: int, level: float) -> None:
    low, high = band_of_order_statistics(n, level)
    if n == 1:
        assert (low[0], high[0]) == pytest.approx(((1 - level) / 2, (1 + level) / 2), abs=1e-4)
    drawn = np.sort(random_kit.rng().random((40_000, n)), axis=1)
    held = ((low <= drawn) & (drawn <= high)).all(axis=1).sum()
    least, most = stats.binom.ppf([1e-6, 1 - 1e-6], 40_000, level)
    assert least <= held <= most


def test_better_turns_it() -> None:
    values = random_kit.rng().normal(size=50)
    one, other = tuning_curve(values, "lower"), tuning_curve(-values, "higher")
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.median, -other.median)
    assert np.array_equal(one.low, -other.high) and np.array_equal(one.high, -other.low)


def test_lost_trials_count_and_ties_are_no_trouble() -> None:
    values = np.append(np.repeat(random_kit.rng().normal(size=10), 3), [INF] * 20)
    curve = tuning_curve(values, "lower")
    assert curve.high[0] == INF and math.isfinite(curve.median[0])
    assert np.isfinite(tuning_curve(values[:30], "lower").high).all()
    lost = tuning_curve([INF] * 20, "lower")
    assert (lost.median == INF).all()


def test_too_few_and_wrong() -> None:
    for values in ([], [1.0]):
        assert not len(tuning_curve(values, "lower").counts)
    with pytest.raises(ValueError, match="at least one"):
        tuning_curve([1.0, 2.0], "lower", [0])
    with pytest.raises(ValueError, match="level"):
        tuning_curve([1.0, 2.0], "lower", level=1.0)
    assert len(tuning_curve([1.0, 2.0, 3.0] * 5, "lower", []).counts) == 0
    assert 1 in TABLE_COUNTS


def test_the_whole_band_holds_the_whole_curve() -> None:
    """In 95% of searches, whatever the values are: here their cubes are, and it is the same."""
    random, held, studies = random_kit.rng(), 0, 800
    for _ in range(studies):
        curve = tuning_curve(random.random(30) ** 3, "lower")
        truth = (1 - 0.5 ** (1 / curve.counts)) ** 3
        held += bool(((curve.low <= truth) & (truth <= curve.high)).all())
    least = stats.binom.ppf(1e-6, studies, 0.95)
    assert held >= least
