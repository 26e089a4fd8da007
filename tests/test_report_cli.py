"""`scripts/report.py`: from a study's folder to files, and a sentence for what is wrong."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy import stats

from odyssey.report.main import main
from report_kit import write_study

QUICK = ("--draws", "200", "--no-figures")


def run(capsys, *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.slow
def test_a_search_becomes_a_page_tables_figures_and_a_verdict(tmp_path: Path, capsys):
    effect = {"nfg": 2.0}
    study = write_study(tmp_path / "s", trials=40, effect=effect, diverged=0.05, missing=0.05)
    status, out, err = run(capsys, study, "--draws", 200, "--margin", 5)
    assert (status, err) == (0, "")
    folder = study / "report"
    assert str(folder / "index.html") in out and "nfg" in out
    place = Path("music-jsb", "nats_per_frame")
    figures = {f.name for f in (folder / "figures" / place).iterdir()}
    assert {"top.pdf", "top.png", "differences.pdf", "tuning.png", "importance.pdf"} <= figures
    assert {"marginal-optimizer.lr.pdf", "pairs.pdf", "learning.pdf", "params.png"} <= figures
    tables = {f.name for f in (folder / "tables" / place).iterdir()}
    for name in ("verdicts", "variants", "endings", "best", "tuning", "importance", "paired"):
        assert {f"{name}.csv", f"{name}.md", f"{name}.tex"} <= tables
    verdict = json.loads((folder / "verdict.json").read_text())
    (comparison,) = verdict["comparisons"]
    words = {v["variant"]: v["word"] for v in comparison["metrics"][0]["verdicts"]}
    assert words.keys() == {"cifg", "nfg"} and comparison["baseline"] == "lstm_peephole"


@pytest.mark.slow
def test_numbers_in_the_tables_are_those_of_the_run_files(tmp_path: Path, capsys):
    study = write_study(tmp_path / "s", trials=30, kind="search")
    assert run(capsys, study, *QUICK)[0] == 0
    plan = list(csv.DictReader((study / "trials.csv").open()))
    found: dict[str, list[tuple[float, float]]] = {}
    for row in plan:
        record = json.loads((study / row["run"] / "run.json").read_text())
        assert record["status"] == "finished"
        pair = record["metrics"]["valid/nats_per_frame"], record["metrics"]["test/nats_per_frame"]
        found.setdefault(row["variant"].removeprefix("cell="), []).append(pair)
    best = {cell: [test for _, test in sorted(v)[:3]] for cell, v in found.items()}
    table = study / "report" / "tables" / "music-jsb" / "nats_per_frame" / "verdicts.csv"
    rows = {row["variant"]: row for row in csv.DictReader(table.open())}
    assert rows.keys() == best.keys()
    for cell, row in rows.items():
        assert float(row["mean nats per frame"]) == pytest.approx(np.mean(best[cell]))
        if cell != "lstm_peephole":
            by = stats.ttest_ind(best[cell], best["lstm_peephole"], equal_var=False)
            assert float(row["Welch p"]) == pytest.approx(by.pvalue)
    runs = pandas.read_parquet(study / "report" / "runs.parquet")
    assert len(runs) == 90 and runs["test/nats_per_frame"].sum() == pytest.approx(
        sum(test for pairs in found.values() for _, test in pairs)
    )


def test_seeds_of_two_studies_and_json_alone(tmp_path: Path, capsys):
    first = write_study(tmp_path / "a", cells=["gru"], trials=7, kind="seeds", seed=1)
    more = write_study(
        tmp_path / "b", cells=["lstm"], trials=7, kind="seeds", effect={"lstm": 3.0}, seed=2
    )
    words = (first, more, "--format", "json", "--baseline", "gru", "--draws", 200)
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    (comparison,) = json.loads(out)["comparisons"]
    assert comparison["design"] == "seeds" and comparison["studies"] == ["a", "b"]
    (verdict,) = comparison["metrics"][0]["verdicts"]
    assert (verdict["variant"], verdict["word"], verdict["n"]) == ("lstm", "worse", 7)
    assert not (first / "report" / "index.html").exists()


def test_other_data_is_another_comparison(tmp_path: Path, capsys):
    first = write_study(tmp_path / "a", trials=2, data="jsb")
    other = write_study(tmp_path / "b", trials=2, data="nottingham")
    status, out, _ = run(capsys, first, other, *QUICK)
    assert status == 0
    assert "music on jsb" in out and "music on nottingham" in out
    assert (tmp_path / "reports" / "a+b" / "index.html").exists()


@pytest.mark.slow
def test_the_same_report_again_is_the_same(tmp_path: Path, capsys):
    study = write_study(tmp_path / "s", trials=12, diverged=0.1)
    run(capsys, study, *QUICK)
    first = (study / "report" / "verdict.json").read_bytes()
    run(capsys, study, *QUICK)
    assert (study / "report" / "verdict.json").read_bytes() == first


def test_runs_that_change_are_read_again(tmp_path: Path, capsys):
    study = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=3, kind="seeds")
    run(capsys, study, *QUICK)
    file = next(study.glob("gru-*/run.json"))
    record = json.loads(file.read_text())
    record["metrics"]["test/nats_per_frame"] = 99.0
    file.write_text(json.dumps(record))
    run(capsys, study, *QUICK)
    runs = pandas.read_csv(study / "report" / "runs.csv")
    assert runs["test/nats_per_frame"].max() == 99.0


@pytest.mark.parametrize(
    "shape",
    [
        {"cells": ["gru"], "trials": 1, "kind": "single"},
        {"cells": ["gru"], "trials": 3, "kind": "seeds"},
        {"cells": ["gru", "lstm"], "trials": 1, "kind": "search"},
        {"trials": 4, "diverged": 1.0},
        {"trials": 4, "failed": 1.0},
        {"trials": 4, "interrupted": 1.0},
        {"trials": 4, "missing": 1.0},
        {"trials": 4, "damaged": 1.0},
        {"trials": 5, "diverged": 0.2, "failed": 0.2, "interrupted": 0.2, "damaged": 0.2},
        {"trials": 3, "tested": False},
        {"trials": 3, "planned": False},
        {"trials": 2, "metrics": ("accuracy", "nats"), "mode": "max"},
    ],
)
def test_a_study_of_little_or_nothing_is_a_page_that_says_so(shape: dict, tmp_path: Path, capsys):
    study = write_study(tmp_path / "s", **shape)
    status, out, err = run(capsys, study, *QUICK)
    assert (status, err) == (0, "")
    text = (study / "report" / "index.html").read_text(encoding="utf-8")
    assert len(text) > 10_000 and "NaN" not in (study / "report" / "verdict.json").read_text()
    for file in (study / "report").rglob("verdicts.csv"):
        for row in csv.DictReader(file.open()):
            if row["n"] in ("", "0", "1"):
                assert row["Welch p"] == "" and row["Hedges' g"] == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "no study is given: type a study's folder"),
        (("{tmp}/none",), "there is no such folder"),
        (("{tmp}",), "holds studies and is none"),
        (("{tmp}/empty",), "no runs"),
        (("{tmp}/s", "--baseline", "cifgg"), "did you mean 'cifg'"),
        (("{tmp}/s", "--metric", "acuracy"), "--metric acuracy is not measured by these runs"),
        (("{tmp}/s", "--margin", "0"), "--margin 0 is out of range"),
        (("{tmp}/s", "--margin", "much"), "--margin"),
        (("{tmp}/s", "--share", "2"), "--share 2 is out of range"),
        (("{tmp}/s", "--group", "x"), "--group is W&B's"),
        (("{tmp}/s", "--out", "{tmp}/file"), "the report cannot be written to"),
        (("{tmp}/s", "--fromat", "json"), "--fromat"),
    ],
)
def test_wrong_input_is_one_sentence(words, sentence, tmp_path: Path, capsys):
    write_study(tmp_path / "s", trials=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    status, out, err = run(capsys, *(word.format(tmp=tmp_path) for word in words))
    assert status == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and sentence in err


def test_hand_edited_files_cost_no_other_run(tmp_path: Path, capsys):
    study = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=6, kind="seeds")
    files = sorted(study.glob("*/run.json"))
    files[0].write_text("{")
    record = json.loads(files[1].read_text())
    record |= {"metrics": [1, 2], "params": "many", "monitor": 3, "seed": True}
    files[1].write_text(json.dumps(record))
    record = json.loads(files[2].read_text())
    record["metrics"] = {k: "NaN" for k in record["metrics"]}
    files[2].write_text(json.dumps(record))
    status, out, err = run(capsys, study, *QUICK)
    assert (status, err) == (0, "")
    verdict = json.loads((study / "report" / "verdict.json").read_text())
    first = verdict["comparisons"][0]["metrics"][0]["variants"]
    assert sum(len(v["compared"]) for v in first) == 9
    assert all(math.isfinite(v["mean"]["value"]) for v in first)


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 4_000, 12_000, 40_000, 100_000, 200_000])
def test_a_full_disk_is_one_sentence(room: int, small_disk: Path, tmp_path: Path, capsys):
    """Wherever it gets full: at the tables, the figures, the runs or the page."""
    study = write_study(tmp_path / "s", cells=["gru"], trials=2, kind="seeds")
    (small_disk / "full").write_bytes(bytes(380_000 - room))
    status, out, err = run(capsys, study, "--out", small_disk / "r", "--draws", 100)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert "the report cannot be written to" in err and "No space left on device" in err


def test_a_figure_of_another_signature_is_a_sentence(tmp_path: Path, capsys, monkeypatch):
    study = write_study(tmp_path / "s", trials=3, kind="seeds")
    code = "def two(view, more):\n    return None\n\n\ndef own(view):\n    return len(3)\n"
    (tmp_path / "odd_figures.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    status, _, err = run(capsys, study, *QUICK, "--figure", "odd_figures.two")
    assert status == 2 and "--figure odd_figures.two cannot be called with a View" in err
    with pytest.raises(TypeError, match="has no len"):  # a fault of the user's own code
        run(capsys, study, *QUICK, "--figure", "odd_figures.own")


@pytest.mark.parametrize("words", [["s", "--out", ""], ["s", "--out", " "], [""]])
def test_an_empty_path_is_not_the_current_folder(
    words: list[str], tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "s", trials=2)
    before = sorted(tmp_path.iterdir())
    assert main(words) == 2
    assert "is empty: type a path" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
