"""The report's words, measured: a short version of what `scripts/calibrate.py` does."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from odyssey.report.analysis.decisions import SEARCH
from odyssey.report.calibration import tables
from odyssey.report.calibration.figure import draw
from odyssey.report.calibration.grids import (
    FAMILIES,
    GridSetting,
    margin_grids,
    measure_grid,
    null_grids,
    real_grids,
)
from odyssey.report.calibration.landscapes import (
    PAIRED_DESIGN,
    SEARCH_DESIGN,
    SEEDS_DESIGN,
    SHARED_DESIGN,
    Setting,
    real_trials,
)
from odyssey.report.calibration.main import main
from odyssey.report.calibration.pairs import (
    chances_settings,
    false_chances,
    false_pairs,
    pairs_settings,
)
from odyssey.report.calibration.rates import Rate, measure
from odyssey.report.calibration.tables import LIMIT, Row, null_settings
from run_kit import ROOT

STUDIES = 120


def beyond_chance(rate: Rate, limit: float) -> bool:
    """Whether so many hits have a probability below one in a million at the limit."""
    return rate.hits > stats.binom.ppf(1 - 1e-6, rate.studies, limit)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "seeds, 5",
        "seeds, paired, correlation .7, 5",
        "seeds, paired, t3, 5",
        "seeds, paired, 20% lost, 10",
        "search, edge, 50",
        "search, edge, shared, 50",
        "search, valley, 20 and 21",
        "search, real A/A, 50",
    ],
)
def test_a_false_word_is_as_rare_as_promised(name: str) -> None:
    (setting,) = [s for s in null_settings() if s.name == name]
    found = measure(setting, STUDIES, processes=1, draws=500)
    assert found.wrong.studies == STUDIES and not beyond_chance(found.wrong, LIMIT)


@pytest.mark.slow
def test_the_papers_test_errs_where_ours_does_not() -> None:
    setting = Setting("a", SEARCH_DESIGN, n=200, surface="edge")
    found = measure(setting, STUDIES, processes=1, draws=500)
    assert beyond_chance(found.paper, LIMIT) and not beyond_chance(found.wrong, LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("design", [SEEDS_DESIGN, PAIRED_DESIGN, SEARCH_DESIGN, SHARED_DESIGN])
def test_a_large_difference_is_found_and_its_limits_hold_it(design) -> None:
    setting = Setting("a", design, variants=2, n=20, surface="edge", shift=0.5)
    if design.kind == SEARCH:
        setting = replace(setting, n=50, shared=design.paired)
    found = measure(setting, 40, processes=1, limits=True, draws=300)
    assert found.found.value > 0.9
    assert found.held.hits >= stats.binom.ppf(1e-6, 40, 0.93)
    shifted = measure(replace(setting, variants=1), 40, processes=1, draws=300, margin=0.5)
    assert not beyond_chance(shifted.same, LIMIT)


def test_the_same_seed_gives_the_same_rates_with_any_number_of_processes() -> None:
    setting = Setting("a", SEEDS_DESIGN, n=4, variants=3, spread=2.0)
    one = measure(setting, 45, processes=1, seed=3)
    assert one == measure(setting, 45, processes=2, seed=3)
    assert one.wrong.studies == 45
    again = replace(setting, shift=0.2)
    assert measure(again, 45, processes=1, seed=3) != measure(again, 45, processes=1, seed=4)


def test_every_interval_of_the_page_is_in_the_table_and_holds() -> None:
    rows = tables._interval_rows()
    names = " ".join(name for name, _ in rows)
    for what in ("mean", "median", "iqm", "P(better)", "P(better), paired", "share lost"):
        assert what in names
    for name, one in rows:
        if "mean, lognormal" in name:
            continue  # what a t interval does not promise
        random = np.random.default_rng(len(name))
        held = sum(one(random) for _ in range(150))
        assert held >= stats.binom.ppf(1e-7, 150, 0.93), name


def test_real_trials_are_those_of_one_cell() -> None:
    trials = real_trials()
    assert trials.shape == (160, 2) and (trials[:, 0] < 100).all()
    gap = trials[:, 1] - trials[:, 0]
    assert abs(np.median(gap)) < 0.3
    study = Setting("a", SEARCH_DESIGN, variants=1, n=80, surface="jsb").draw(
        np.random.default_rng(0)
    )
    drawn = np.concatenate([s.chosen_by for s in study.values()])
    assert sorted(drawn) == sorted(trials[:, 0])  # halves of all, each trial once


def test_rates() -> None:
    assert str(Rate(5, 100)) == "0.050 ± 0.024" and (Rate(1, 2) + Rate(3, 5)) == Rate(4, 7)
    assert math.isnan(Rate(0, 0).value) and Rate(0, 50).error > 0
    far = Row("a", {}, tables._above(Rate(30, 100), LIMIT, "false words"))
    near = Row("b", {}, tables._above(Rate(7, 100), LIMIT, "false words"))
    table = tables.Table("null", "t", [far, near])
    assert table.beyond() == ["null, a: false words 0.300 ± 0.046, limit 0.055"]
    assert tables._below(Rate(70, 100), 0.93, "coverage").startswith("coverage 0.700")
    assert not tables._below(Rate(0, 0), 0.93, "coverage")


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_them(tmp_path: Path, capsys) -> None:
    file, picture = tmp_path / "rates.json", tmp_path / "rates.png"
    words = ["null", "same", "--studies", "3", "--processes", "1", "--output", str(file)]
    assert main([*words, "--figure", str(picture), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| search, edge, 200 |" in printed and "| seeds, 5 |" in printed
    found = json.loads(file.read_text())
    assert set(found) == {"null", "same"}
    assert [row["row"] for row in found["null"]] == [s.name for s in null_settings()]
    assert found["null"][0]["the page"][1] == 3
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nul", f"nul is no part: type {', '.join(sorted(tables.PARTS))}, or none for all of them"),
        ("--studies 0", "--studies 0 is out of range: type 1 or more"),
        ("--seed -1", "--seed -1 is out of range"),
        ("--processes 0", "--processes 0 is out of range"),
        ("same --figure a.png", "--figure a.png is of the part null: type it too"),
    ],
)
def test_wrong_words_are_a_sentence(words: str, sentence: str, capsys) -> None:
    assert main(words.split()) == 2
    assert sentence in capsys.readouterr().err


def test_a_figure_needs_searches(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="part null"):
        draw([Row("seeds, 5", {})], tmp_path / "a.png")


def test_the_measured_tables_are_those_of_the_settings() -> None:
    """Each row of each part has its figures in docs/calibration.md."""
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ", text, re.MULTILINE)
    for setting in null_settings():
        assert setting.name in rows
    for name, _ in tables._interval_rows():
        assert name in rows
    for setting in [*pairs_settings(), *chances_settings()]:
        assert setting.name in rows


@pytest.mark.parametrize(
    "name",
    [
        "3 x 3, correlation .6, 3",
        "3 x 3, correlation .6, one level scatters 3 times, 5",
        "3 x 3, correlation .6, 10% lost, 5",
        "3 x 3, other seeds, lognormal, 3",
    ],
)
def test_false_words_of_factors_are_as_rare_as_promised(name: str) -> None:
    (setting,) = [s for s in null_grids() if s.name == name]
    found = measure_grid(setting, 100, processes=1)
    for family in FAMILIES:
        assert found.wrong[family].studies == 100
        assert not beyond_chance(found.wrong[family], LIMIT)


def test_large_effects_of_factors_are_found_and_their_limits_hold_them() -> None:
    setting = GridSetting("a", n=10, correlation=0.5, shift=1.0, only_last=True)
    found = measure_grid(setting, 40, processes=1)
    for family in FAMILIES:
        assert found.found[family].value > 0.9
        assert found.held[family].hits >= stats.binom.ppf(1e-6, 40, 0.93)
    shifted = measure_grid(replace(setting, correlation=0.9), 40, processes=1, margin=1.0)
    assert not any(beyond_chance(rate, LIMIT) for rate in shifted.same.values() if rate.studies)


def test_the_measured_tables_hold_every_grid() -> None:
    text = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ", text, re.MULTILINE)
    for setting in [*null_grids(), *real_grids(), *margin_grids()]:
        assert setting.name in rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["seeds, paired, 4 variants, 5", "seeds, 9 variants, 10", "search, valley, 4 variants, 50"],
)
def test_a_false_pair_is_as_rare_as_promised(name: str) -> None:
    (setting,) = [s for s in pairs_settings() if s.name == name]
    found = false_pairs(setting, STUDIES, 0, 1, lambda done: None)
    assert found.studies == STUDIES and not beyond_chance(found, LIMIT)


def test_probabilities_above_095_are_as_frequent_as_the_page_says() -> None:
    """Of paired seeds exactly one in twenty; of others no more."""
    for setting in chances_settings()[2:4]:
        found = false_chances(setting, STUDIES // 2, 0, 1, lambda done: None)
        first = next(iter(found.values()))
        low, high = stats.binom.ppf([1e-7, 1 - 1e-7], first.studies // 2, 0.05) * 2
        assert first.hits <= high and (first.hits >= low or not setting.design.paired)
