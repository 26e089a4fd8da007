"""The expected best of n trials, against every way there is to draw them."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest

import random_kit
from bootstrap_kit import assert_limits
from odyssey.report.stats.estimates import expected_best

INF = math.inf


def numbers(n: int, seed: int = 0) -> np.ndarray:
    return random_kit.rng(seed, n).gamma(2.0, size=n)


def by_all_draws(values: np.ndarray, n: int, replacement: bool, better: str) -> float:
    ways = product(values, repeat=n) if replacement else combinations(values, n)
    return float(np.mean([(min if better == "lower" else max)(way) for way in ways]))


@pytest.mark.parametrize("trials", [1, 2, 3, 5])
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_it_is_the_mean_over_all_draws(trials: int, replacement: bool, better: str) -> None:
    values = numbers(trials)
    found = expected_best(values, better, replacement=replacement, draws=10)
    exact = [by_all_draws(values, n, replacement, better) for n in range(1, trials + 1)]
    assert found.counts.tolist() == list(range(1, trials + 1))
    assert found.mean == pytest.approx(exact, rel=1e-12)


def test_equal_values_are_no_trouble() -> None:
    values = np.array([3.0, 1.0, 1.0, 3.0])
    for replacement in (True, False):
        found = expected_best(values, "lower", [2], replacement=replacement, draws=10)
        assert found.mean[0] == pytest.approx(by_all_draws(values, 2, replacement, "lower"))


@pytest.mark.parametrize("replacement", [True, False])
def test_many_trials_keep_their_precision(replacement: bool) -> None:
    """Of 1..N the smallest of n is known: (N + 1) / (n + 1) without replacement."""
    trials = 5003
    counts = [1, 2, 100, 5002, 5003]
    found = expected_best(
        np.arange(1.0, trials + 1), "lower", counts, replacement=replacement, draws=2
    )
    if replacement:
        exact = [sum(((trials - i) / trials) ** n for i in range(trials)) for n in counts]
    else:
        exact = [(trials + 1) / (n + 1) for n in counts]
    assert found.mean == pytest.approx(exact, rel=1e-9)


def test_the_ends_of_the_curve() -> None:
    values = numbers(17)
    for better, best in [("lower", values.min()), ("higher", values.max())]:
        without = expected_best(values, better, replacement=False, draws=10)
        with_it = expected_best(values, better, draws=10)
        assert [without.mean[0], with_it.mean[0]] == pytest.approx([values.mean()] * 2)
        assert without.mean[-1] == pytest.approx(best)
        assert abs(with_it.mean[-1] - best) > 1e-6  # the best is not sure to be drawn
        steps = np.diff(with_it.mean)
        assert (steps < 0).all() if better == "lower" else (steps > 0).all()


def test_without_replacement_it_is_unbiased_and_with_it_is_not() -> None:
    """The smallest of 10 exponentials has the mean 0.1."""
    random = random_kit.rng()
    found = {True: [], False: []}
    for _ in range(1500):
        values = random.exponential(size=20)
        for replacement, means in found.items():
            one = expected_best(values, "lower", [10], replacement=replacement, draws=1)
            means.append(one.mean[0])
    error = np.std(found[False]) / math.sqrt(1500)
    assert abs(np.mean(found[False]) - 0.1) < 5 * error  # one false alarm in 1.7 million
    assert np.mean(found[True]) > 0.1 + 5 * error


@pytest.mark.parametrize("worst", [INF, -INF])
def test_worst_values_without_a_stand_in(worst: float) -> None:
    better = "lower" if worst > 0 else "higher"
    values = np.append(numbers(7), [worst, worst])
    with_it = expected_best(values, better)
    assert (with_it.mean == worst).all()  # however many are drawn, all may be the worst
    without = expected_best(values, better, replacement=False)
    assert (without.mean[:2] == worst).all() and np.isfinite(without.mean[2:]).all()
    stand_in = np.where(np.isinf(values), math.copysign(1e3, worst), values)
    finite = expected_best(stand_in, better, replacement=False)
    assert without.mean[2:] == pytest.approx(finite.mean[2:])


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("replacement", [True, False])
def test_a_stand_in_caps_the_values(better: str, replacement: bool) -> None:
    sign = 1 if better == "lower" else -1
    values = sign * np.array([1.0, 2.0, 5.0, 9.0, INF])
    found = expected_best(values, better, worst=sign * 6.0, replacement=replacement, seed=2)
    capped = sign * np.array([1.0, 2.0, 5.0, 6.0, 6.0])
    plain = expected_best(capped, better, replacement=replacement, seed=2)
    for ours, theirs in [(found.mean, plain.mean), (found.low, plain.low)]:
        assert np.isfinite(ours).all() and ours == pytest.approx(theirs)


def test_all_worst_is_worst() -> None:
    found = expected_best([INF] * 4, "lower", replacement=False)
    assert (found.mean == INF).all() and (found.low == INF).all()


@pytest.mark.parametrize("replacement", [True, False])
def test_better_turns_the_curve(replacement: bool) -> None:
    values = np.append(numbers(11), INF)
    one = expected_best(values, "lower", replacement=replacement)
    other = expected_best(-values, "higher", replacement=replacement)
    assert other.mean == pytest.approx(-one.mean)
    assert other.low == pytest.approx(-one.high) and other.high == pytest.approx(-one.low)


def test_order_shift_and_scale() -> None:
    values = numbers(13)
    one = expected_best(values, "lower", seed=5)
    assert expected_best(values[::-1], "lower", seed=5).high == pytest.approx(one.high)
    moved = expected_best(2 * values + 3, "lower", seed=5)
    assert moved.mean == pytest.approx(2 * one.mean + 3)
    assert moved.low == pytest.approx(2 * one.low + 3)


def test_the_band_is_a_plain_bootstrap() -> None:
    values = numbers(30)
    found = expected_best(values, "lower", [1, 5, 20], draws=30_000, seed=1)
    resampled = np.sort(random_kit.rng("again").choice(values, (30_000, 30)), axis=1)
    for place, count in enumerate([1, 5, 20]):
        # The chance that the smallest of so many is the i-th of 30.
        chances = -np.diff(((30 - np.arange(31)) / 30) ** count)
        assert_limits(found.low[place], found.high[place], 30_000, resampled @ chances)
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()


def test_the_band_holds_the_truth_for_few_of_many() -> None:
    """The smallest of 3 uniforms has the mean 1/4."""
    random = random_kit.rng()
    repeats, held = 2000, 0
    for seed in range(repeats):
        found = expected_best(
            random.uniform(size=60), "lower", [3], draws=300, seed=seed, level=0.9
        )
        held += found.low[0] <= 0.25 <= found.high[0]
    # With 60 trials it is 0.885, found with 12,000: one false alarm in a million.
    assert 0.85 < held / repeats < 0.95


def test_few_trials() -> None:
    one = expected_best([2.0], "lower")
    assert one.counts.tolist() == [1] and one.mean.tolist() == [2.0]
    assert np.isnan(one.low).all() and np.isnan(one.high).all()
    none = expected_best([], "higher")
    assert none.counts.size == none.mean.size == none.low.size == 0


def test_nothing_is_said_beyond_the_trials() -> None:
    for counts in ([4], [0, 1], [-1]):
        with pytest.raises(ValueError, match="can be drawn"):
            expected_best([1.0, 2.0, 3.0], "lower", counts)
    for worst in (INF, math.nan):
        with pytest.raises(ValueError, match="stand-in"):
            expected_best([1.0, 2.0], "lower", worst=worst)


def test_a_long_curve_is_thinned() -> None:
    counts = expected_best(numbers(1009), "lower", draws=2).counts
    assert counts[0] == 1 and counts[-1] == 1009 and (np.diff(counts) > 0).all()
    assert 60 < len(counts) <= 100
    assert len(expected_best(numbers(100), "lower", draws=2).counts) == 100
