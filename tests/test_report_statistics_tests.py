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
from odyssey.report.stats.losses import loss_test, most_extreme, runs_needed
from odyssey.report.stats.tests import (
    NO_VARIANCE,
    SMALL,
    TOO_FEW,
    brunner_munzel,
    holm,
    holm_factors,
    paired_equivalence,
    paired_t,
    permuted_ranks,
    welch,
)

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


# --- Pairs ---


@pytest.mark.parametrize("n", [2, 3, 11, 60])
def test_the_t_of_pairs_is_scipys(n: int) -> None:
    common, noise = random_kit.rng().normal(size=(2, n))
    a, b = 8 + common, 8.1 + common + 0.2 * noise
    ours, theirs = paired_t(a, b, level=0.9), stats.ttest_rel(a, b)
    assert (ours.statistic, ours.df, ours.p) == pytest.approx(
        (theirs.statistic, theirs.df, theirs.pvalue), rel=1e-9
    )
    limits = theirs.confidence_interval(0.9)
    assert (ours.difference.low, ours.difference.high) == pytest.approx((limits.low, limits.high))
    assert ours.difference.value == pytest.approx((a - b).mean())


def test_equivalence_of_pairs_is_two_one_sided_tests() -> None:
    a = random_kit.rng().normal(0.1, 0.3, 12)
    b = np.zeros(12)
    found = paired_equivalence(a, b, 0.4)
    one = stats.ttest_1samp(a, 0.4, alternative="less").pvalue
    other = stats.ttest_1samp(a, -0.4, alternative="greater").pvalue
    assert found.p == pytest.approx(max(one, other))
    assert found.equivalent == (found.p <= 0.05)
    at = paired_equivalence(a, b, found.smallest_margin)
    assert at.p == pytest.approx(0.05, rel=1e-6)
    assert math.isnan(paired_equivalence(a, b, None).p)


def test_pairs_that_cannot_be_tested() -> None:
    assert paired_t([1.0], [2.0]).note == TOO_FEW and math.isnan(paired_t([], []).p)
    equal = paired_t([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert equal.note == NO_VARIANCE and equal.difference.value == pytest.approx(0.1)
    assert math.isnan(paired_equivalence([1.0], [2.0], 0.1).p)
    with pytest.raises(ValueError, match="as many values"):
        paired_t([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="infinite"):
        paired_t([1.0, INF], [1.0, 2.0])


# --- Ranks by permutation ---


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 5), (5, 5), (4, 7)])
@pytest.mark.parametrize("digits", [0, 9])
def test_permuted_ranks_are_those_of_all_labellings(n: int, m: int, digits: int) -> None:
    a, b = overlapping(n, m, digits) if digits else samples(n, m)
    a, b = np.round(a, digits), np.round(b, digits)

    def statistic(first: np.ndarray, second: np.ndarray) -> float:
        """As SciPy has it, where it has one."""
        below = (first[:, None] > second) + (first[:, None] == second) / 2
        effect = below.mean() - 0.5
        error = below.mean(1).var(ddof=1) / len(first) + below.mean(0).var(ddof=1) / len(second)
        if error < 1e-15:
            return math.copysign(INF, effect) if effect else 0.0
        return effect / math.sqrt(error)

    together, seen = np.concatenate([a, b]), statistic(a, b)
    every = []
    for chosen in combinations(range(n + m), n):
        rest = [i for i in range(n + m) if i not in chosen]
        every.append(statistic(together[list(chosen)], together[rest]))
    slack = 1e-9 * abs(seen) if math.isfinite(seen) else 0.0
    low = np.mean(np.array(every) <= seen + slack)
    high = np.mean(np.array(every) >= seen - slack)
    assert permuted_ranks(a, b) == pytest.approx(min(1.0, 2 * min(low, high)))


def test_permuted_ranks_of_samples_apart_and_of_equal_ones() -> None:
    for n, m in [(3, 3), (5, 4)]:
        apart = permuted_ranks(np.arange(n), np.arange(m) + 100)
        assert apart == pytest.approx(2 / math.comb(n + m, n))
        assert permuted_ranks(np.ones(n), np.ones(m)) == 1.0
    lost = permuted_ranks([1.0, 2.0, INF, INF], [INF] * 4)
    assert lost == permuted_ranks([1.0, 2.0, 9.0, 9.0], [9.0] * 4)
    assert math.isnan(permuted_ranks([], [1.0]))
    assert permuted_ranks(np.arange(20), np.arange(20) + 100) < 0.001


# --- Losses ---


def by_all_rates(x: int, n: int, y: int, m: int) -> float:
    """Boschloo's two-sided p on a fine grid of rates: twice the smaller one-sided one."""
    rates = np.linspace(0.0005, 0.9995, 2000)
    of_a = stats.binom.pmf(np.arange(n + 1)[:, None], n, rates)
    of_b = stats.binom.pmf(np.arange(m + 1)[:, None], m, rates)
    found = []
    for side in ("less", "greater"):
        fisher = np.array(
            [
                [
                    stats.fisher_exact([[i, j], [n - i, m - j]], alternative=side)[1]
                    for j in range(m + 1)
                ]
                for i in range(n + 1)
            ]
        )
        as_small = fisher <= fisher[x, y] * (1 + 1e-9)
        found.append(np.einsum("ij,ir,jr->r", as_small, of_a, of_b).max())
    return min(1.0, 2 * min(found))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (3, 6), (8, 8)])
def test_the_test_of_losses_is_exact(n: int, m: int) -> None:
    random = random_kit.rng()
    for x, y in [(n, 0), (0, m), (n - 1, 0), *random.integers(0, min(n, m) + 1, (4, 2))]:
        x, y = int(x), int(y)
        if x + y in (0, n + m):
            assert loss_test(x, n, y, m) == 1.0
        else:
            assert loss_test(x, n, y, m) == pytest.approx(by_all_rates(x, n, y, m), rel=2e-2)


def test_five_of_five_lost_against_none() -> None:
    assert loss_test(5, 5, 0, 5) == pytest.approx(2 * 0.5**10, rel=1e-3)
    assert math.isnan(loss_test(0, 0, 1, 3))
    assert most_extreme(5, 5, 5) == pytest.approx(loss_test(5, 5, 0, 5))
    assert most_extreme(1, 5, 5) > 0.3 and most_extreme(2, 0, 5) == 1.0


def test_the_runs_needed_are_the_fewest() -> None:
    assert runs_needed(1.0, 0.0, 0.05) == 3  # 2 * 0.5 ** 6; with two runs it is 0.125
    needed = runs_needed(0.8, 0.0, 0.05 / 8)
    assert needed is not None and loss_test(round(0.8 * needed), needed, 0, needed) <= 0.05 / 8
    assert loss_test(round(0.8 * (needed - 1)), needed - 1, 0, needed - 1) > 0.05 / 8
    assert runs_needed(0.1, 0.1, 0.05) is None


# --- Limits that agree with Holm's correction ---


@pytest.mark.parametrize("m", [1, 2, 8])
def test_an_interval_at_its_level_excludes_none_where_holm_refuses(m: int) -> None:
    """For z tests: the limits at 1 - alpha / factor exclude 0 exactly where holm(p) <= alpha."""
    random = random_kit.rng()
    for _ in range(200):
        z = random.normal(0, 2.5, m)
        ps = 2 * stats.norm.sf(np.abs(z))
        factors = holm_factors(ps, 0.05)
        reach = stats.norm.isf(0.05 / factors / 2)
        assert ((np.abs(z) > reach) == (holm(ps) <= 0.05)).all()
        assert (1 <= factors).all() and (factors <= m).all()
