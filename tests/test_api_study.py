"""`odyssey.study` and `odyssey.compare`: the numbers are those of the files and of the report."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import odyssey
import odyssey.study.state as by_its_path
from odyssey.api.study import Comparison, Comparisons
from odyssey.errors import UserError
from odyssey.report.main import main as report
from report_kit import write_study
from run_kit import train

LITTLE = ["task=charlm", "task.data=hello", "model.hidden_size=8", "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "s"
    return write_study(folder, trials=10, effect={"nfg": 2.0}, diverged=0.1, missing=0.1)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "s"
    return write_study(folder, trials=6, kind="seeds", effect={"cifg": 3.0}, cells=("lstm", "cifg"))


def test_frames_are_those_of_the_files(search: Path) -> None:
    study = odyssey.study(search)
    plan = list(csv.DictReader((search / "trials.csv").open()))
    trials = study.trials
    assert list(trials["run"]) == [row["run"] for row in plan]
    assert list(trials["trial"]) == [int(row["trial"]) for row in plan]
    assert list(trials["variant"]) == [row["variant"] for row in plan]
    assert list(trials["overrides"]) == [row["overrides"] for row in plan]
    for row in trials.itertuples():
        file = search / row.run / "run.json"
        if row.state == "missing":
            assert not file.exists() and math.isnan(row.valid) and row.seed is pd.NA
            continue
        record = json.loads(file.read_text())
        assert row.state == record["status"]
        if row.state == "finished":
            assert row.valid == record["metrics"]["valid/nats_per_frame"]
            assert row.test == record["metrics"]["test/nats_per_frame"]
    assert sum(study.counts.values()) == len(study) == 30
    assert study.counts["diverged"] == 3 and "failed" not in study.counts
    assert study.counts == {k: int(n) for k, n in trials["state"].value_counts().items()}
    assert repr(study) == "<Study s: 24 finished, 3 diverged, 3 missing>"
    assert study._repr_html_().count("<table>") == 2


def test_runs_are_the_reports_table(search: Path, tmp_path: Path) -> None:
    frame = odyssey.study(search).runs
    assert report([str(search), "--no-figures", "--draws", "100", "--out", str(tmp_path)]) == 0
    written = pd.read_csv(tmp_path / "runs.csv").set_index("run")
    assert list(frame.columns) == list(written.columns) and list(frame.index) == list(written.index)
    assert frame["test/nats_per_frame"].equals(written["test/nats_per_frame"])


def test_best_runs_come_first(search: Path) -> None:
    study = odyssey.study(search)
    finished = study.trials.query("state == 'finished'").sort_values("valid")
    best = study.best(5)
    assert list(best.index) == list(finished["run"][:5])
    assert list(best["valid"]) == list(finished["valid"][:5])
    with pytest.raises(UserError, match="n=0 is out of range"):
        study.best(0)
    run = study.load(best.index[0])
    assert run.result["valid/nats_per_frame"] == best["valid"].iloc[0]


def test_where_larger_is_better(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", metrics=("accuracy",), mode="max", trials=5)
    study = odyssey.study(folder)
    assert study.best().valid.iloc[0] == study.trials["valid"].max()
    (found,) = study.compare(metric="accuracy")
    assert found.better == "higher"
    means = [v.mean.value for v in found.verdicts]
    assert means == sorted(means, reverse=True)


def check_against_report(found: Comparisons, said: dict[str, Any]) -> None:
    """Each verdict as `report.py --format json` prints it."""
    flat = [(c, m) for c in said["comparisons"] for m in c["metrics"]]
    assert len(found) == len(flat)
    for one, (comparison, metric) in zip(found, flat, strict=True):
        assert (one.title, one.baseline) == (comparison["title"], comparison["baseline"])
        assert (one.metric, one.part, one.better) == tuple(
            metric[key] for key in ("metric", "part", "better")
        )
        assert one.design == comparison["design"] and one.margin == metric["margin"]
        assert list(one.notes) == [
            *comparison["notes"],
            *comparison["set_apart"],
            *metric["notes"],
        ]
        assert {v.variant for v in one.verdicts} == {v["variant"] for v in metric["variants"]}
        for expected in metric["verdicts"]:
            verdict = one.verdict(expected["variant"])
            assert verdict.word == expected["word"] and verdict.sentence == expected["sentence"]
            assert verdict.n == expected["n"] and verdict.test == expected["test"]
            assert same(verdict.p, expected["holm_p"])
            for name in ("value", "low", "high"):
                assert same(getattr(verdict.difference, name), expected["difference"][name])
        for expected in metric["variants"]:
            verdict = one.verdict(expected["variant"])
            assert verdict.best == expected["best"] and verdict.settings == expected["settings"]
            for name in ("value", "low", "high"):
                assert same(getattr(verdict.mean, name), expected["mean"][name])
                assert same(getattr(verdict.median, name), expected["median"][name])


def same(mine: float, said: float | None) -> bool:
    return math.isnan(mine) if said is None else mine == said


@pytest.mark.parametrize("which", ["search", "seeds"])
def test_verdicts_are_those_of_the_report(
    which: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = request.getfixturevalue(which)
    options = ["--margin", "0.2", "--share", "0.5", "--format", "json"]
    capsys.readouterr()
    assert report([str(folder), *options]) == 0
    said = json.loads(capsys.readouterr().out)
    found = odyssey.study(folder).compare(margin=0.2, share=0.5)
    check_against_report(found, said)
    check_against_report(odyssey.compare([folder], margin=0.2, share=0.5), said)


def test_a_comparison_is_shown(seeds: Path) -> None:
    found = odyssey.compare(str(seeds), metric="nats_per_frame")
    one = found[0]
    assert isinstance(one, Comparison) and one.baseline == "lstm"
    assert one.verdict("cifg").word == "worse" and one.verdict("lstm").word == "baseline"
    assert [v.variant for v in one.verdicts] == ["lstm", "cifg"]
    frame = one.to_frame()
    assert list(frame.index) == ["lstm", "cifg"] and frame.loc["cifg", "n"] == 6
    assert frame.loc["cifg", "p"] == one.verdict("cifg").p
    whole = found.to_frame()
    assert list(whole["metric"]) == ["nats_per_frame"] * 2 and len(whole) == 2
    assert "cifg worse" in repr(one) and one.verdict("cifg").sentence in str(found)
    assert found._repr_html_().count("<tr>") == 3
    assert "(" in str(one.verdict("cifg").mean)


def test_several_studies_are_compared_together(seeds: Path, tmp_path: Path) -> None:
    other = write_study(tmp_path / "t", trials=6, kind="seeds", cells=("gru",))
    found = odyssey.compare([odyssey.study(seeds), str(other)], metric="nats_per_frame")
    assert {v.variant for v in found[0].verdicts} == {"lstm", "cifg", "gru"}


def test_nothing_to_compare_yet(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", trials=3, missing=1.0)
    found = odyssey.study(folder).compare()
    assert found.to_frame().empty and found._repr_html_() == "no run has a result yet"
    with pytest.raises(UserError, match="has not begun"):
        odyssey.study(folder).load(odyssey.study(folder).trials["run"][0])


def test_mistakes_are_one_sentence(seeds: Path, tmp_path: Path) -> None:
    study = odyssey.study(seeds)
    name = study.trials["run"][0]
    calls: list[tuple[Any, str]] = [
        (lambda: odyssey.study(tmp_path / "none"), "there is no such folder"),
        (lambda: odyssey.study(seeds / name), "is one run's folder: type its study's"),
        (lambda: odyssey.compare(tmp_path), "give the folder of a study"),
        (lambda: odyssey.compare([]), "no study is given"),
        (lambda: study.load(name[:-1] + "?"), f"did you mean '{name}'?"),
        (lambda: study.compare(margin=-1), "margin=-1 is out of range"),
        (lambda: study.compare(share=2), "share=2 is out of range"),
        (lambda: study.compare(alpha=0.9), "alpha=0.9 is out of range"),
        (lambda: study.compare(baseline="grü"), "baseline=grü is no variant"),
        (lambda: study.compare(metric="accuracy"), "metric=accuracy is not measured"),
        (lambda: study.compare()[0].verdict("cif"), "did you mean 'cifg'?"),
    ]
    for call, said in calls:
        with pytest.raises(UserError) as error:
            call()
        (message,) = error.value.messages
        assert said in message and "--" not in message and "\n" not in message


def test_damaged_runs_are_states(seeds: Path, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", trials=4, damaged=0.5, kind="seeds")
    study = odyssey.study(folder)
    assert study.counts["damaged"] == 6
    (name, *_) = study.trials.query("state == 'damaged'")["run"]
    with pytest.raises(UserError, match="is not readable JSON"):
        study.load(name)


def test_the_package_is_still_a_package() -> None:
    """`odyssey.study` is one of the package's folders too."""
    assert by_its_path.read_study and odyssey.study.state is by_its_path
    assert callable(odyssey.study)


@pytest.mark.slow
def test_a_real_study(tmp_path: Path) -> None:
    words = ["cell=gru,lstm", "seed=0,1,2", "study=first", *LITTLE]
    assert train(tmp_path, "-m", *words) == 0
    study = odyssey.study(tmp_path / "first")
    assert study.counts == {"finished": 6} and list(study.trials["seed"]) == [0, 1, 2] * 2
    for name in study.runs.index:
        run = study.load(name)
        assert run.evaluate()["bits_per_char"] == run.result["test/bits_per_char"]
    (one,) = study.compare(metric="bits_per_char")
    assert one.design == "seeds" and {v.n for v in one.verdicts} == {3}
    assert [run.name for run in (study.load(n) for n in study.best(2).index)] == list(
        study.best(2).index
    )
