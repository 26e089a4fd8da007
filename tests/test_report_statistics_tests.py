"""Welch's and Brunner and Munzel's tests, against SciPy, statsmodels and all permutations."""

from __future__ import annotations

import math
from itertools import combinations, count, product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.nonparametric import rank_compare_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

import random_kit
from odyssey.report.stats.tests import SMALL, TOO_FEW, brunner_munzel, welch

INF = math.inf
SIZES = [(2, 2), (2, 3), (3, 7), (20, 20), (13, 31), (180, 7)]


def samples(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = random_kit.rng(seed, n, m)
    return random.normal(8.5, 0.3, n), random.normal(8.7, 1.1, m)


def overlapping(n: int, m: int, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounded samples, neither of which is wholly below the other."""
    for attempt in count():
        a, b = (np.round(x, digits) for x in samples(n, m, seed=attempt))
        if a.min() < b.max() and b.min() < a.max():
            return a, b
    raise AssertionError


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_welch_is_scipys_and_statsmodels(n: int, m: int) -> None:
    a, b = samples(n, m)
    ours, theirs = welch(a, b, level=0.9), stats.ttest_ind(a, b, equal_var=False)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-11)
    assert ours.df == pytest.approx(theirs.df, rel=1e-11)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-10)
    compared = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    assert (ours.difference.low, ours.difference.high) == pytest.approx(
        compared.tconfint_diff(alpha=0.1, usevar="unequal"), rel=1e-10
    )
    assert ours.difference.value == pytest.approx(a.mean() - b.mean())
    assert ours.difference.level == 0.9 and ours.note == ""


def test_welch_keeps_precision_far_from_zero_and_in_the_tail() -> None:
    a, b = samples(11, 17)
    moved, plain = welch(a * 1e-6 + 3, b * 1e-6 + 3), welch(a, b)
    assert moved.p == pytest.approx(plain.p, rel=1e-6)
    far = welch(a, b + 1000)
    assert 0 < far.p == pytest.approx(stats.ttest_ind(a, b + 1000, equal_var=False).pvalue)


def test_welch_of_one_constant_sample() -> None:
    b = samples(2, 9)[1]  # against it, the test is that of one sample
    ours, theirs = welch([0.1] * 7, b), stats.ttest_1samp(b, 0.1)
    assert ours.p == pytest.approx(theirs.pvalue) and ours.df == pytest.approx(8)


@pytest.mark.parametrize(("a", "b"), [([0.1] * 3, [0.1] * 7), ([1.0, 1.0], [2.0, 2.0])])
def test_welch_without_variance_says_so(a: list[float], b: list[float]) -> None:
    found = welch(a, b)
    assert math.isnan(found.p) and math.isnan(found.difference.low) and found.note
    assert found.difference.value == pytest.approx(a[0] - b[0])


@pytest.mark.parametrize("test", [welch, brunner_munzel])
@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (1, 1), (5, 1), (1, 5)])
def test_too_few_values_have_no_p(test, n: int, m: int) -> None:
    found = test(*samples(n, m))
    assert math.isnan(found.p) and math.isnan(found.statistic) and math.isnan(found.df)
    assert math.isnan(found.difference.low) and found.note == TOO_FEW
    assert math.isnan(found.difference.value) == (n == 0 or m == 0)


@pytest.mark.parametrize("bad", [math.nan, INF, -INF])
def test_a_mean_takes_finite_values_only(bad: float) -> None:
    with pytest.raises(ValueError, match="nan|infinite"):
        welch([1.0, 2.0, bad], [1.0, 2.0])


@pytest.mark.parametrize(("n", "m"), SIZES[2:])
@pytest.mark.parametrize("digits", [0, 1, 9])
def test_brunner_munzel_is_scipys_and_statsmodels(n: int, m: int, digits: int) -> None:
    a, b = overlapping(n, m, digits)  # those that do not overlap are below
    ours = brunner_munzel(a, b)
    theirs = stats.brunnermunzel(a, b)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-10)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    # statsmodels asks for P(first > second), and does not cut its limits to [0, 1].
    other = rank_compare_2indep(b, a, use_t=True)
    low, high = np.clip(other.conf_int(), 0, 1)
    assert ours.p == pytest.approx(other.pvalue) and ours.df == pytest.approx(other.df)
    assert (ours.difference.low, ours.difference.high) == pytest.approx((low, high), abs=1e-10)
    assert ours.note == (SMALL if min(n, m) < 10 else "")


def test_brunner_munzel_on_the_papers_pain_scores() -> None:
    a = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1]
    b = [3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4]
    found = brunner_munzel(a, b)
    assert found.statistic == pytest.approx(3.1374674823029505, rel=1e-12)
    assert found.df == pytest.approx(17.682841979481548, rel=1e-12)
    assert found.difference.value == pytest.approx(0.788961038961039, rel=1e-12)
    assert found.p == pytest.approx(0.0057862, abs=1e-7)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (12, 17)])
def test_the_estimate_counts_pairs(n: int, m: int) -> None:
    a, b = (np.round(x, 1) for x in samples(n, m))
    pairs = [(x < y) + (x == y) / 2 for x, y in product(a, b)]
    assert brunner_munzel(a, b).difference.value == pytest.approx(np.mean(pairs), rel=1e-12)


def permutation_p(a: list[float], b: list[float]) -> float:
    """The share of labellings at least as far from 0.5 as the one found."""
    values, found = np.array(a + b), []
    for chosen in combinations(range(len(values)), len(a)):
        mask = np.isin(np.arange(len(values)), chosen)
        pairs = [(x < y) + (x == y) / 2 for x, y in product(values[mask], values[~mask])]
        found.append(abs(np.mean(pairs) - 0.5))
    seen = abs(np.mean([(x < y) + (x == y) / 2 for x, y in product(a, b)]) - 0.5)
    return float(np.mean(np.array(found) >= seen - 1e-12))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 2.0], [3.0, 4.0]),
        ([1.0, 2.0, 2.5], [INF, INF, INF]),
        ([5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0]),
        ([1.0, 1.0], [2.0, 2.0]),
    ],
)
def test_samples_that_do_not_overlap_have_the_exact_p(a: list[float], b: list[float]) -> None:
    found = brunner_munzel(a, b)
    assert found.difference.value == (1.0 if a[0] < b[0] else 0.0)
    assert found.p == pytest.approx(permutation_p(a, b))
    assert found.statistic == (INF if a[0] < b[0] else -INF) and found.note
    other = brunner_munzel(b, a)
    assert other.p == found.p and other.difference.low == pytest.approx(1 - found.difference.high)


def test_all_equal_values_are_no_evidence() -> None:
    found = brunner_munzel([INF] * 3, [INF] * 4)
    assert (found.p, found.statistic, found.difference.value) == (1.0, 0.0, 0.5)
    # Three independent pairs that are ties: the chance of a tie may be 0.025 ** (1/3) = 0.292.
    assert found.difference.low == pytest.approx(0.1462, abs=1e-4)
    assert found.difference.high == pytest.approx(0.8538, abs=1e-4)


def test_limits_without_overlap_are_never_too_narrow() -> None:
    """With a chance at the limit, m pairs that all agree are just as rare as the tail."""
    for n, m in [(2, 5), (20, 20), (7, 3)]:
        found = brunner_munzel(np.arange(n), np.arange(m) + n + 0.5, level=0.9).difference
        assert found.high == 1.0 and found.low ** min(n, m) == pytest.approx(0.05)


def test_worst_values_are_ties_at_the_worst() -> None:
    a, b = samples(12, 15)
    a[:3], b[:5] = INF, INF
    stand_in = [np.where(np.isinf(x), 1e6, x) for x in (a, b)]
    assert brunner_munzel(a, b) == brunner_munzel(*stand_in)
    assert brunner_munzel(-a, -b).p == pytest.approx(brunner_munzel(a, b).p)
    with pytest.raises(ValueError, match="both directions"):
        brunner_munzel([1.0, INF], [1.0, -INF])
    with pytest.raises(ValueError, match="nan"):
        brunner_munzel([1.0, math.nan], [1.0, 2.0])


@pytest.mark.parametrize("seed", range(5))
def test_properties(seed: int) -> None:
    random = random_kit.rng()
    a, b = samples(11, 13, seed)
    shuffled = random.permutation(a), random.permutation(b)
    for test in (welch, brunner_munzel):
        one, other = test(a, b), test(b, a)
        assert test(*shuffled).p == pytest.approx(one.p, rel=1e-12)
        assert other.p == pytest.approx(one.p) and other.statistic == pytest.approx(-one.statistic)
        moved = test(3 * a + 7, 3 * b + 7)
        assert moved.p == pytest.approx(one.p) and moved.df == pytest.approx(one.df)
    assert welch(3 * a + 7, 3 * b + 7).difference.high == pytest.approx(
        3 * welch(a, b).difference.high
    )
    assert brunner_munzel(np.exp(a), np.exp(b)) == brunner_munzel(a, b)  # only the order counts


def test_a_level_outside_its_range_is_refused() -> None:
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="level"):
            welch([1.0, 2.0], [3.0, 5.0], level=level)
