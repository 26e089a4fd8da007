"""Data that cannot be had are said once, before the first run, and nothing is written."""

from __future__ import annotations

import json

import pytest

import random_kit
from grid_kit import TINY, records, sweep
from odyssey.study.data_check import died, errors_in, load
from odyssey.study.launchers.job import returned
from odyssey.study.plan import prepare
from records_kit import write_run
from run_kit import once, write_text
from study_kit import config

ROWS = "text,label\n" + "".join(f"a {w} film,{w}\n" for w in ("good", "bad") * 30)


def planned(*words: str):
    plan = prepare(["cell=rnn,gru", *words])
    assert plan is not None
    return plan


def distinct(*words: str) -> int:
    return len({trial.data for trial in planned(*words).trials})


def test_one_look_for_each_task_that_reads_other_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for size, name in enumerate("ab"):
        write_text(tmp_path / f"{name}.txt", 3000 + size)
    assert distinct("task=charlm", "seed=range(0,9)", "bptt.length=5,10") == 1
    assert distinct("task=charlm", "task.data=kjv,hello", "seed=0,1") == 2
    assert distinct("task=charlm", "task.data=file", "task.path=a.txt,b.txt", "seed=0,1") == 2
    assert distinct("task=charlm,mnist,music") == 3
    assert {t.data for t in planned("task=synthetic", "task.kind=adding,copying").trials} == {""}


def test_what_is_drawn_for_each_trial_is_looked_at_once():
    noise = ("task=music", "task.input_noise=interval(0,1)", "hydra/sweeper=search")
    assert distinct(*noise, "hydra.sweeper.trials=7") == 1
    chosen = ("task=charlm", "task.min_count=tag(search,choice(1,2,3))", "hydra/sweeper=search")
    plan = planned(*chosen, "hydra.sweeper.trials=12")
    values = {next(w for w in t.words if w.startswith("task.min_count")) for t in plan.trials}
    assert len({t.data for t in plan.trials}) == len(values) > 1


@pytest.mark.parametrize("launcher", ["basic", pytest.param("local_pool", marks=pytest.mark.slow)])
def test_a_wrong_column_is_said_once_and_nothing_written(tmp_path, launcher, capfd):
    rows = [f"a {w} film {i},it was {w} for {i},{w}" for i in range(30) for w in ("good", "bad")]
    (tmp_path / "t.csv").write_text("\n".join(["one,two,label", *rows]))
    words = ("task=sentiment", "task.data=csv", f"task.path={tmp_path / 't.csv'}", "cell=rnn,gru")
    words += (f"seed=range(0,{random_kit.dice(1).randint(2, 300)})", f"hydra/launcher={launcher}")
    assert sweep(tmp_path / "out", *words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "t.csv line 1: no column named text in the header (one, two, label)" in line
    assert not (tmp_path / "out").exists()


def test_the_variant_whose_data_are_missing_is_named(tmp_path, capfd):
    good, bad = write_text(tmp_path / "a.txt"), tmp_path / "b.txt"
    bad.write_bytes(b"\x00 not a text \x80" * 99)
    words = ("task.data=file", f"task.path={good},{bad}", "cell=rnn,gru", "hydra/launcher=basic")
    assert sweep(tmp_path / "out", *words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "not UTF-8" in line and f"(2 runs of the study need it, as task.path={bad}" in line
    assert not (tmp_path / "out").exists()


def test_data_of_runs_that_are_done_may_be_gone(tmp_path, monkeypatch, capfd):
    """Nothing is to be trained, so nothing is to be loaded."""
    path = write_text(tmp_path / "a.txt")
    words = ("task.data=file", f"task.path={path}", "cell=rnn,gru", "hydra/launcher=basic")
    looks: list[str] = []
    monkeypatch.setattr("odyssey.study.data_check.load", lambda cfg: looks.append(cfg.cell))
    plan = prepare(once(*TINY, *words, f"output_dir={tmp_path}"))
    for trial in plan.trials:
        write_run(tmp_path / "s", trial.run, code=None)
    assert sweep(tmp_path, *words) == 0
    assert looks == []


def test_whatever_a_task_of_ones_own_raises_is_one_sentence(tmp_path, monkeypatch):
    def fail(self) -> None:
        raise ZeroDivisionError("no rows")

    cfg = config(tmp_path, "cell=gru")
    monkeypatch.setattr("odyssey.tasks.language_model.CharLM.load", fail)
    (said,) = load(cfg)["errors"]
    assert said == ("task=charlm task.data=hello cannot be loaded: ZeroDivisionError: no rows")
    (said,) = errors_in(returned((), died(cfg, "the process was ended by signal 9")))
    assert said.endswith("cannot be loaded: the process was ended by signal 9")


@pytest.mark.slow
def test_good_data_change_nothing_of_the_runs(tmp_path):
    path = write_text(tmp_path / "a.txt")
    words = ("task.data=file", f"task.path={path}", "cell=rnn", "seed=0,1")
    assert sweep(tmp_path / "a", *words) == 0
    for seed in (0, 1):  # one run to do: nothing is looked at before
        assert sweep(tmp_path / "b", *words[:-1], f"seed=range({seed},{seed + 1})") == 0
    ends = [
        {name: json.dumps(r["metrics"]) for name, r in records(tmp_path / out).items()}
        for out in ("a", "b")
    ]
    assert ends[0] == ends[1] and len(ends[0]) == 2
