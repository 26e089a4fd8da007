"""What the report says of a grid's factors: sentences, table, verdict.json, the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

import odyssey
from factors_kit import comparison_of
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.factor_table import factors_table
from odyssey.report.analysis.factor_words import about, headlines, sentences
from odyssey.report.analysis.factors import MAIN, SIMPLE
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Analysis
from odyssey.report.io.formats import to_csv, to_latex, to_markdown
from odyssey.report.main import main
from odyssey.report.payload import _metric
from odyssey.report.pipeline import verdicts_as_json
from random_kit import rng
from report_kit import write_study

AXES = {"cell": ["lstm", "gru", "rnn"], "model.hidden_size": [32, 8, 16]}
SURE = {"alpha": 1e-4}  # then nothing is found by chance


def noise(*keys: object, scale: float = 1e-3) -> float:
    return float(rng(*keys).normal(0, scale))


def additive(settings: Mapping[str, str], seed: int) -> float:
    """The GRU is better by 0.5, each doubling by 0.1."""
    size = math.log2(float(settings["model.hidden_size"])) / 10
    return 5 - 0.5 * (settings["cell"] == "gru") - size + noise(seed, *settings.values())


def noise_of(settings: Mapping[str, str], seed: int) -> float:
    return noise(seed, *settings.values())


def analysed(value=additive, seeds: int = 4, axes=AXES, *, margin=None, **more) -> Analysis:
    made = comparison_of(axes, value, seeds, **more)
    return analyse(made, "nats", Options(margin=margin, **SURE))


def said(analysis: Analysis) -> dict[str, str]:
    assert analysis.factors is not None
    return dict(sentences(analysis.factors, "nats"))


@pytest.mark.parametrize("mode", ["min", "max"])
def test_main_effects_effects_within_levels_and_interactions(mode: str) -> None:
    found = said(analysed(mode=mode))
    assert list(found) == [
        "cell",
        "hidden units",
        "cell within hidden units",
        "hidden units within cell",
        "cell by hidden units",
    ]
    better, worse = ("better", "worse") if mode == "min" else ("worse", "better")
    assert found["cell"].startswith(f"averaged over hidden units: {better} than lstm: gru by 0.")
    assert "no difference from lstm found for rnn; this study would have found" in found["cell"]
    assert f"{worse} than 32: 8 by 0." in found["hidden units"]  # 32 is the baseline's
    assert f"each doubling: {better} by " in found["hidden units"]
    assert found["cell within hidden units"].startswith(
        f"{better} than lstm: gru at 8, 16 and 32; no difference from lstm found in the others"
    )
    inside = found["hidden units within cell"]
    assert inside == f"{worse} than 32: 8 at lstm, gru and rnn, 16 at lstm, gru and rnn"
    assert found["cell by hidden units"].startswith("no interaction found; this study would have")
    assert "nan" not in " ".join(found.values())


def test_what_depends_is_said_with_its_size() -> None:
    def value(settings: Mapping[str, str], seed: int) -> float:
        both = settings["cell"] == "gru" and settings["model.hidden_size"] == "8"
        return additive(settings, seed) + both

    found = said(analysed(value))["cell by hidden units"]
    assert found.startswith(
        "the effect of cell depends on hidden units: (gru − lstm) × (8 − 32): +"
    )
    assert "Holm p = " in found and "(rnn" not in found


def test_a_margin_shows_what_is_the_same() -> None:
    found = said(analysed(noise_of, 6, margin=0.3))
    assert found["cell"] == (
        "averaged over hidden units: the same as lstm within 0.3 nats: gru and rnn"
    )
    assert found["cell within hidden units"].startswith("the same as lstm: gru at 8, 16 and 32")
    assert found["cell by hidden units"] == "no interaction larger than 0.3 nats"


def test_many_levels_are_counted() -> None:
    axes = {"cell": [f"c{i}" for i in range(7)], "model.hidden_size": [8, 16]}
    found = said(analysed(lambda s, n: noise(n, *s.values()) + int(s["cell"][1:]), axes=axes))
    assert "c6 by 6 nats" in found["cell"] and found["cell"].count("nats") == 4
    assert found["cell"].endswith(", 2 more")
    none = said(analysed(noise_of, axes=axes))["cell"]
    assert "found for c1, c2, c3, c4 and 2 more; this study" in none


def test_three_factors_have_effects_averaged_over_the_third() -> None:
    axes = {**AXES, "bptt.length": [25, "null"]}
    analysis = analysed(lambda s, n: additive(s, n) + (s["bptt.length"] == "25"), axes=axes)
    found = said(analysis)
    assert found["truncation length"].startswith(
        "averaged over cell and hidden units: better than 25: whole by "
    )
    assert "gru at 8 and 25, 8 and whole, 16 and 25" in found["cell within hidden units and "
                                                            "truncation length"]  # fmt: skip
    assert {w for w in found if " by " in w} == {
        "cell by hidden units",
        "cell by truncation length",
        "hidden units by truncation length",
    }
    assert analysis.factors is not None
    assert len(headlines(analysis.factors, "nats")) == 6


def test_a_search_and_single_runs_get_a_sentence_and_no_effects() -> None:
    for kind, word in ((SEARCH, "this is a search"), (SINGLE, "each combination has one run")):
        analysis = analyse(comparison_of(AXES, additive, 1, kind=kind), "nats", Options())
        assert analysis.factors is not None and not analysis.factors.effects
        assert said(analysis) == {
            "cell × hidden units": f"no effects are told: {analysis.factors.why}"
        }
        assert word in analysis.factors.why and factors_table(analysis) is None


def test_runs_that_nobody_planned_to_compare_get_none() -> None:
    made = comparison_of(AXES, additive, planned=0)
    for run in made.variants[3].runs:
        run.config["optimizer.lr"] = 1.0  # type: ignore[index]
    for variant in made.variants[:3]:
        for run in variant.runs:
            run.config["optimizer.lr"] = 2.0  # type: ignore[index]
    found = analyse(made, "nats", Options()).factors
    assert found is not None and not found.effects
    assert found.why == "no study planned these runs, which differ in optimizer.lr (1 against 2)"


def test_no_grid_has_no_factors() -> None:
    assert analysed(noise_of, axes={"cell": ["lstm", "gru"]}).factors is None
    made = analysed(without=["gru model.hidden_size=8", "gru model.hidden_size=16"])
    assert made.factors is not None and len(made.factors.grid.factors) == 2
    assert "Not in the grid, as combinations of them are missing: gru model.hidden_size=32." in (
        about(made.factors)
    )


def test_lost_and_unfinished_runs_are_counted() -> None:
    def value(settings: Mapping[str, str], seed: int) -> float | str:
        if settings == {"cell": "gru", "model.hidden_size": "8"} and seed == 1:
            return "diverged"
        lost = settings == {"cell": "rnn", "model.hidden_size": "16"} and seed < 3
        return "failed" if lost else additive(settings, seed)

    analysis = analysed(value)
    found = said(analysis)
    assert "cannot tell for rnn: rnn model.hidden_size=16 lost 3 of 4 runs" in found["cell"]
    assert "better than lstm: gru by " in found["cell"]
    assert ", without 1 of 4 seeds" in found["cell"]
    assert "cannot tell: rnn at 16" in found["cell within hidden units"]
    assert analysis.factors is not None
    assert "is left out of it: up to 3 seeds" in about(analysis.factors)
    (gru,) = [e for e in analysis.factors.of(MAIN, 0) if e.levels == ("gru",)]
    assert (gru.n, gru.dropped, gru.conclusion) == (3, 1, "better")
    running = analysed(lambda s, n: "running" if n == 3 and s["cell"] == "rnn" else additive(s, n))
    assert all(text.startswith("preliminary (3 runs to come): ") for text in said(running).values())


def test_other_seeds_are_no_blocks() -> None:
    made = comparison_of(AXES, additive)
    for variant, further in zip(made.variants, range(0, 900, 100), strict=True):
        for place, run in enumerate(variant.runs):
            object.__setattr__(run, "seed", further + place)
    analysis = analyse(made, "nats", Options())
    assert analysis.factors is not None and not analysis.factors.paired
    assert about(analysis.factors).startswith("By Welch's t, since the seeds are not shared.")
    table = factors_table(analysis)
    assert table is not None and "runs" in [c.name for c in table.columns]


@pytest.mark.parametrize("kind", [SEEDS, SEARCH])
@pytest.mark.parametrize("margin", [None, 0.1])
def test_table_json_and_page_hold_every_effect(kind: str, margin: float | None) -> None:
    made = comparison_of(AXES, additive, kind=kind)
    analysis = analyse(made, "nats", Options(margin=margin))
    text = json.dumps(verdicts_as_json([(made, [analysis])]), allow_nan=False)
    found = json.loads(text)["comparisons"][0]["metrics"][0]["factors"]
    assert [f["levels"] for f in found["factors"]] == [["lstm", "gru", "rnn"], ["8", "16", "32"]]
    assert found["factors"][1]["reference"] == "32"
    page = _metric(analysis, [], [])["factors"]
    assert page["name"] == "cell × hidden units" and page["sentences"]
    assert analysis.factors is not None
    effects = analysis.factors.effects
    assert len(found["effects"]) == len(effects)
    if kind == SEARCH:
        assert found["why_not"].startswith("this is a search") and not effects
        return
    assert [e["word"] for e in found["effects"]] == [e.conclusion for e in effects]
    assert {e["at"] for e in found["effects"] if e["family"] == SIMPLE} == {
        *(f"hidden units {n}" for n in (8, 16, 32)), *(f"cell {c}" for c in AXES["cell"])
    }  # fmt: skip
    table = factors_table(analysis)
    assert table is not None and len(table.rows) == len(effects)
    assert all(len(row) == len(table.columns) for row in table.rows)
    for convert in (to_csv, to_markdown, to_latex):
        assert len(convert(table).splitlines()) > len(effects)


def test_the_command_prints_the_factors(tmp_path: Path, capsys) -> None:
    study = tmp_path / "grid"
    sizes = {"model.hidden_size": [8, 16]}
    lr = {"optimizer.lr": 1e-3}
    write_study(study, cells=["lstm", "gru"], trials=3, kind="seeds", compare=sizes, settings=lr)
    assert main([str(study), "--no-figures", "--draws", "100"]) == 0
    printed = capsys.readouterr().out
    assert "  factors: cell, averaged over hidden units: " in printed
    assert "  factors: cell by hidden units, " in printed
    assert len(list((study / "report" / "tables").rglob("factors.*"))) == 3
    (verdicts,) = json.loads((study / "report" / "verdict.json").read_text())["comparisons"]
    (compared,) = odyssey.study(study).compare()
    assert list(compared.factors) == verdicts["metrics"][0]["factors"]["sentences"]
    assert f"factors: {compared.factors[0]}" in str(compared)
