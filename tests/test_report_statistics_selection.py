"""The best shares of two searches: permutations with the selection repeated in each."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.stats.selection import (
    LEAST_TRIALS,
    Reselection,
    Trials,
    fenced,
    mean_of_best,
    share_count,
    top_share,
)

INF = math.inf


def trials(n: int, key: object = 0, lost: int = 0, shift: float = 0.0) -> Trials:
    random = random_kit.rng(n, key)
    truth = random.gamma(2.0, size=n) + shift
    valid, test = truth + random.normal(0, 0.1, n), truth + random.normal(0, 0.1, n)
    valid[:lost] = test[:lost] = INF
    return Trials(valid, test)


def best_mean(chosen_by: np.ndarray, value: np.ndarray, share: float) -> float:
    return float(value[top_share(chosen_by, "lower", share)].mean())


def by_every_exchange(a: Trials, b: Trials, share: float) -> tuple[float, float]:
    """Both one-sided p over all ways to give the trials to the two sides."""
    chosen_by = np.concatenate([a.chosen_by, b.chosen_by])
    value = np.concatenate([a.value, b.value])
    n, every = len(a.value), range(len(value))
    found = []
    for of_a in combinations(every, n):
        of_b = [i for i in every if i not in of_a]
        one = best_mean(chosen_by[list(of_a)], value[list(of_a)], share)
        found.append(one - best_mean(chosen_by[of_b], value[of_b], share))
    seen = found[0]
    return np.mean(np.array(found) <= seen + 1e-12), np.mean(np.array(found) >= seen - 1e-12)


@pytest.mark.parametrize(("n", "m", "share"), [(5, 5, 0.3), (4, 6, 0.3), (6, 5, 0.5), (3, 7, 0.1)])
def test_it_is_that_over_all_exchanges(n: int, m: int, share: float) -> None:
    a, b = trials(n, "a"), trials(m, "b", shift=0.5)
    found = Reselection(a, b, share, draws=6000)
    exact = by_every_exchange(a, b, share)
    for ours, theirs in zip(found.tails(), exact, strict=True):
        assert abs(ours - theirs) < 6 * math.sqrt(theirs * (1 - theirs) / 6000) + 2e-4
    difference = best_mean(a.chosen_by, a.value, share) - best_mean(b.chosen_by, b.value, share)
    assert found.difference == pytest.approx(difference)
    assert found.p() == pytest.approx(min(1.0, 2 * min(found.tails())))


def test_of_pairs_only_partners_change_places() -> None:
    a, b = trials(7, "a"), trials(7, "b", shift=0.3)
    pairs = np.stack([np.arange(7), random_kit.rng().permutation(7)], axis=1)[:6]
    found = Reselection(a, b, 0.3, pairs=pairs, draws=6000)
    seen, every = found.difference, []
    for swaps in product([False, True], repeat=6):
        sides = [[t.chosen_by.copy(), t.value.copy()] for t in (a, b)]
        for swap, (i, j) in zip(swaps, pairs, strict=True):
            if swap:
                for k, (of_a, of_b) in enumerate([(a.chosen_by, b.chosen_by), (a.value, b.value)]):
                    sides[0][k][i], sides[1][k][j] = of_b[j], of_a[i]
        one, other = (best_mean(c, v, 0.3) for c, v in sides)
        every.append(one - other)
    low, high = np.mean(np.array(every) <= seen + 1e-12), np.mean(np.array(every) >= seen - 1e-12)
    for ours, theirs in zip(found.tails(), (low, high), strict=True):
        assert abs(ours - theirs) < 6 * math.sqrt(theirs * (1 - theirs) / 6000) + 2e-4


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 31), (60, 60)])
def test_its_interval_holds_the_shifts_that_it_does_not_refuse(n: int, m: int) -> None:
    a, b = trials(n, "a", lost=2), trials(m, "b", lost=1, shift=0.2)
    found = Reselection(a, b, 0.1, draws=1500)
    for level in (0.95, 0.5):
        limits, outside = found.interval(level), (1 - level) / 2
        width = limits.high - limits.low
        assert limits.low < limits.value < limits.high
        assert min(found.tails(limits.high + 0.05 * width)) <= outside
        assert min(found.tails(limits.low - 0.05 * width)) <= outside
        assert min(found.tails(limits.value)) > outside
    excludes = not found.interval(0.95).low <= 0 <= found.interval(0.95).high
    assert excludes == (found.p() <= 0.05) or abs(found.p() - 0.05) < 0.01


def test_a_large_shift_is_found_and_its_size_is_held() -> None:
    a, b = trials(50, "a", shift=1.0), trials(50, "b")
    found = Reselection(a, b, 0.1)
    assert found.p() <= 0.01 and found.difference > 0.5
    limits = found.interval()
    assert 0 < limits.low < 1.0 < limits.high or abs(found.difference - 1) > 0.3
    assert found.not_within(0.1) > 0.9 and found.not_within(5.0) <= 0.05


def test_the_other_side_turns_it_and_units_scale_it() -> None:
    a, b = trials(20, "a"), trials(25, "b", lost=3)
    one, other = Reselection(a, b, 0.1, draws=4000), Reselection(b, a, 0.1, draws=4000)
    assert other.difference == pytest.approx(-one.difference)
    assert abs(one.p() - other.p()) < 0.06
    scaled = [Trials(3 * t.chosen_by + 2, 3 * t.value + 2) for t in (a, b)]
    moved = Reselection(*scaled, 0.1, draws=4000)
    assert moved.p() == one.p() and moved.difference == pytest.approx(3 * one.difference)


def test_lost_trials_are_exchanged_too() -> None:
    """All lost against none lost is as far as can be; nothing but lost trials says nothing."""
    none = Trials(np.full(9, INF), np.full(9, INF))
    alive = trials(9)
    found = Reselection(none, alive, 0.1)
    assert found.difference == INF and found.p() < 0.01
    assert math.isnan(found.interval().low) and math.isnan(found.not_within(0.1))
    both = Reselection(none, none, 0.1)
    assert math.isnan(both.difference) and math.isnan(both.p())
    assert found.chosen == (0, 1)


def test_a_test_value_that_exploded_does_not_hold_the_mean() -> None:
    a, b = trials(30, "a"), trials(30, "b", shift=1.0)
    value = a.value.copy()
    value[int(np.argmin(a.chosen_by))] = 1e10
    found = Reselection(Trials(a.chosen_by, value), b, 0.1)
    assert abs(found.difference) < 20
    assert fenced(np.array([1.0, 2, 3, 4, 1e9, INF]), np.ones(6, bool)).max() < 20
    assert fenced(np.array([INF, INF]), np.ones(2, bool)).tolist() == [0, 0]


def test_equal_trials_are_no_difference() -> None:
    same = Trials(np.ones(12), np.full(12, 3.0))
    found = Reselection(same, same, 0.25)
    assert found.difference == 0 and found.p() == 1.0


@pytest.mark.parametrize("shared", [False, True])
def test_a_level_is_kept_where_the_papers_test_does_not_keep_it(shared: bool) -> None:
    """Two searches of one and the same cell, 60 trials each, of a uniform lower tail."""
    random, studies, wrong, papers = random_kit.rng(), 300, 0, 0
    pairs = np.stack([np.arange(60)] * 2, axis=1) if shared else None
    for seed in range(studies):
        settings = random.random(60)
        sides = []
        for _ in range(2):
            truth = settings if shared else random.random(60)
            noise = random.normal(0, 0.01, 60)
            sides.append(Trials(truth + noise, truth + noise))
        wrong += Reselection(*sides, 0.1, pairs=pairs, draws=400, seed=seed).p() <= 0.05
        best = [t.value[top_share(t.chosen_by, "lower", 0.1)] for t in sides]
        papers += stats.ttest_ind(*best, equal_var=False).pvalue <= 0.05
    assert wrong <= stats.binom.ppf(1 - 1e-6, studies, 0.05)
    if not shared:
        assert papers > stats.binom.ppf(1 - 1e-3, studies, 0.05)


# --- One search ---


def test_the_mean_of_the_best_is_that_of_all_resamples() -> None:
    sample, share = trials(LEAST_TRIALS, lost=4), 0.1
    found = mean_of_best(sample, share, draws=4000)
    assert found.value == pytest.approx(best_mean(sample.chosen_by, sample.value, share))
    random, plain = random_kit.rng("plain"), []
    for _ in range(4000):
        at = random.integers(0, LEAST_TRIALS, LEAST_TRIALS)
        plain.append(best_mean(sample.chosen_by[at], sample.value[at], share))
    # Of the 5 trials kept: as far out as Student's 4 degrees of freedom have it.
    outside = 100 * stats.norm.sf(stats.t.ppf(0.975, 4))
    low, high = np.percentile(plain, [outside, 100 - outside])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_no_limits_where_they_would_not_hold() -> None:
    found = mean_of_best(trials(LEAST_TRIALS - 1), 0.1)
    assert math.isfinite(found.value) and math.isnan(found.low)
    assert math.isnan(mean_of_best(Trials(np.full(60, INF), np.zeros(60)), 0.1).value)
    assert share_count(0, 0.1) == 0
    with pytest.raises(ValueError, match="one value"):
        Trials(np.ones(3), np.ones(4))
