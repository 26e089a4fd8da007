"""Reading studies for the report: every run, as its files say."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from odyssey.errors import UserError
from odyssey.report.io.collect import collect
from odyssey.report.io.run_files import POINTS
from odyssey.report.io.runs import Collection, ReportRun
from records_kit import real_run
from report_kit import CELLS, plan_of, write_study
from report_run_kit import CONFIG, write_run


def by_name(collection: Collection) -> dict[str, ReportRun]:
    return {run.name: run for run in collection.runs}


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def test_a_real_run() -> None:
    (run,) = collect([real_run().parent]).runs
    record = json.loads((real_run() / "run.json").read_text())
    assert (run.name, run.state, run.study) == (real_run().name, "finished", "default")
    assert (run.cell, run.task, run.data, run.seed) == ("gru", "charlm", "hello", 0)
    assert run.data_hash == record["data"]["sha256"] and run.params == record["params"]
    assert (run.monitor, run.mode) == ("bits_per_char", "min")
    assert run.metrics == record["metrics"]
    assert run.config == flat(yaml.safe_load((real_run() / "config.yaml").read_text()))
    assert (run.steps, run.seconds) == (record["steps"], record["seconds"]) and run.steps
    assert run.code == record["code"]["sha256"] and run.versions == record["versions"]
    assert run.trial is None and run.compared == {"cell": "gru"} and run.done
    words = shlex.split(run.command)
    assert words[:2] == ["python", "train.py"]
    assert words[2:] == yaml.safe_load((real_run() / "overrides.yaml").read_text())
    assert run.path == str(real_run()) and run.error == ""
    steps, values = run.curves["valid/bits_per_char"]
    assert steps[-1] == run.steps and values[-1] == record["metrics"]["valid/bits_per_char"]


def test_the_kit_writes_what_training_writes(tmp_path: Path) -> None:
    """Else all other tests of the report say little."""
    made = write_run(tmp_path / "study" / "gru-charlm-00000000", CONFIG)
    real, ours = (json.loads((p / "run.json").read_text()) for p in (real_run(), made))
    assert ours.keys() == real.keys()
    for key in ("data", "monitor", "code", "git"):
        assert ours[key].keys() == real[key].keys()
    (info, *_), (own, *_) = real["metric_info"].values(), ours["metric_info"].values()
    assert own.keys() == info.keys()
    assert {p.name for p in made.iterdir()} < {p.name for p in real_run().iterdir()}
    head = (made / "metrics.csv").read_text().splitlines()[0]
    assert head == (real_run() / "metrics.csv").read_text().splitlines()[0]
    keys = flat(yaml.safe_load((real_run() / "config.yaml").read_text()))
    assert {k.partition(".")[0] for k in CONFIG} == {k.partition(".")[0] for k in keys}


def test_every_state_and_what_tells_the_variant(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s",
        trials=20,
        diverged=0.2,
        failed=0.1,
        interrupted=0.05,
        missing=0.25,
        damaged=0.05,
    )
    found = collect([folder])
    (study,) = found.studies
    assert (study.name, study.planned, study.trials, study.draws) == ("s", 60, 20, "shared")
    assert study.compare == {"cell": list(CELLS)} and list(study.space)[1] == "optimizer.lr"
    assert study.commands[0]["command"].startswith("python train.py") and study.to_come == 0
    rows = plan_of(folder)
    runs = by_name(found)
    assert list(runs) == [row["run"] for row in rows]
    for cell in CELLS:
        states = [run.state for run in found.runs if run.cell == cell]
        expected = {"diverged": 4, "failed": 2, "interrupted": 1, "missing": 5, "damaged": 1}
        assert {s: states.count(s) for s in expected} == expected
    for row in rows:
        run = runs[row["run"]]
        assert run.trial == int(row["trial"]) and run.compared == {"cell": row["variant"][5:]}
        assert run.command == f"python train.py {row['overrides']}" and run.seed == 0
        if run.state == "missing":
            assert run.config == {} == run.metrics and run.task == "music" and run.data == ""
        else:
            assert f"optimizer.lr={run.config['optimizer.lr']}" in row["overrides"]
        if run.state == "failed":
            assert run.error.endswith("RuntimeError: out of memory") and run.metrics == {}
        if run.state == "diverged":
            assert math.isnan(run.curves["valid/nats_per_frame"][1][-1])
            assert math.isnan(run.value("nats_per_frame", "test"))


def test_seeds_tell_no_variant(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["lstm"], trials=3, kind="seeds", compare={"bptt.length": [7, None]},
        missing=0.34,
    )  # fmt: skip
    runs = collect([folder]).runs
    assert [run.seed for run in runs] == [0, 0, 1, 1, 2, 2]
    assert sum(run.state == "missing" for run in runs) == 2
    assert [run.compared for run in runs[:2]] == [
        {"cell": "lstm", "bptt.length": "7"},
        {"cell": "lstm", "bptt.length": "null"},
    ]
    alone = write_study(tmp_path / "t", cells=["gru"], trials=2, kind="seeds")
    rows = (alone / "trials.csv").read_text().replace(",cell=gru seed", ",seed")
    (alone / "trials.csv").write_text(rows)
    assert [run.compared for run in collect([alone]).runs] == [{"cell": "gru"}] * 2


def test_a_run_that_a_process_trains_is_running(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", trials=1, interrupted=1.0)
    run = plan_of(folder)[1]["run"]
    with FileLock(folder / f".{run}.lock"):
        assert by_name(collect([folder]))[run].state == "interrupted"  # as its run.json says
        (folder / run / "run.json").unlink()
        assert by_name(collect([folder]))[run].state == "running"
    assert by_name(collect([folder]))[run].state == "missing"


def test_learning_curves_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["gru"], trials=1, points=997)
    (run,) = collect([folder]).runs
    assert set(run.curves) == {"valid/nats_per_frame", "train/loss"}
    for steps, values in run.curves.values():
        assert len(steps) == len(values) == POINTS and steps == sorted(set(steps))
    steps, values = run.curves["valid/nats_per_frame"]
    assert (steps[0], steps[-1]) == (100, 99_700)
    assert values[-1] == pytest.approx(run.value("nats_per_frame"), abs=1e-9)
    gaps = [b - a for a, b in zip(steps, steps[1:], strict=False)]
    assert max(gaps) - min(gaps) <= 100  # even, to an update between two validations
    assert collect([folder], curves=False).runs[0].curves == {}
    assert collect([folder]).runs[0].curves == run.curves


def test_folders_that_are_no_study(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    one = write_study(outputs / "one", trials=1, cells=["gru"])
    write_study(outputs / "two", trials=1, cells=["gru"], planned=False)
    (outputs / "wandb").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    run = next(p for p in one.iterdir() if p.is_dir())
    for folders, said in (
        ([], "no study is given"),
        ([outputs], f"holds studies and is none: type one or several of {outputs / 'one'}"),
        ([run], f"{run} is one run's folder: type its study's, {one}"),
        ([tmp_path / "empty"], f"{tmp_path / 'empty'} holds no runs and no plan"),
        ([tmp_path / "file"], f"{tmp_path / 'file'} is a file"),
        ([outputs / "onne"], "(did you mean 'one'?); the studies in"),
        ([tmp_path / "no" / "no"], "there is no such folder, and no study beside it"),
        ([Path("a" * 5000)], "cannot be read"),
        ([Path("a\0b")], "there is no such folder"),
    ):
        with pytest.raises(UserError) as caught:
            collect(folders)
        assert said in str(caught.value) and len(caught.value.messages) == 1
    with pytest.raises(UserError) as caught:
        collect([tmp_path / "empty", one, tmp_path / "file"])
    assert len(caught.value.messages) == 2


def test_several_studies_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = write_study(tmp_path / "x" / "s", trials=2, cells=["gru"])
    b = write_study(tmp_path / "y" / "s", trials=3, cells=["gru"], seed=1)
    monkeypatch.chdir(a)
    found = collect([Path("."), a, b, a / ".." / "s"])
    assert [study.name for study in found.studies] == ["x/s", "y/s"]
    assert [run.study for run in found.runs] == ["x/s"] * 2 + ["y/s"] * 3
    assert collect([Path(".")]).studies[0].name == "s"


def test_progress_counts_every_run(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", trials=3, missing=0.34)
    seen: list[tuple[int, int]] = []
    collect([folder], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 9) for n in range(1, 10)]


@pytest.mark.slow
def test_five_thousand_runs(tmp_path: Path) -> None:
    cells = [f"cell{n}" for n in range(10)]
    folder = write_study(
        tmp_path / "s",
        cells=cells,
        trials=500,
        diverged=0.05,
        missing=0.02,
        damaged=0.004,
        points=3,
    )
    found = collect([folder])
    rows = plan_of(folder)
    assert [run.name for run in found.runs] == [row["run"] for row in rows]
    assert len(rows) == 5000
    for run in found.runs:
        if run.state in ("missing", "damaged"):
            continue
        record = json.loads((folder / run.name / "run.json").read_text())
        assert run.metrics == record["metrics"] and run.state == record["status"]
        assert run.seconds == record["seconds"] and len(run.config) == len(CONFIG)
    again = collect([folder])  # from what was kept
    assert repr(again) == repr(found)
