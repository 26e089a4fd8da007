"""Which word the numbers allow: the cases in which a word used to mislead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.analysis.decisions import (
    BETTER,
    CANNOT_TELL,
    LOSSES,
    NO_DIFFERENCE,
    PAIRED,
    PROMISING,
    RANKS,
    RESELECTION,
    SAME,
    SEARCH,
    SEEDS,
    SINGLE,
    WELCH,
    WORSE,
    Decision,
    Design,
    Sample,
    decide,
)
from odyssey.report.analysis.options import Options
from odyssey.report.stats.losses import loss_test
from odyssey.report.stats.tests import holm, paired_t, welch

INF = math.inf
UNPAIRED, PAIRS = Design(SEEDS), Design(SEEDS, paired=True)


def sample(values: list[float] | np.ndarray, sign: float = 1.0) -> Sample:
    test = np.asarray(values, dtype=float)
    return Sample(sign * test, test, list(range(len(test))))


def seeds(
    values: dict[str, list[float] | np.ndarray], design: Design = UNPAIRED, **options: float
) -> dict[str, Decision]:
    """Decisions against the first; of higher values that are better, all signs are turned."""
    sign = 1.0 if design.better == "lower" else -1.0
    samples = {label: sample(v, sign) for label, v in values.items()}
    return decide(samples, next(iter(values)), design, Options(**options))


def normal(n: int, at: float, key: object = 0, spread: float = 0.1) -> np.ndarray:
    return random_kit.rng(n, at, key).normal(at, spread, n)


def spread_out(n: int, at: float, key: object) -> np.ndarray:
    """Values as a normal sample has them on average, in a random order: none lies far out."""
    quantiles = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return at + 0.1 * random_kit.rng(n, at, key).permutation(quantiles)


def others(count: int, n: int = 5, at: float = 8.0) -> dict[str, np.ndarray]:
    """Variants that do not differ."""
    return {f"other {i}": normal(n, at, i) for i in range(count)}


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("design", [UNPAIRED, PAIRS])
def test_better_and_worse_are_by_the_tests_of_the_design(design: Design, better: str) -> None:
    design = replace(design, better=better)
    values = {"base": spread_out(6, 8.0, 0), "a": spread_out(6, 7.0, 1), "b": spread_out(6, 9.0, 2)}
    found = seeds(values, design)
    assert (found["a"].conclusion, found["b"].conclusion) == (BETTER, WORSE)
    test = paired_t if design.paired else welch
    ps = [test(values[name], values["base"]).p for name in "ab"]
    assert [found[name].p for name in "ab"] == pytest.approx(ps)
    assert [found[name].holm_p for name in "ab"] == pytest.approx(list(holm(ps)))
    assert found["a"].test == (PAIRED if design.paired else WELCH)
    assert found["a"].pairs == (6 if design.paired else None)
    for name in "ab":
        limits = found[name].difference
        assert not limits.low <= 0 <= limits.high


def test_limits_exclude_no_difference_exactly_where_the_values_decide() -> None:
    random = random_kit.rng()
    for _ in range(60):
        values = {f"v{i}": random.normal(0.06 * i, 0.1, 5) for i in range(6)}
        for decision in seeds(values, PAIRS if random.random() < 0.5 else UNPAIRED).values():
            if decision.test in (PAIRED, WELCH):
                excluded = not decision.difference.low <= 0 <= decision.difference.high
                assert excluded == (decision.conclusion in (BETTER, WORSE))


def test_pairs_find_what_the_scatter_of_seeds_hides() -> None:
    common = 5 * spread_out(8, 0.0, "common")
    values = {"base": 8 + common, "a": 7.9 + common + spread_out(8, 0.0, "own") / 5}
    paired, apart = seeds(values, PAIRS)["a"], seeds(values)["a"]
    assert paired.conclusion == BETTER and apart.conclusion == NO_DIFFERENCE
    assert paired.correlation > 0.9 and math.isnan(apart.correlation)
    assert paired.detectable < apart.detectable


def test_a_cell_that_always_diverges_is_worse() -> None:
    """Five of five against none: two variants, and with seven more beside it."""
    for more in ({}, others(7)):
        found = seeds({"base": normal(5, 8.0), "lost": [INF] * 5, **more}, PAIRS)["lost"]
        assert (found.conclusion, found.test) == (WORSE, LOSSES)
        assert found.loss_p == pytest.approx(loss_test(5, 5, 0, 5))
        assert (found.lost, found.ended) == ((5, 0), (5, 5))
        assert found.loss_holm_p <= 0.05


def test_where_no_outcome_could_decide_the_runs_needed_are_named() -> None:
    found = seeds({"base": normal(3, 8.0), "lost": [INF] * 3, **others(7, 3)}, PAIRS)["lost"]
    assert found.conclusion == CANNOT_TELL and found.needed is not None and found.needed > 3
    at_that = found.needed
    values = {"base": normal(at_that, 8.0), "lost": [INF] * at_that, **others(7, at_that)}
    assert seeds(values, PAIRS)["lost"].conclusion == WORSE


def test_four_of_five_lost_is_not_no_difference_and_not_better_by_its_survivor() -> None:
    values = {"base": normal(5, 8.0), "a": [INF, INF, 7.0, INF, INF], **others(7)}
    found = seeds(values, PAIRS)["a"]
    assert found.conclusion in (WORSE, CANNOT_TELL)
    assert found.conclusion != CANNOT_TELL or (found.needed or 0) > 5


def test_a_single_survivor_that_is_the_worst_leaves_no_doubt() -> None:
    """Every run of one is worse than every run of the other, lost ones among them."""
    values = {"base": normal(5, 8.0), "a": [INF, INF, 30.0, INF, INF], "b": normal(5, 8.0, "b")}
    found = seeds(values, PAIRS)["a"]
    assert (found.conclusion, found.test) == (WORSE, RANKS)
    assert found.p == pytest.approx(2 / math.comb(10, 5)) and found.lost == (4, 0)
    # The other way round, and with a survivor that is the best.
    flipped = seeds({"base": values["a"], "a": values["base"]}, PAIRS)["a"]
    assert (flipped.conclusion, flipped.test) == (BETTER, RANKS)
    values["a"] = [INF, INF, 1.0, INF, INF]
    assert seeds(values, PAIRS)["a"].p > 0.008


def test_one_lost_seed_of_the_baseline_does_not_hide_the_rest() -> None:
    base = spread_out(6, 8.0, 0)
    base[2] = INF
    found = seeds({"base": base, "a": spread_out(6, 6.0, 1), **others(3, 6)}, PAIRS)
    assert found["a"].conclusion == BETTER and found["a"].pairs == 5
    # A question that no outcome could answer costs the others nothing.
    assert found["a"].holm_p == pytest.approx(4 * found["a"].p)


def test_values_and_losses_that_disagree() -> None:
    a = np.where(np.arange(20) < 12, INF, normal(20, 6.0))
    found = seeds({"base": normal(20, 8.0), "a": a})["a"]
    assert found.conclusion == CANNOT_TELL and "different directions" in found.reason


def test_a_value_far_out_does_not_hide_a_complete_separation() -> None:
    base, a = spread_out(5, 8.0, 0), np.array([9.0, 9.1, 9.2, 9.05, 1e10])
    for design in (UNPAIRED, PAIRS):
        found = seeds({"base": base, "a": a}, design)["a"]
        assert (found.conclusion, found.test) == (WORSE, RANKS) and found.apart
        assert found.p == pytest.approx(2 / math.comb(10, 5))
    few = seeds({"base": base[:3], "a": a[-3:]})["a"]
    assert few.conclusion == CANNOT_TELL and few.needed == 4 and "every run" in few.reason


def test_runs_that_do_not_scatter_are_told_apart_by_ranks() -> None:
    found = seeds({"base": [1.0] * 5, "a": [0.5] * 5, "b": [1.0] * 5})
    assert (found["a"].conclusion, found["a"].test) == (BETTER, RANKS)
    assert found["b"].conclusion == NO_DIFFERENCE


def test_the_same_needs_a_margin_and_no_lost_run() -> None:
    values = {"base": spread_out(12, 8.0, 0), "a": spread_out(12, 8.01, 1)}
    assert seeds(values)["a"].conclusion == NO_DIFFERENCE
    assert seeds(values, margin=0.5)["a"].conclusion == SAME
    assert seeds(values, PAIRS, margin=0.5)["a"].conclusion == SAME
    lost = {**values, "a": np.append(values["a"], INF)}
    assert seeds(lost, margin=0.5)["a"].conclusion == NO_DIFFERENCE


def test_what_this_study_would_have_found() -> None:
    """Of a difference of that size about four of five studies say so."""
    random = random_kit.rng()
    detectable = [
        seeds({"base": random.normal(size=8), "a": random.normal(size=8)})["a"].detectable
        for _ in range(100)
    ]
    size, found = float(np.nanmedian(detectable)), 0
    for _ in range(300):
        values = {"base": random.normal(size=8), "a": random.normal(-size, 1, 8)}
        found += seeds(values)["a"].conclusion == BETTER
    assert 0.68 < found / 300 < 0.92


def test_one_run_of_each_is_no_evidence() -> None:
    found = decide({"base": sample([1.0]), "a": sample([2.0])}, "base", Design(SINGLE), Options())
    assert found["a"].conclusion == CANNOT_TELL and "chance" in found["a"].reason


# --- Searches ---


def search(n: int, shift: float, key: object, keys: bool = True) -> Sample:
    random = random_kit.rng(n, key)
    truth = random.random(n) + shift
    valid, test = (truth + random.normal(0, 0.02, n) for _ in range(2))
    return Sample(test, valid, list(range(n)) if keys else [])


@pytest.mark.parametrize("paired", [False, True])
def test_a_search_is_decided_by_reselection(paired: bool) -> None:
    design = Design(SEARCH, share=0.1, paired=paired)
    samples = {"base": search(50, 0, 0), "a": search(50, -0.5, 1), "b": search(50, 0.5, 2)}
    found = decide(samples, "base", design, Options(draws=1000))
    assert {d.test for d in found.values()} == {RESELECTION}
    assert (found["a"].conclusion, found["b"].conclusion) == (PROMISING, WORSE)
    assert found["a"].difference.high < 0 < found["b"].difference.low
    limits = found["a"].difference
    assert limits.low < limits.value < limits.high and abs(limits.value + 0.5) < 0.25
    assert (found["a"].pairs == 50) == paired


def test_many_variants_take_more_permutations() -> None:
    """With 400 of them the smallest p would be 0.005, and 30 times that is no result."""
    samples = {f"v{i}": search(30, -0.6 if i == 1 else 0.0, i) for i in range(31)}
    found = decide(samples, "v0", Design(SEARCH, share=0.1), Options(draws=400), limits=False)
    assert found["v1"].conclusion == PROMISING


def test_of_higher_values_the_signs_are_turned() -> None:
    design = Design(SEARCH, share=0.1, better="higher")
    samples = {"base": search(50, 0, 0), "a": search(50, -0.5, 1)}
    turned = {label: Sample(-s.test, s.chosen_by, s.keys) for label, s in samples.items()}
    plain = decide(samples, "base", Design(SEARCH, share=0.1), Options(draws=500))["a"]
    other = decide(turned, "base", design, Options(draws=500))["a"]
    assert other.conclusion == plain.conclusion == PROMISING and other.p == plain.p
    assert other.difference.value == pytest.approx(-plain.difference.value)
    assert other.difference.low == pytest.approx(-plain.difference.high)


@pytest.mark.parametrize("lost", [0, 3])
def test_searches_may_be_shown_to_be_the_same(lost: int) -> None:
    samples = {}
    for key in ("base", "a"):
        found = search(120, 0, key)
        found.test[:lost] = found.chosen_by[:lost] = INF
        samples[key] = found
    design = Design(SEARCH, share=0.1)
    assert decide(samples, "base", design, Options(margin=0.3))["a"].conclusion == SAME
    near = decide(samples, "base", design, Options(margin=0.001))["a"]
    assert near.conclusion != SAME


def test_an_adaptive_search_gets_no_verdict() -> None:
    samples = {"base": search(50, 0, 0), "a": search(50, -0.5, 1)}
    design = Design(SEARCH, share=0.1, adaptive=True)
    found = decide(samples, "base", design, Options(draws=500, margin=9.0))["a"]
    assert found.conclusion == CANNOT_TELL and "adaptive" in found.reason
    assert math.isnan(found.p) and math.isfinite(found.difference.value)


def test_a_variant_of_lost_trials_alone_is_worse() -> None:
    lost = Sample(np.full(30, INF), np.full(30, INF), list(range(30)))
    found = decide(
        {"base": search(30, 0, 0), "a": lost}, "base", Design(SEARCH, share=0.1), Options(draws=500)
    )["a"]
    assert found.conclusion == WORSE and found.difference.value == INF
