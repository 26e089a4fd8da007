"""Statistics over several tasks, against SciPy, every order, and direct transcriptions."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.calibration.tasks import (
    AGREE,
    HELD,
    PLAIN,
    TasksSetting,
    rates_over_tasks,
    tasks_settings,
)
from odyssey.report.stats.estimates import iqm
from odyssey.report.stats.over_tasks import (
    Runs,
    Task,
    friedman,
    mean_ranks,
    rank_rows,
    sign_test,
)
from odyssey.report.stats.ratios import aggregate, profile, weighted_iqm
from odyssey.report.stats.samples import expanded_level
from run_kit import ROOT

INF = math.inf


def values(random: np.random.Generator, *shape: int) -> np.ndarray:
    return np.exp(random.normal(0, 0.4, shape))


# --- ranks ---


def test_ranks_are_by_lost_runs_then_by_means_with_ties() -> None:
    random = random_kit.rng()
    for count in (1, 2, 7):
        means = random.integers(0, 4, (5, count)).astype(float)
        assert (rank_rows(np.zeros((5, count)), means) == stats.rankdata(means, axis=1)).all()
    lost, means = [0.0, 0.2, 0.2, 1.0, 1.0], [5.0, 1.0, 2.0, INF, INF]
    assert rank_rows(lost, means).tolist() == [1, 2, 3, 4.5, 4.5]


@pytest.mark.parametrize(("tasks", "count"), [(2, 4), (3, 3), (4, 2), (5, 3)])
def test_friedman_is_scipys_statistic_and_the_share_of_all_orders(tasks: int, count: int) -> None:
    random = random_kit.rng(tasks, count)
    ranks = stats.rankdata(random.integers(0, count + 1, (tasks, count)), axis=1)
    found = friedman(ranks)
    if count > 2 and tasks > 1 and np.ptp(ranks, axis=1).any():
        wanted = stats.friedmanchisquare(*ranks.T).statistic
        assert found.statistic == pytest.approx(wanted)
    every = []
    for orders in product(permutations(range(count)), repeat=tasks):
        sums = sum(row[list(order)] for row, order in zip(ranks, orders, strict=True))
        every.append(((sums - tasks * (count + 1) / 2) ** 2).sum())
    own = ((ranks.sum(axis=0) - tasks * (count + 1) / 2) ** 2).sum()
    assert found.p == pytest.approx((np.array(every) >= own - 1e-9).mean())


def test_friedman_of_many_tasks_is_near_its_chi_square_and_of_few_has_a_smallest_p() -> None:
    random = random_kit.rng()
    ranks = stats.rankdata(random.normal(size=(40, 5)) + np.arange(5) * 0.15, axis=1)
    found = friedman(ranks, seed=1)
    assert found.p == pytest.approx(stats.friedmanchisquare(*ranks.T).pvalue, abs=0.02)
    agreed = friedman(np.tile(np.arange(1.0, 5), (2, 1)))
    assert agreed.p == pytest.approx(agreed.smallest) == pytest.approx(1 / 24)
    assert friedman(np.full((3, 4), 2.5)).p == 1
    assert math.isnan(friedman(np.ones((1, 3))).p) and math.isnan(friedman(np.ones((3, 1))).p)
    large = friedman(np.tile(np.arange(1.0, 24), (3, 1)))
    assert large.p == large.smallest == pytest.approx(1 / 20_001)


def test_the_sign_test_is_binomial() -> None:
    for wins, losses in product(range(5), repeat=2):
        if wins + losses:
            wanted = stats.binomtest(wins, wins + losses).pvalue
            assert sign_test(wins, losses) == pytest.approx(wanted)
    assert sign_test(0, 0) == 1


def test_mean_ranks_have_limits_only_where_they_hold() -> None:
    random = random_kit.rng()

    def ranked(*tasks: Task) -> list:
        ranks = np.stack([rank_rows(np.zeros(len(t.runs)), t.means()) for t in tasks])
        return mean_ranks(tasks, ranks, draws=300, seed=random_kit.seed())

    def task(n: int, **more) -> Task:
        return Task([Runs(random.normal(i, 0.3, n)) for i in range(4)], **more)

    for interval in ranked(task(5), task(8, paired=True), task(3)):
        assert 1 <= interval.low <= interval.value <= interval.high <= 4
    apart = Task([Runs(random.normal(100 * i, 1, 4)) for i in (2, 0, 1)])
    for interval, place in zip(ranked(apart, apart), (3, 1, 2), strict=True):
        assert interval.low == interval.value == interval.high == place
    assert all(math.isnan(i.low) for i in ranked(task(5), task(2)))
    lost = task(5)
    lost.runs[1].cost[2] = INF
    assert all(math.isnan(i.low) for i in ranked(task(5), lost))
    search = Task([Runs(x, x) for x in random.normal(size=(3, 40))], share=0.1)
    assert not any(math.isnan(i.low) for i in ranked(search, search))
    few = Task([Runs(x, x) for x in random.normal(size=(3, 12))], share=0.1)
    assert all(math.isnan(i.low) for i in ranked(search, few))


def test_a_searchs_means_are_of_the_best_of_each_draw() -> None:
    random = random_kit.rng()
    chosen, test = random.normal(size=(2, 30))
    chosen[random.permutation(30)[:4]] = INF
    task = Task([Runs(test, chosen), Runs(test + 1, chosen)], share=0.2)
    best = np.argsort(chosen)[:6]
    assert task.kept(0) == 6
    assert task.means() == pytest.approx([test[best].mean(), test[best].mean() + 1])


# --- ratios ---


def test_the_weighted_iqm_is_the_iqm_where_weights_are_equal() -> None:
    random = random_kit.rng()
    for n in (1, 2, 3, 5, 8, 13):
        sample = random.normal(size=(3, n))
        sample[0, : max(0, -(-n // 4) - 1)] = INF
        assert weighted_iqm(sample, np.full(n, 1 / n)) == pytest.approx(iqm(sample))
    # A value of three times the weight is three values.
    sample, times = random.normal(size=6), np.array([1, 3, 2, 1, 4, 1])
    found = weighted_iqm(sample[None], times / times.sum())
    assert found[0] == pytest.approx(iqm(np.repeat(sample, times)))


def test_aggregates_are_those_of_rliable() -> None:
    """A transcription of its aggregates: (runs, tasks) scores, here logarithms of ratios."""
    random = random_kit.rng()
    tasks = [[values(random, 4) for _ in range(3)] for _ in range(6)]
    found = aggregate(tasks, 1, [False] * 6, draws=50)
    for place in range(3):
        base = np.array([np.log(task[1]).mean() for task in tasks])
        scores = np.stack([np.log(task[place]) for task in tasks], axis=1) - base
        own = found[place]
        assert math.log(own.mean.value) == pytest.approx(scores.mean(axis=0).mean(), abs=1e-12)
        assert math.log(own.median.value) == pytest.approx(
            np.median(scores.mean(axis=0)), abs=1e-12
        )
        trimmed = stats.trim_mean(scores, 0.25, axis=None)
        assert math.log(own.iqm.value) == pytest.approx(trimmed, abs=1e-12)
    assert found[1].mean.value == pytest.approx(1) and math.isnan(found[1].mean.low)


def test_the_order_does_not_depend_on_the_baseline() -> None:
    random = random_kit.rng()
    tasks = [[values(random, int(n)) for n in random.integers(3, 9, 4)] for _ in range(3)]
    orders = {
        tuple(np.argsort([a.mean.value for a in aggregate(tasks, base, [False] * 3, draws=10)]))
        for base in range(4)
    }
    assert len(orders) == 1


def test_the_intervals_are_stratified_bootstrap_percentiles_farther_out() -> None:
    """One draw after another, as a loop."""
    random = random_kit.rng()
    tasks = [[values(random, 5) for _ in range(2)] for _ in range(3)]
    found = aggregate(tasks, 0, [False] * 3, draws=20_000, seed=random_kit.seed())[1].mean
    drawn = []
    for _ in range(4000):
        of_task = []
        for base, own in tasks:
            a, b = (np.log(random.choice(x, len(x))).mean() for x in (own, base))
            of_task.append(a - b)
        drawn.append(np.mean(of_task))
    outside = (1 - expanded_level(0.95, [5, 5, 5])) / 2
    assert 0.005 < outside < 0.025
    wanted = np.quantile(drawn, [outside, 1 - outside])
    spread = np.std(drawn)
    assert np.log([found.low, found.high]) == pytest.approx(wanted, abs=0.3 * spread)


def test_few_runs_pairs_and_losses_take_the_intervals_away() -> None:
    random = random_kit.rng()

    def low(n: int, paired: bool = False, lose: int | None = None) -> float:
        tasks = [[values(random, n) for _ in range(3)] for _ in range(2)]
        if lose is not None:
            tasks[0][lose][0] = INF
        return aggregate(tasks, 0, [paired] * 2, draws=200)[1].iqm.low

    assert math.isnan(low(2)) and not math.isnan(low(3))
    assert math.isnan(low(4, paired=True)) and not math.isnan(low(5, paired=True))
    assert math.isnan(low(5, lose=0)) and not math.isnan(low(5, lose=1))
    lost = [[values(random, 4), np.array([1.0, INF, INF, INF])] for _ in range(2)]
    assert aggregate(lost, 0, [False] * 2, draws=50)[1].iqm.value == INF


def test_a_profile_is_the_mean_share_with_binomial_limits() -> None:
    random = random_kit.rng()
    ratios = [values(random, 4), values(random, 4), np.array([0.5, 1.0, INF, INF])]
    at = np.array([0.0, 0.5, 1.0, 1e9])
    found = profile(ratios, at)
    for place, ratio in enumerate(at):
        share = np.mean([(r <= ratio).mean() for r in ratios])
        assert found.share[place] == pytest.approx(share)
        limits = stats.binomtest(round(12 * share), 12).proportion_ci(0.95, "exact")
        assert (found.low[place], found.high[place]) == pytest.approx(tuple(limits))
    uneven = profile([values(random, 3), values(random, 10)], at)
    worth = stats.binomtest(0, 9).proportion_ci(0.95, "exact")  # 4 / (1/3 + 1/10) = 9.2
    assert uneven.high[0] == pytest.approx(worth.high)
    assert np.isnan(profile(ratios, at, limits=False).low).all()


# --- how often they hold ---


@pytest.mark.parametrize(
    "setting",
    [TasksSetting("a", 4, 3, 3), TasksSetting("b", 3, 2, 5, correlation=0.7)],
    ids=["seeds", "paired"],
)
def test_intervals_hold(setting: TasksSetting) -> None:
    found = rates_over_tasks(setting, 60, random_kit.seed(), 1, lambda done: None)
    for name, rate in found.items():
        if name == PLAIN:
            continue
        if name == AGREE:
            assert rate.hits <= stats.binom.ppf(1 - 1e-6, rate.studies, 0.055)
        else:  # intervals of one study go together, so that fewer count
            independent = min(rate.studies, 60)
            assert rate.value * independent >= stats.binom.ppf(1e-6, independent, 0.93), name
    assert HELD in found


def test_the_measured_rows_are_in_the_documentation() -> None:
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    for setting in tasks_settings():
        assert f"| {setting.name} |" in text
