"""Rates with Wilson's interval, the best share of trials, and the words for each method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

import random_kit
from odyssey.report.stats.estimates import wilson
from odyssey.report.stats.methods import METHODS
from odyssey.report.stats.selection import top_share

INF = math.inf


@pytest.mark.parametrize("n", [1, 2, 7, 20, 200, 5000])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_wilson_is_statsmodels(n: int, level: float) -> None:
    for successes in sorted({0, 1, n // 3, n - 1, n}):
        found = wilson(successes, n, level)
        theirs = proportion_confint(successes, n, alpha=1 - level, method="wilson")
        assert found.value == successes / n
        assert (found.low, found.high) == pytest.approx(theirs, abs=1e-12)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_by_its_definition_and_its_mirror() -> None:
    """At its limits the share found is z standard errors away."""
    found, other = wilson(13, 200), wilson(187, 200)
    for limit in (found.low, found.high):
        z = (found.value - limit) / math.sqrt(limit * (1 - limit) / 200)
        assert abs(z) == pytest.approx(stats.norm.ppf(0.975))
    assert (other.low, other.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_wilson_of_nothing_and_of_nonsense() -> None:
    none = wilson(0, 0)
    assert math.isnan(none.value) and math.isnan(none.low) and math.isnan(none.high)
    for successes, n in [(-1, 5), (6, 5), (1, 0)]:
        with pytest.raises(ValueError, match="share"):
            wilson(successes, n)


@pytest.mark.parametrize(
    ("trials", "share", "kept"),
    [(200, 0.1, 20), (30, 0.1, 3), (11, 0.1, 2), (10, 0.1, 1), (3, 0.1, 1), (7, 1.0, 7),
     (1, 0.1, 1), (0, 0.1, 0), (60, 0.15, 9), (100, 0.07, 7), (100, 0.55, 55)],
)  # fmt: skip
def test_how_many_are_kept(trials: int, share: float, kept: int) -> None:
    values = random_kit.rng().normal(size=trials)
    for better, sign in [("lower", 1), ("higher", -1)]:
        found = top_share(values, better, share)
        assert found.tolist() == np.argsort(sign * values)[:kept].tolist()


def test_diverged_trials_count_but_are_not_kept() -> None:
    values = np.array([INF, 3.0, INF, 1.0, INF, 2.0, INF, INF, INF, INF] * 2)
    assert top_share(values, "lower", 0.1).tolist() == [3, 13]
    assert top_share(values, "lower", 0.5).tolist() == [3, 13, 5, 15, 1, 11]
    assert top_share(-values, "higher", 0.1).tolist() == [3, 13]
    assert top_share([INF, INF], "lower").tolist() == []


def test_ties_go_to_the_earlier_trial() -> None:
    assert top_share([2.0, 1.0, 1.0, 1.0], "lower", 0.5).tolist() == [1, 2]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        top_share([1.0, 2.0], "lower", share)


def test_top_refuses_nan_and_the_wrong_infinity() -> None:
    with pytest.raises(ValueError, match="nan"):
        top_share([1.0, math.nan], "lower")
    with pytest.raises(ValueError, match="infinitely good"):
        top_share([1.0, -INF], "lower")


def test_every_method_is_put_in_words() -> None:
    assert set(METHODS) == {
        "welch", "bonferroni", "holm", "brunner_munzel", "hedges_g", "tost", "iqm", "intervals",
        "improvement", "tuning", "anova", "wilson", "paired", "top_share", "reselection",
        "paired_t", "losses", "contrasts", "chances", "all_pairs", "mean_rank",
        "friedman", "ratios", "crossed_t",
    }  # fmt: skip
    for key, method in METHODS.items():
        assert method.key == key and method.name
        assert any(year in method.source for year in map(str, range(1900, 2025)))
        assert method.says.endswith(".") and method.cannot.endswith(".")


def test_the_flaw_of_the_best_trials_is_named() -> None:
    cannot = METHODS["top_share"].cannot
    assert "different hyperparameters" in cannot and "independent and identically" in cannot
    assert "does not show that two variants are the same" in METHODS["welch"].cannot
