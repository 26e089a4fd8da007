"""How many seeds a comparison needs, against statsmodels and simulated studies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

import random_kit
from odyssey.errors import UserError
from odyssey.report.planning import Scatter, main, scatter_of, text
from odyssey.report.stats.power import detectable, power, seeds_needed
from report_kit import write_study


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 8])
@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0])
def test_power_is_that_of_statsmodels(n: int, alpha: float, effect: float) -> None:
    apart = TTestIndPower().power(effect, n, alpha) if effect else alpha
    assert power(effect * 0.3, 0.3, n, alpha, None) == pytest.approx(apart, abs=1e-6)
    # The standard deviation of a difference of pairs is sqrt(2 (1 - r)) times that of a value.
    in_pairs = effect / math.sqrt(2 * 0.4)
    paired = TTestPower().power(in_pairs, n, alpha) if effect else alpha
    assert power(-effect, 1.0, n, alpha, 0.6) == pytest.approx(paired, abs=1e-6)


def test_so_many_studies_find_it() -> None:
    random, found, studies = random_kit.rng(), 0, 1500
    size = detectable(0.2, 6, 0.05, None)
    for _ in range(studies):
        a, b = random.normal(0, 0.2, 6), random.normal(size, 0.2, 6)
        found += stats.ttest_ind(a, b, equal_var=False).pvalue <= 0.05
    least, most = stats.binom.ppf([1e-6, 1 - 1e-6], studies, 0.785)  # Welch's loses a little
    assert least <= found <= most


@pytest.mark.parametrize("correlation", [None, 0.0, 0.7, -0.3])
def test_the_seeds_needed_are_the_fewest(correlation: float | None) -> None:
    for difference in (0.1, 0.5, 3.0):
        n = seeds_needed(difference, 0.4, 0.01, correlation)
        assert n is not None and power(difference, 0.4, n, 0.01, correlation) >= 0.8
        assert n == 2 or power(difference, 0.4, n - 1, 0.01, correlation) < 0.8
        assert detectable(0.4, n, 0.01, correlation) <= difference
    assert seeds_needed(1e-6, 1.0, 0.05, correlation) is None
    assert detectable(0.4, 1, 0.05, correlation) == math.inf


def test_nothing_that_scatters_is_found_at_once() -> None:
    assert detectable(0.0, 3, 0.05, None) == 0 and power(0.1, 0.0, 3, 0.05, 0.5) == 1.0
    assert power(1e9, 1.0, 5, 0.05, None) == 1.0


def test_the_scatter_of_a_study(tmp_path: Path, capsys) -> None:
    study = write_study(tmp_path / "s", trials=6, kind="seeds", diverged=0.2)
    found = scatter_of(study, None)
    assert found.variants == 2 and found.correlation is not None and "music" in found.source
    assert main([str(study), "--difference", "0.5", "--seeds", "7"]) == 0
    printed = capsys.readouterr().out
    assert f"{found.sd:.3g}" in printed and "2 variants against a baseline" in printed
    assert "\n      7  " in printed and "a difference of 0.5" in printed
    n = seeds_needed(0.5, found.sd, 0.05 / 2, found.correlation)
    assert f"needs {n} seeds of each" in printed
    with pytest.raises(UserError, match="no variant with two seeds"):
        scatter_of(write_study(tmp_path / "t", trials=4), None)


def test_the_answer_for_a_scatter_that_is_given(capsys) -> None:
    assert main(["--sd", "0.1", "--variants", "8", "--difference", "0.05"]) == 0
    printed = capsys.readouterr().out
    size = detectable(0.1, 5, 0.05 / 8, None)
    assert f"      5  {size:.3g} ({size / 0.1:.2g} sd)" in printed
    n = seeds_needed(0.05, 0.1, 0.05 / 8, None)
    assert f"a difference of 0.05 needs {n} seeds of each" in printed
    assert "correlation 0.50" in text(Scatter(0.1, 0.5), 1, 0.05, 0.8, None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "a study or --sd says how runs scatter: type python scripts/plan.py outputs/STUDY"),
        ("--sd 0", "--sd 0 is out of range: type a number above 0"),
        ("--sd 1 --correlation 1", "--correlation 1 is out of range"),
        ("--sd 1 --power 1.5", "--power 1.5 is out of range: type a number above 0 and below 1"),
        ("--sd 1 --variants 0", "--variants 0 is out of range: type 1 or more"),
        ("--sd 1 --seeds 1", "--seeds 1 is out of range: type 2 or more"),
        ("--sd 1 --difference -2", "--difference -2 is out of range"),
        ("nowhere", "nowhere"),
    ],
)
def test_wrong_words_are_a_sentence(words: str, sentence: str, capsys) -> None:
    assert main(words.split()) == 2
    assert sentence in capsys.readouterr().err


def test_pairs_of_correlated_seeds_find_smaller_differences() -> None:
    sizes = [detectable(1.0, 10, 0.05, r) for r in (0.0, 0.5, 0.9)]
    assert np.all(np.diff(sizes) < 0)


def test_of_crossed_seeds_it_takes_the_scatter_of_runs_with_one_seed_each(tmp_path: Path) -> None:
    """Of three initialisations by eight orders, the weights' scatter is seen three times only."""
    effects = {"lstm": (-3.0, 0.0, 3.0), "gru": (-3.0, 0.0, 3.0)}
    folder = write_study(
        tmp_path / "s",
        cells=("lstm", "gru"),
        kind="single",
        trials=1,
        compare={"seeds.init": range(3), "seeds.order": range(8)},
        effect={
            f"cell={cell} seeds.init={i} seeds.order={j}": effect
            for cell, each in effects.items()
            for i, effect in enumerate(each)
            for j in range(8)
        },
        seed=random_kit.seed(),
    )
    found = scatter_of(folder, None)
    assert found.sd == pytest.approx(3, rel=0.05)  # of all 24 runs it would be 2.5
    assert found.source.endswith("crossed seeds")
    assert found.correlation is not None and found.correlation > 0.95
