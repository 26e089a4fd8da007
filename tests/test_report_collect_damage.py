"""Damaged run files: a state, a note, never a traceback or a made-up value."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import random_kit
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.io.collect import CACHE_FILE, collect
from odyssey.report.io.run_files import read_curves, read_settings
from odyssey.report.io.runs import ReportRun, ReportStudy
from report_kit import edit_json, plan_of, write_study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_study(tmp_path / "s", cells=["gru"], trials=2)


def first(folder: Path) -> Path:
    return folder / plan_of(folder)[0]["run"]


def look(folder: Path) -> tuple[ReportStudy, ReportRun]:
    found = collect([folder])
    return found.studies[0], found.runs[0]


ODD: dict[str, dict[str, Any]] = {
    "metrics are a list": {"metrics": [1, 2]},
    "params are a text": {"params": "many"},
    "seed is true": {"seed": True},
    "seed is a half": {"seed": 0.5},
    "a metric is a word": {"metrics": {"valid/nats_per_frame": "good"}},
    "a metric is a list": {"metrics": {"valid/nats_per_frame": [9.0]}},
    "a metric is true": {"metrics": {"valid/nats_per_frame": True}},
    "a metric is beyond all floats": {"metrics": {"valid/nats_per_frame": 10**400}},
    "seconds are a table": {"seconds": {"s": 3}},
    "steps are beyond all counts": {"steps": 10**30},
    "data is a word": {"data": "jsb"},
    "monitor is a list": {"monitor": ["nats_per_frame", "min"]},
    "versions are a number": {"versions": 3},
    "git is a word": {"git": "abc"},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD.keys())
def test_odd_values_are_unknown_and_named(folder: Path, changes: dict[str, Any]) -> None:
    edit_json(first(folder) / "run.json", **changes)
    study, run = look(folder)
    assert run.state == "finished"
    (key,) = changes
    (note,) = study.notes
    assert key in note and run.name in note and "unknown" in note
    unknown = {
        "params": run.params is None,
        "seed": run.seed is None,
        "metrics": math.isnan(run.value("nats_per_frame")),
        "seconds": math.isnan(run.seconds),
        "steps": run.steps is None,
        "data": run.data == "" == run.data_hash,
        "monitor": run.monitor == "",
        "versions": run.versions == {},
        "git": run.commit == "",
    }
    assert unknown[key]
    make_comparisons(collect([folder]))


def test_numbers_that_json_has_not(folder: Path) -> None:
    values = {"valid/nats_per_frame": "inf", "test/nats_per_frame": "nan", "valid/x": "-inf"}
    edit_json(first(folder) / "run.json", metrics=values, seed=None)
    study, run = look(folder)
    assert study.notes == ()
    assert run.value("nats_per_frame") == math.inf and run.value("x") == -math.inf
    assert math.isnan(run.value("nats_per_frame", "test"))
    assert run.seed == 0  # as config.yaml says


def test_texts_that_no_file_can_hold(folder: Path) -> None:
    file = first(folder) / "run.json"
    record = json.loads(file.read_text())
    record |= {"error": "\ud800 boom", "cell": "gr\udfffu", "device": {"a": 1}}
    file.write_text(json.dumps(record))
    study, run = look(folder)
    run.error.encode()
    run.cell.encode()
    assert run.device == "" and "(device)" in study.notes[0]


def test_a_record_of_a_later_version_is_named_as_one(folder: Path) -> None:
    edit_json(first(folder) / "run.json", schema=99)
    for _ in range(2):  # from the file, and from the cache
        study, run = look(folder)
        (note,) = study.notes
        assert run.state == "damaged" and "of a later version of Odyssey: update this one" in note


def test_damaged_and_missing_files(folder: Path) -> None:
    a, b = (folder / row["run"] for row in plan_of(folder))
    text = (a / "run.json").read_text()
    (a / "run.json").write_text(text[:-20])
    (b / "config.yaml").unlink()
    study, run = look(folder)
    assert run.state == "damaged" and run.metrics == {} and run.config["seed"] == 0
    assert [note.partition(" are ")[0].partition(" is ")[0] for note in study.notes] == [
        f"1 run ({a.name})",
        f"1 run ({b.name})",
    ]
    assert "run.json" in study.notes[0] and "config.yaml" in study.notes[1]
    (a / "run.json").unlink()
    (a / "run.json").mkdir()
    assert look(folder)[1].state == "damaged" and len(look(folder)[0].notes) == 2
    (a / "run.json").rmdir()
    os.mkfifo(a / "run.json")
    (a / "metrics.csv").unlink()
    os.mkfifo(a / "metrics.csv")
    assert look(folder)[1].state == "damaged"


CONFIGS = {
    "": None,
    "no: [configuration": None,
    "7": None,
    "- a\n- b\n": None,
    "[" * 100_000: None,
    "a: " + "{a: " * 50_000: None,
    "a: &x {b: *x}\n": None,
    "a:\n  b: 1e-5\n  c: '1e-5'\n": {"a.b": 1e-5, "a.c": "1e-5"},
    "a: {b: [1, 2], c: {}}\n# words\nd: 2020-01-01\n": {
        "a.b": [1, 2],
        "a.c": {},
        "d": "2020-01-01",
    },
    "a: &x [1]\nb: *x\n": None,  # which no run writes
    "a: '*x'\nb: a *b\n": {"a": "*x", "b": "a *b"},
    "a: 1\n\n---\nb: 2\n": None,
    "a: |\n  two\n  lines\n1: yes\n": {"a": "two\nlines\n", "1": True},
    "\ufeffa: .nan\nb: 0x10\n": {"a": math.nan, "b": 16},
}


@pytest.mark.parametrize("content", CONFIGS)
def test_configurations(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content, encoding="utf-8")
    assert repr(read_settings(file)) == repr(CONFIGS[content])
    file.write_bytes(b"a: \xff")
    assert read_settings(file) is None


def test_lines_of_metrics_csv(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    head = "step,epoch,name,value,time\n"
    row = "{},1,valid/x,{},9\n"
    for content, expected in (
        ("", ({}, 0)),
        (head, ({}, 0)),
        (head + row.format(3, 1.5) + row.format(5, "nan"), ({"valid/x": [1.5, math.nan]}, 0)),
        (head + row.format(3, 1.5) + "4,1,valid/x", ({"valid/x": [1.5]}, 1)),
        (head + "3,1,valid/x\n\n" + row.format(3, "1,5") + row.format(4, 2), ({"valid/x": [2]}, 2)),
        (head + row.format(4, "word") + row.format("", 1) + row.format("inf", 1), ({}, 3)),
        (head + row.format(4, 1) + row.format(2, 2) + row.format(4, 3), ({"valid/x": [2, 3]}, 0)),
        (head + "1,1,test/x,3,9\n1,1,train/loss,3,9\n", ({"train/loss": [3]}, 0)),
        ("\0" * 500, ({}, 1)),
        ((head + row.format(1, 2)).replace("\n", "\r\n"), ({"valid/x": [2]}, 0)),
    ):
        file.write_text(content, newline="")
        curves, damaged = read_curves(file)
        assert repr(({k: v for k, (_, v) in curves.items()}, damaged)) == repr(
            ({k: [float(x) for x in v] for k, v in expected[0].items()}, expected[1])
        )
    file.write_bytes(head.encode() + b"1,1,valid/\xff,3,9\n")
    assert read_curves(file) == ({}, 1)


def test_damaged_lines_are_noted(folder: Path) -> None:
    with (first(folder) / "metrics.csv").open("a") as file:
        file.write("1,2\nrubbish\n")
    study, run = look(folder)
    assert study.notes[0].startswith("2 lines of metrics.csv in 1 run cannot be read")
    assert len(run.curves["valid/nats_per_frame"][0]) == 10
    assert look(folder)[0].notes == study.notes  # from what was kept too


def test_only_what_has_changed_is_read_again(folder: Path) -> None:
    before = collect([folder])
    kept = (folder / CACHE_FILE).stat()
    assert repr(collect([folder])) == repr(before)
    assert (folder / CACHE_FILE).stat().st_ino == kept.st_ino  # not written anew
    run = before.runs[0]
    for name in ("run.json", "config.yaml", "metrics.csv"):  # changed, with the old stamp
        file = first(folder) / name
        found = file.stat()
        file.write_bytes(file.read_bytes().replace(b"0", b"7"))
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert repr(collect([folder])) == repr(before)
    for name in ("run.json", "config.yaml", "metrics.csv"):
        os.utime(first(folder) / name)
    after = collect([folder]).runs[0]
    assert (after.data_hash, after.steps) != (run.data_hash, run.steps)
    assert after.config["seed"] == 7 and after.curves != run.curves
    shutil.rmtree(first(folder))
    assert [r.state for r in collect([folder]).runs] == ["missing", "finished"]


def test_a_damaged_cache_is_none(folder: Path) -> None:
    expected = repr(collect([folder]))
    content = (folder / CACHE_FILE).read_bytes()
    body = content.partition(b"\n")[2]
    for broken in (b"", content[:-3], content.replace(b"nats", b"bats", 1), body, b"\xff" * 9):
        (folder / CACHE_FILE).write_bytes(broken)
        assert repr(collect([folder])) == expected
        assert (folder / CACHE_FILE).read_bytes() == content
    (folder / CACHE_FILE).unlink()
    (folder / CACHE_FILE).mkdir()
    assert repr(collect([folder])) == expected
    shutil.rmtree(folder / "report")
    (folder / "report").touch()
    assert repr(collect([folder])) == expected


@pytest.mark.parametrize("number", range(3))
def test_random_damage_is_never_a_crash(tmp_path: Path, number: int) -> None:
    """Bytes flipped, cut out, doubled: all runs are there, and no value is from nowhere."""
    rng = random_kit.dice(number)
    folder = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=7, missing=0.1)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in (".json", ".yaml", ".csv"):
            content = bytearray(file.read_bytes())
            for _ in range(rng.choice([0, 1, 5])):
                place = rng.randrange(len(content))
                kind = rng.randrange(3)
                if kind == 0:
                    content[place] = rng.randrange(256)
                elif kind == 1:
                    del content[place : place + rng.randrange(1, 40)]
                else:
                    content[place:place] = content[max(0, place - 20) : place]
                content = content or bytearray(b" ")
            file.write_bytes(content)
    found = collect([folder])
    again = collect([folder])
    assert repr(found) == repr(again)
    there = {path.name for path in folder.iterdir() if (path / "run.json").exists()}
    assert there <= {run.name for run in found.runs}
    for comparison in make_comparisons(found):
        assert {run.name for run in comparison.runs} <= {run.name for run in found.runs}


STUDIES: dict[str, Any] = {
    "compare is a list": {"compare": ["cell"]},
    "compare's values are words": {"compare": {"cell": "gru"}},
    "space is a word": {"space": "wide"},
    "space's distributions are numbers": {"space": {"optimizer.lr": 3}},
    "fixed is a list": {"fixed": [1]},
}


@pytest.mark.parametrize("changes", STUDIES.values(), ids=STUDIES.keys())
def test_an_edited_study_json(folder: Path, changes: dict[str, Any]) -> None:
    edit_json(folder / "study.json", **changes, commands=[3, {"command": 4}], trials="ten")
    study, run = look(folder)
    (note,) = study.notes
    assert next(iter(changes)) in note and study.trials is None
    assert "commands" in note and "trials" in note
    assert [c["command"] for c in study.commands] == [""]
    (comparison,) = make_comparisons(collect([folder]))
    assert comparison.variants[0].label == "gru" and len(comparison.runs) == 2


def test_a_study_json_and_a_trials_csv_that_cannot_be_read(folder: Path) -> None:
    (folder / "study.json").write_text("{")
    (folder / "trials.csv").write_text("nothing\n1\n")
    study, run = look(folder)
    assert len(study.notes) == 2 and study.planned == 0 and study.compare == {}
    assert run.trial is None and run.command.startswith("python train.py study=s task=music")
    (comparison,) = make_comparisons(collect([folder]))
    assert comparison.kind == "search" and "optimizer.lr" in comparison.searched
