"""The effects of a grid's factors, against other computations of them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from factors_kit import grid_of_sizes, samples_of
from odyssey.report.analysis.decisions import BETTER, CANNOT_TELL, NO_DIFFERENCE, SAME, WORSE
from odyssey.report.analysis.factors import (
    DEPENDS,
    DOUBLING,
    INTERACTION,
    MAIN,
    NO_INTERACTION,
    SIMPLE,
    Effect,
    decide_effects,
)
from odyssey.report.analysis.grids import Grid
from odyssey.report.analysis.options import Options
from odyssey.report.stats.contrasts import (
    contrasts_of_blocks,
    contrasts_of_samples,
    level_contrasts,
    trend_contrast,
)
from odyssey.report.stats.power import standard_errors_needed
from odyssey.report.stats.tests import holm, welch
from random_kit import rng


def effects_of(
    table: np.ndarray, *sizes: int, shared: bool = True, better: str = "lower", **options: float
) -> tuple[Grid, list[Effect]]:
    grid = grid_of_sizes(*sizes)
    samples = samples_of(grid, table, shared)
    return grid, decide_effects(grid, samples, shared, better, Options(**options))


def by_hand(effect: Effect, grid: Grid, table: np.ndarray) -> np.ndarray:
    """The value of an effect in every row of a table, by loops over the cells."""
    found = np.zeros(len(table))
    others = [i for i in range(len(grid.factors)) if i not in effect.factors]
    cells = list(product(*(range(len(f.levels)) for f in grid.factors)))
    weights = 1.0
    for i in others:
        if effect.family != SIMPLE:
            weights /= len(grid.factors[i].levels)
    for column, place in enumerate(cells):
        sign = weights
        for i, level in zip(effect.factors, effect.levels, strict=True):
            factor = grid.factors[i]
            if level == DOUBLING:
                logs = [math.log2(n) for n in factor.numbers]
                mean = sum(logs) / len(logs)
                sign *= (logs[place[i]] - mean) / sum((one - mean) ** 2 for one in logs)
            else:
                here = factor.levels[place[i]]
                sign *= (here == level) - (place[i] == factor.reference)
        if effect.family == SIMPLE:
            at = [grid.factors[i].levels[place[i]] for i in others]
            sign *= at == list(effect.at)
        if sign:
            found += sign * table[:, column]
    return found


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (10, 4), (3, 2, 3)])
def test_each_effect_is_students_t_over_the_seeds(sizes: tuple[int, ...]) -> None:
    random = rng(sizes)
    table = random.normal(5, 1, (int(random.integers(2, 7)), math.prod(sizes)))
    grid, found = effects_of(table, *sizes)
    k = [n - 1 for n in sizes]
    trend = [0] * (len(sizes) - 1) + [int(sizes[-1] > 2)]
    rows = [a + b for a, b in zip(k, trend, strict=True)]
    cells = math.prod(sizes)
    assert len([e for e in found if e.family == MAIN]) == sum(rows)
    simple = sum(a * cells // n for a, n in zip(k, sizes, strict=True))
    assert len([e for e in found if e.family == SIMPLE]) == simple
    pairs = sum(a * b for i, a in enumerate(rows) for b in rows[i + 1 :])
    assert len([e for e in found if e.family == INTERACTION]) == pairs
    for family in (MAIN, SIMPLE, INTERACTION):
        here = [e for e in found if e.family == family]
        expected = [stats.ttest_1samp(by_hand(e, grid, table), 0) for e in here]
        assert np.allclose([e.p for e in here], [t.pvalue for t in expected])
        values = [by_hand(e, grid, table).mean() for e in here]
        assert np.allclose([e.difference.value for e in here], values)
        assert np.allclose([e.holm_p for e in here], holm([t.pvalue for t in expected]))
        for e, t in zip(here, expected, strict=True):
            assert (e.difference.low > 0 or e.difference.high < 0) == (e.holm_p <= 0.05)
            if e.holm_p == min(one.holm_p for one in here):
                limits = t.confidence_interval(1 - 0.05 / len(here))
                assert np.allclose([e.difference.low, e.difference.high], limits)


def test_two_by_two_is_the_analysis_of_variance_of_repeated_measures() -> None:
    random = rng()
    n = int(random.integers(3, 8))
    table = random.normal(0, 1, (n, 1)) + random.normal(0, [1, 2, 1, 3], (n, 4))
    _, found = effects_of(table, 2, 2)
    rows = [
        {"seed": seed, "a": place // 2, "b": place % 2, "y": table[seed, place]}
        for seed in range(n)
        for place in range(4)
    ]
    anova = AnovaRM(pd.DataFrame(rows), "y", "seed", within=["a", "b"]).fit().anova_table
    main = [e.p for e in found if e.family == MAIN]
    (interaction,) = [e.p for e in found if e.family == INTERACTION]
    assert np.allclose([*main, interaction], anova["Pr > F"])


def test_without_shared_seeds_it_is_welchs_t_of_the_contrast() -> None:
    random = rng()
    grid = grid_of_sizes(2, 3)
    table = random.normal(5, random.uniform(0.5, 3, 6), (6, 6))
    table[0, 2] = table[1:3, 4] = math.nan  # unequal numbers
    _, found = effects_of(table, 2, 3, shared=False)
    for effect in found:
        weights = by_hand(effect, grid, np.eye(6))
        used = [c for c in range(6) if abs(weights[c]) > 1e-12]
        columns = {c: table[~np.isnan(table[:, c]), c] for c in used}
        parts = {c: weights[c] ** 2 * x.var(ddof=1) / len(x) for c, x in columns.items()}
        error = math.sqrt(sum(parts.values()))
        df = error**4 / sum(p**2 / (len(columns[c]) - 1) for c, p in parts.items())
        value = sum(weights[c] * x.mean() for c, x in columns.items())
        assert math.isclose(effect.difference.value, value, abs_tol=1e-12)
        assert math.isclose(effect.p, 2 * stats.t.sf(abs(value / error), df), rel_tol=1e-9)
        if effect.family == SIMPLE:
            plus, minus = (next(c for c in used if s * weights[c] > 0) for s in (1, -1))
            assert math.isclose(effect.p, welch(columns[plus], columns[minus]).p, rel_tol=1e-9)


def test_the_slope_of_a_trend_is_that_of_least_squares() -> None:
    random = rng()
    first, steps = float(random.uniform(0.1, 50)), int(random.integers(3, 7))
    for factor in (2.0, 0.5, 3.0, float(random.uniform(1.1, 9))):
        values = [first * factor**i for i in range(steps)]
        slope = trend_contrast(values)
        means = random.normal(size=steps)
        assert slope is not None
        assert math.isclose(slope @ means, np.polyfit(np.log2(values), means, 1)[0], abs_tol=1e-9)
    for values in ([8, 16], [8, 16, 33], [64, 128, 192], [0, 1, 2], [-1, 1, 2], [8, 16, math.inf]):
        assert trend_contrast(values) is None
    assert trend_contrast([20, 40, 80]) is not None


def test_a_seed_that_lies_far_out_is_marked() -> None:
    table = np.stack([np.zeros(8), [*np.linspace(1, 1.6, 7), 9]], axis=1)
    assert contrasts_of_blocks(table, [[-1, 1]]).far_out.tolist() == [True]
    assert contrasts_of_blocks(table[1:], [[-1, 1]]).far_out.tolist() == [False]  # seven of them
    table[7, 1] = 2
    assert contrasts_of_blocks(table, [[-1, 1]]).far_out.tolist() == [False]
    lost = np.vstack([table, [[math.inf, 0], [0, 9]]])
    assert contrasts_of_blocks(lost, [[-1, 1], [1, -1]]).far_out.tolist() == [True, True]


def test_level_contrasts_leave_out_the_reference() -> None:
    assert level_contrasts(3, 1).tolist() == [[1, -1, 0], [0, -1, 1]]


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_words_have_the_direction_of_the_metric(better: str) -> None:
    """The second level is lower everywhere by a lot, and each doubling lowers a little."""
    random = rng(better)
    table = random.normal(0, 0.001, (5, 9)) - np.repeat([0, 1, 0], 3) - np.tile([0, 0.1, 0.2], 3)
    grid, found = effects_of(table, 3, 3, better=better, alpha=1e-6)
    word = BETTER if better == "lower" else WORSE
    words = {(e.factors, e.levels): e for e in found if e.family == MAIN}
    assert words[(0,), ("l1",)].conclusion == word
    assert words[(0,), ("l2",)].conclusion == NO_DIFFERENCE
    assert words[(1,), ("32",)].conclusion == word
    assert words[(1,), (DOUBLING,)].conclusion == word
    assert abs(words[(1,), (DOUBLING,)].difference.value + 0.1) < 0.02
    assert all(e.conclusion == NO_INTERACTION for e in found if e.family == INTERACTION)
    simple = [e for e in found if e.family == SIMPLE and e.levels == ("l1",)]
    assert [e.conclusion for e in simple] == [word] * 3
    assert [e.at for e in simple] == [("8",), ("16",), ("32",)]


def test_an_interaction_is_found_where_it_is() -> None:
    table = rng().normal(0, 0.001, (4, 9))
    table[:, 5] += 1  # the second level at the last size
    _, found = effects_of(table, 3, 3, alpha=1e-5)
    depends = {e.levels for e in found if e.conclusion == DEPENDS}
    assert ("l1", "32") in depends and ("l2", "32") not in depends


def test_a_seed_without_a_value_is_left_out_where_it_lacks_one() -> None:
    random = rng()
    table = random.normal(0, 1, (5, 6))
    table[2, 0], table[4, 5] = math.inf, math.nan  # one lost, one not there yet
    grid, found = effects_of(table, 2, 3)
    for effect in found:
        rows = by_hand(effect, grid, np.where(np.isfinite(table), table, 0))
        weights = by_hand(effect, grid, np.eye(6))
        here = np.isfinite(table[:, abs(weights) > 1e-12]).all(axis=1)
        assert effect.n == here.sum() and effect.dropped == 5 - here.sum()
        assert math.isclose(effect.p, stats.ttest_1samp(rows[here], 0).pvalue, rel_tol=1e-9)


def test_a_cell_that_lost_most_of_its_runs_leaves_its_effects_untold() -> None:
    table = rng().normal(0, 0.01, (5, 6)) + np.repeat([0, 1], 3)
    table[:3, 0] = math.inf
    grid, found = effects_of(table, 2, 3, margin=10.0)
    cell = grid.cells[0]
    for effect in found:
        used = abs(by_hand(effect, grid, np.eye(6))[0]) > 1e-12
        assert (effect.conclusion == CANNOT_TELL) == used
        if used:
            assert effect.reason == f"{cell} lost 3 of 5 runs"
            assert math.isnan(effect.holm_p) and math.isnan(effect.detectable)
    assert all(e.conclusion == SAME for e in found if e.conclusion != CANNOT_TELL and not e.trend)


def test_one_seed_and_runs_that_do_not_scatter_tell_nothing() -> None:
    _, once = effects_of(rng().normal(0, 1, (1, 4)), 2, 2)
    assert {e.conclusion for e in once} == {CANNOT_TELL} and {e.needed for e in once} == {2}
    _, still = effects_of(np.ones((4, 1)) * rng(1).normal(0, 1, 4), 2, 2)
    assert {e.conclusion for e in still} == {CANNOT_TELL} and {e.needed for e in still} == {None}
    assert all("the same in every seed" in e.reason for e in still)
    _, still = effects_of(np.ones((4, 1)) * rng(1).normal(0, 1, 4), 2, 2, shared=False)
    assert all("do not scatter" in e.reason for e in still)
    _, none = effects_of(np.full((2, 4), math.nan), 2, 2)
    assert {e.conclusion for e in none} == {CANNOT_TELL}
    _, apart = effects_of(rng(2).normal(0, 1, (1, 4)), 2, 2, shared=False)
    assert {e.reason for e in apart} == {"a cell has too few runs with a value"}


def test_the_same_takes_a_margin_and_no_lost_run() -> None:
    table = rng().normal(0, 0.01, (6, 4))
    assert {e.conclusion for e in effects_of(table, 2, 2, margin=0.5)[1]} == {SAME}
    assert SAME not in {e.conclusion for e in effects_of(table, 2, 2)[1]}
    table[0, 0] = math.inf
    _, lost = effects_of(table, 2, 2, margin=0.5)
    assert all((e.conclusion == SAME) == (e.family == SIMPLE and e.dropped == 0) for e in lost)


def test_two_one_sided_tests() -> None:
    random = rng()
    table, margin = random.normal(0.2, 1, (7, 2)), float(random.uniform(0.1, 2))
    difference = table[:, 1] - table[:, 0]
    found = contrasts_of_blocks(table, [[-1, 1]]).not_within(margin)[0]
    one = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    other = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    assert math.isclose(found, max(one, other))


@pytest.mark.parametrize(("df", "alpha"), [(1, 0.05), (2, 0.01), (4, 0.05 / 36), (7.3, 1e-3)])
def test_what_would_have_been_found_is_found_in_four_of_five(df: float, alpha: float) -> None:
    """By another study, where both know the scatter from their own few seeds."""
    needed, random = standard_errors_needed(df, alpha), rng(df)
    below = math.floor(4 * df) / 4
    one, other = np.sqrt(random.chisquare(below, (2, 20_000)) / below)
    t = (needed * one + random.normal(size=20_000)) / other
    assert abs((t >= stats.t.isf(alpha / 2, below)).mean() - 0.8) < 0.02
    assert math.isnan(standard_errors_needed(math.nan, alpha))


def test_the_size_that_is_found_is_in_errors_of_the_contrast() -> None:
    tests = contrasts_of_blocks(rng().normal(size=(4, 3)), [[-1, 1, 0], [-1, 0, 1]])
    found = tests.detectable(0.01, 0.8)
    assert np.allclose(found, tests.error * standard_errors_needed(3, 0.01))


def test_unequal_variances_without_shared_seeds_and_empty_cells() -> None:
    tests = contrasts_of_samples([[1.0, 2.0], [3.0], [], [4.0, 4.0]], [[1, 0, 0, -1], [0, 1, -1, 0],
                                                                      [-1, 1, 0, 0]])  # fmt: skip
    assert tests.value[0] == -2.5 and math.isclose(tests.df[0], 1.0)
    assert math.isnan(tests.value[1]) and math.isnan(tests.p[1])
    assert tests.value[2] == 1.5 and math.isnan(tests.p[2]) and list(tests.n) == [2, 0, 1]
