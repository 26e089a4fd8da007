"""Probability of improvement and paired comparison, against all pairs, all signs and SciPy."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.stats.effects import (
    probability_of_improvement,
    probability_of_paired_improvement,
)
from odyssey.report.stats.tests import paired_comparison, signed_rank

INF = math.inf
SIZES = [(2, 2), (3, 7), (23, 11), (40, 40)]


def samples(n: int, m: int, digits: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = random_kit.rng(seed, n, m)
    a, b = np.round(random.normal(0, 1, n), digits), np.round(random.normal(0.3, 2, m), digits)
    a[: n // 5], b[: m // 3] = INF, INF  # diverged
    return random.permutation(a), random.permutation(b)


def over_pairs(a: np.ndarray, b: np.ndarray) -> float:
    """P(a < b) + P(a = b) / 2, one pair after the other."""
    return float(np.mean([(x < y) + (x == y) / 2 for x, y in product(a, b)]))


# --- Probability of improvement ---


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("digits", [0, 9])
def test_the_probability_is_that_over_all_pairs(n: int, m: int, digits: int) -> None:
    a, b = samples(n, m, digits)
    found = probability_of_improvement(a, b, "lower")
    assert found.value == pytest.approx(over_pairs(a, b), rel=1e-12)
    u = stats.mannwhitneyu(np.minimum(b, 1e9), np.minimum(a, 1e9)).statistic
    assert found.value == pytest.approx(u / (n * m), rel=1e-12)


@pytest.mark.parametrize("digits", [0, 9])
def test_its_limits_are_where_it_would_be_far_out(digits: int) -> None:
    """At each limit the value found is z standard errors of exponential values away."""
    a, b = samples(23, 11, digits)
    found = probability_of_improvement(a, b, "lower", level=0.9)
    for p in (found.low, found.high):
        # P that two of one side beat one of the other, as Hanley and McNeil have them.
        one, other = p / (2 - p), 2 * p**2 / (1 + p)
        rest = (23 + 11) / 2 - 1
        variance = (p * (1 - p) + rest * (one - p**2) + rest * (other - p**2)) / (23 * 11)
        z = abs(found.value - p) / math.sqrt(variance)
        assert z == pytest.approx(stats.norm.ppf(0.95), rel=1e-6)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_better_turns_it_and_only_the_order_counts(n: int, m: int) -> None:
    a, b = samples(n, m, 1)
    one = probability_of_improvement(a, b, "lower")
    for same in (
        probability_of_improvement(-a, -b, "higher"),
        probability_of_improvement(np.exp(a), np.exp(b), "lower"),
    ):
        assert (same.value, same.low) == pytest.approx((one.value, one.low), nan_ok=True)
    other = probability_of_improvement(b, a, "lower")
    assert (other.value, other.low) == pytest.approx((1 - one.value, 1 - one.high), nan_ok=True)


@pytest.mark.parametrize("n", [4, 10, 40])
def test_limits_hold_the_truth_about_as_often_as_said(n: int) -> None:
    random = random_kit.rng()
    truth, held, repeats = stats.norm.cdf(0.5 / math.sqrt(2)), 0, 1500
    for _ in range(repeats):
        a, b = random.normal(size=n), random.normal(0.5, 1, n)
        found = probability_of_improvement(a, b, "lower")
        held += found.low <= truth <= found.high
    assert held >= stats.binom.ppf(1e-6, repeats, 0.93)


def test_a_sure_win_is_not_claimed_to_be_certain() -> None:
    found = probability_of_improvement(np.arange(20.0), np.arange(20.0) + 30, "lower")
    assert found.value == 1.0 and found.high == 1.0 and 0.8 < found.low < 0.95
    lost = probability_of_improvement([INF] * 5, [1.0] * 5, "lower")
    assert (lost.value, lost.low) == (0.0, 0.0) and 0.3 < lost.high < 0.7
    tied = probability_of_improvement([INF] * 5, [INF] * 9, "lower")
    assert tied.value == 0.5 and tied.low < 0.3 and tied.high > 0.7
    few = probability_of_improvement([1.0] * 3, [2.0] * 9, "lower")
    assert few.value == 1.0 and math.isnan(few.low) and math.isnan(few.high)


@pytest.mark.parametrize("n", [1, 2, 9, 50])
@pytest.mark.parametrize("digits", [0, 9])
def test_of_pairs_it_is_a_share_with_exact_limits(n: int, digits: int) -> None:
    a, b = samples(n, n, digits)
    found = probability_of_paired_improvement(a, b, "lower", level=0.9)
    wins = sum((x < y) + (x == y) / 2 for x, y in zip(a, b, strict=True))
    assert found.value == pytest.approx(wins / n)
    least, most = math.floor(wins), math.ceil(wins)
    low = stats.binomtest(least, n).proportion_ci(0.9, method="exact").low
    high = stats.binomtest(most, n).proportion_ci(0.9, method="exact").high
    assert (found.low, found.high) == pytest.approx((low, high))
    turned = probability_of_paired_improvement(-a, -b, "higher", level=0.9)
    assert turned == found


def test_too_few_and_wrong_ways_round() -> None:
    for n, m in [(0, 0), (0, 4), (4, 0)]:
        found = probability_of_improvement(np.arange(n), np.arange(m), "lower")
        assert math.isnan(found.low) and math.isnan(found.value)
    assert math.isnan(probability_of_paired_improvement([], [], "lower").value)
    with pytest.raises(ValueError, match="as many values"):
        probability_of_paired_improvement([1.0], [1.0, 2.0], "lower")
    for function in (
        probability_of_improvement,
        probability_of_paired_improvement,
        paired_comparison,
    ):
        with pytest.raises(ValueError, match="infinitely good"):
            function([1.0, INF], [1.0, 2.0], "higher")
        with pytest.raises(ValueError, match="nan"):
            function([1.0, math.nan], [1.0, 2.0], "lower")
        with pytest.raises(ValueError, match="better"):
            function([1.0, 3.0], [1.0, 2.0], "min")


# --- Paired ---


def by_all_signs(differences: np.ndarray) -> float:
    """The exact two-sided p: every sign for every rank."""
    ranks = stats.rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    seen = abs(ranks[differences > 0].sum() - middle)
    sums = [np.dot(signs, ranks) for signs in product([0, 1], repeat=len(ranks))]
    return float(np.mean(np.abs(np.array(sums) - middle) >= seen - 1e-9))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("digits", [0, 9])
def test_the_signed_rank_p_is_that_over_all_signs(n: int, digits: int) -> None:
    d = np.round(random_kit.rng().normal(0.5, 1.5, n), digits)
    d = d[d != 0]
    assert signed_rank(d) == pytest.approx(by_all_signs(d), rel=1e-12)


@pytest.mark.parametrize("n", [5, 13, 50, 51, 173])
def test_the_signed_rank_p_is_scipys(n: int) -> None:
    d = random_kit.rng().normal(0.2, 1, n)
    method = "exact" if n <= 50 else "approx"
    assert signed_rank(d) == pytest.approx(stats.wilcoxon(d, method=method).pvalue, rel=1e-10)


def test_many_shared_ranks_are_scipys_too() -> None:
    d = np.round(random_kit.rng().normal(0.2, 1, 120), 1)
    theirs = stats.wilcoxon(d, method="approx", zero_method="wilcox", correction=False).pvalue
    assert signed_rank(d[d != 0]) == pytest.approx(theirs, rel=1e-10)


def test_the_wilcoxon_table() -> None:
    """n = 8 differences, the two smallest negative: a rank sum of 3, p = 0.0390625."""
    assert signed_rank(np.array([-1.0, -2, 3, 4, 5, 6, 7, 8])) == 10 / 256


def test_wins_ties_and_the_worst() -> None:
    a = np.array([1.0, 2.0, INF, INF, 3.0, 4.0, 5.0])
    b = np.array([2.0, 2.0, INF, 9.0, INF, 6.0, 8.0])
    found = paired_comparison(a, b, "lower")
    assert (found.n, found.wins, found.ties) == (7, 4, 2)
    assert found.median_difference.value == -1.0  # of -inf, -3, -2, -1, 0, 0, inf
    # The two infinite differences share the largest rank.
    assert found.p == pytest.approx(by_all_signs(np.array([-1.0, -2, -3, -99, 99])))
    turned = paired_comparison(-a, -b, "higher")
    assert (turned.wins, turned.ties, turned.p) == (found.wins, found.ties, found.p)
    assert turned.median_difference.value == 1.0
    assert turned.median_difference.low == -found.median_difference.high


def test_a_middle_between_both_infinities_is_undefined() -> None:
    found = paired_comparison([INF, 1.0], [1.0, INF], "lower")
    assert math.isnan(found.median_difference.value) and found.p == 1.0
    many = paired_comparison([INF] * 4 + [1.0] * 4, [1.0] * 4 + [INF] * 4, "lower")
    assert (many.median_difference.low, many.median_difference.high) == (-INF, INF)


def test_all_ties_and_too_few_pairs() -> None:
    same = paired_comparison([1.0, INF, 3.0], [1.0, INF, 3.0], "lower")
    assert (same.n, same.wins, same.ties, same.p) == (3, 0, 3, 1.0)
    assert same.median_difference.value == 0.0
    for n in (0, 1):
        found = paired_comparison(np.ones(n), np.zeros(n), "higher")
        assert found.n == n and found.wins == n and math.isnan(found.p)
        assert math.isnan(found.median_difference.low)
    with pytest.raises(ValueError, match="both sides"):
        paired_comparison([1.0, 2.0], [1.0], "lower")


def test_paired_order_shift_and_scale() -> None:
    random = random_kit.rng()
    a, b = random.normal(size=19), random.normal(0.4, 1, 19)
    one, order = paired_comparison(a, b, "lower"), random.permutation(19)
    mixed = paired_comparison(a[order], b[order], "lower")
    assert (mixed.p, mixed.wins) == (one.p, one.wins)
    assert mixed.median_difference.value == one.median_difference.value
    moved = paired_comparison(4 * a + 1, 4 * b + 1, "lower").median_difference
    assert (moved.value, moved.low, moved.high) == pytest.approx(
        tuple(4 * v for v in (one.median_difference.value, one.median_difference.low,
                              one.median_difference.high))
    )  # fmt: skip
    assert (
        paired_comparison(b, a, "lower").p == one.p
        and paired_comparison(b, a, "lower").wins == 19 - one.wins
    )
    assert paired_comparison(a, b, "lower") == one


@pytest.mark.slow
def test_the_median_of_differences_is_held_about_as_often_as_said() -> None:
    random = random_kit.rng()
    repeats, held = 2600, 0
    for _ in range(repeats):
        setting = random.normal(0, 5, 41)  # what both variants of a trial share
        a, b = setting + random.normal(0.2, 1, 41), setting + random.normal(0, 1, 41)
        found = paired_comparison(a, b, "lower", level=0.9).median_difference
        held += found.low <= 0.2 <= found.high
    exact = 1 - 2 * stats.binom.cdf(15 - 1, 41, 0.5)  # the 15th of each end; the 16th keeps less
    least, most = stats.binom.ppf([1e-6, 1 - 1e-6], repeats, exact)
    assert exact >= 0.9 > 1 - 2 * stats.binom.cdf(15, 41, 0.5) and least <= held <= most
