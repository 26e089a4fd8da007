"""The best settings of a search are trained anew with fresh seeds, as a study of its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from odyssey.cli import main as train
from odyssey.confirm import main, plan
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEEDS
from odyssey.report.io.collect import collect
from odyssey.study.state import read_study
from report_kit import edit_json, write_study

SEARCH = [
    *("-m", "hydra/sweeper=search", "cell=gru,rnn", "optimizer.lr=tag(log,interval(1e-3,1e-1))"),
    *("model.hidden_size=int(interval(3,9))", "hydra.sweeper.trials=3", "study=s", "seed=4"),
    *("task=charlm", "task.data=hello", "trainer.max_steps=3", "logger.mode=disabled"),
    *("trainer.progress_bar=false", "trainer.sample=false"),
]


def best_of(folder: Path, cell: str) -> str:
    """The run of a cell with the best validation value, by run.json alone."""
    values = {}
    for file in folder.glob("*/run.json"):
        record = json.loads(file.read_text())
        if record["cell"] == cell:
            values[file.parent.name] = record["metrics"][f"valid/{record['monitor']['name']}"]
    return min(values, key=lambda name: values[name])


@pytest.mark.slow
def test_the_best_of_each_variant_is_repeated_with_fresh_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(SEARCH) == 0
    search = tmp_path / "outputs" / "s"
    assert main(["outputs/s", "--seeds", "3"]) == 0
    folder = tmp_path / "outputs" / "s-confirmed"
    confirms = json.loads((folder / "confirms.json").read_text())
    assert confirms["study"] == "s" and confirms["seeds"] == [5, 6, 7]
    assert confirms["runs"] == {f"cell={c}": best_of(search, c) for c in ("gru", "rnn")}
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 6
    chosen = {row["run"]: row for row in csv.DictReader((search / "trials.csv").open())}
    for cell in ("gru", "rnn"):
        words = set(chosen[confirms["runs"][f"cell={cell}"]]["overrides"].split())
        drawn = {w for w in words if w.startswith(("optimizer.lr=", "model.hidden_size="))}
        own = [set(r["overrides"].split()) for r in rows if f"cell={cell}" in r["overrides"]]
        assert len(own) == 3 and all(drawn <= one for one in own)
    state = read_study(folder)
    assert [run.state for run in state.runs.values()] == ["finished"] * 6
    seeds = [(run.cell, run.record.seed) for run in state.runs.values() if run.record]
    assert sorted(seeds) == [(c, s) for c in ("gru", "rnn") for s in (5, 6, 7)]
    # Again, it goes on where it was, and nothing is trained twice.
    before = {f: f.stat().st_mtime for f in folder.glob("*/run.json")}
    assert main(["outputs/s", "--seeds", "3", "trainer.progress_bar=false"]) == 0
    assert {f: f.stat().st_mtime for f in folder.glob("*/run.json")} == before
    # The report holds seeds of one configuration against each other, by the cells' names.
    (made,) = make_comparisons(collect([folder]))
    assert made.kind == SEEDS and [v.label for v in made.variants] == ["gru", "rnn"]
    assert any("repeats the best settings of each variant of the search s" in n for n in made.notes)
    (verdict,) = analyse(made, made.monitor, Options(draws=200)).verdicts
    assert verdict.decision.pairs == 3 and verdict.conclusion != "promising"
    (first,) = make_comparisons(collect([search]))
    assert any("repeated with fresh seeds in study s-confirmed" in note for note in first.notes)


def test_the_plan_of_a_confirmation(tmp_path: Path) -> None:
    study = write_study(tmp_path / "greff", trials=6, effect={"nfg": 1.0}, diverged=0.2)
    state = read_study(study)
    folder, confirms, words = plan(study, 4, False)
    assert folder == tmp_path / "greff-confirmed" and len(confirms.runs) == 3
    for label, runs in state.variants().items():
        finished = [r for r in runs if r.state == "finished"]
        assert confirms.runs[label] == min(finished, key=lambda r: r.value).name
    used = {run.record.seed for run in state.runs.values() if run.record}
    assert not used & set(confirms.seeds) and len(confirms.seeds) == 4
    assert f"seed=range({confirms.seeds[0]},{confirms.seeds[-1] + 1})" in words
    assert "study=greff-confirmed" in words and "task=music" in words
    _, second, _ = plan(study, 4, True)
    assert len(second.runs) == 6
    for label, runs in state.variants().items():
        ordered = sorted((r for r in runs if r.state == "finished"), key=lambda r: r.value)
        assert second.runs[f"{label}, second"] == ordered[1].name


def test_the_search_s_plan_of_the_analysis_is_taken_over(tmp_path: Path) -> None:
    study = write_study(tmp_path / "greff", trials=6, effect={"nfg": 1.0})
    assert not [word for word in plan(study, 4, False)[2] if word.startswith("plan.")]
    kept = {"baseline": "cell=cifg", "margin": 0.1, "alpha": 0.01, "share": 0.2}
    edit_json(study / "study.json", plan=kept)
    words = [word for word in plan(study, 4, False)[2] if word.startswith("plan.")]
    assert words == ["plan.margin=0.1", "plan.alpha=0.01", "plan.baseline='cifg'"]
    # With the runners-up, two variants are cifg.
    assert not any(word.startswith("plan.baseline") for word in plan(study, 4, True)[2])


def test_unfinished_trials_are_said(tmp_path: Path, capsys) -> None:
    plan(write_study(tmp_path / "s", trials=6, missing=0.4), 3, False)
    assert "trials of" in capsys.readouterr().out


def test_what_cannot_be_confirmed_is_a_sentence(tmp_path: Path, capsys) -> None:
    seeds = write_study(tmp_path / "seeds", trials=3, kind="seeds")
    lost = write_study(tmp_path / "lost", trials=3, diverged=1.0)
    search = str(write_study(tmp_path / "search", trials=3))
    for words, sentence in [
        ([str(tmp_path / "no")], "no"),
        ([str(seeds)], "is no search: each of its variants has one configuration"),
        ([str(lost)], "has no finished run with a validation value"),
        ([search, "--seeds", "1"], "--seeds 1 is too few for a comparison: type 2 or more"),
        ([search, "study=x"], "study=x is not understood here"),
        ([search, "fast"], "fast is not understood here"),
    ]:
        assert main(words) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "search-confirmed").exists()


def test_a_search_with_several_seeds_is_confirmed_with_others(tmp_path: Path) -> None:
    """Seeds of a search are no variants; the split that all its trials had stays."""
    study = write_study(
        tmp_path / "s",
        cells=("lstm", "gru"),
        trials=4,
        compare={"seeds.init": [3, 11], "seeds.order": [7]},
        settings={"seeds.split": 2},
    )
    _, confirms, words = plan(study, 3, False)
    assert list(confirms.runs) == ["cell=lstm", "cell=gru"] and confirms.seeds == [12, 13, 14]
    assert "seed=range(12,15)" in words and "seeds.split=2" in words
    assert not [word for word in words if word.startswith(("seeds.init", "seeds.order"))]
