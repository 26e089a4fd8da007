"""`hydra.sweeper.dry_run=true`: what would run is said; nothing is started or written."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import random_kit
from grid_kit import TINY, sweep
from odyssey.cli import main
from odyssey.study.dry_run import SHOWN, dry_run
from odyssey.study.launchers import local
from odyssey.study.plan import prepare
from odyssey.study.state import read_study
from records_kit import write_run
from run_kit import once

DRY = "hydra.sweeper.dry_run=true"
SEARCH = ("hydra/sweeper=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))")


def test_each_trial_is_told_and_nothing_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "warm", lambda: pytest.fail("a process was started"))
    seeds = random_kit.dice(3).sample(range(1000), 3)
    words = (*TINY, "cell=rnn,gru", "clip=norm,none", f"seed={','.join(map(str, seeds))}")
    assert main(["-m", *words, DRY]) == 0
    assert list(Path().iterdir()) == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 runs in outputs/s: 12 to do"
    assert lines[2].split() == ["cell", "clip", "seed", "run"]
    plan = prepare(words)
    grid = itertools.product(["rnn", "gru"], ["norm", "none"], map(str, seeds))
    expected = [[*row, t.run] for row, t in zip(grid, plan.trials, strict=True)]
    assert [line.split() for line in lines[3:15]] == expected
    assert lines[-1].startswith("Nothing was started or written")


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_fits_and_stops_where_it_is_told_to(width, tmp_path):
    words = once(*TINY, *SEARCH, "cell=rnn,lstm_peephole", "model.hidden_size=int(interval(3,400))")
    plan = prepare((*words, "optimizer.eps=interval(0,1)", "hydra.sweeper.trials=21", DRY))
    state = read_study(tmp_path / "none")
    lines = dry_run(plan, state, width, SHOWN).splitlines()
    assert max(map(len, lines)) <= width or width == 40
    assert sum("-charlm-" in line for line in lines) == SHOWN
    assert "… and 22 more (hydra.sweeper.dry_run=all shows them)" in lines
    assert "42 trials of 2 variants in outputs/s: 42 to do" in " ".join(lines)
    every = dry_run(plan, state, width, None)
    assert "more" not in every and all(t.run in every for t in plan.trials)


def test_a_pipe_gets_every_trial(tmp_path):
    command = [sys.executable, str(Path(__file__).parents[1] / "train.py"), "-m", *TINY]
    command += ["seed=range(0,25)", "cell=rnn", DRY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(re.findall(r"rnn-charlm-\w{8}$", done.stdout, re.MULTILINE)) == 25
    assert done.stderr == "" and list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_to_do(tmp_path, capsys):
    words = ("cell=rnn,gru", "seed=0,1")
    plan = prepare((*TINY, f"output_dir={tmp_path}", *words))
    for trial, status in zip(plan.trials, ("finished", "failed", "interrupted"), strict=False):
        write_run(tmp_path / "s", trial.run, status)
    before = sorted(tmp_path.rglob("*"))
    assert sweep(tmp_path, *words, DRY) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().out
    assert "1 finished, 1 failed, 1 interrupted, 2 to do" in " ".join(said.split())
    assert re.search(rf"{plan.trials[0].run}\s+finished$", said, re.MULTILINE)


def test_an_adaptive_search_tells_what_is_known(tmp_path, capsys):
    pytest.importorskip("optuna")
    tpe = (*SEARCH, "hydra.sweeper.sampler=tpe", "hydra.sweeper.trials=14", "cell=rnn,gru")
    assert sweep(tmp_path, *tpe, DRY) == 0
    said = capsys.readouterr().out
    assert "28 trials of 2 variants" in said and said.count("-charlm-") == 20
    assert "… and 8 trials that will follow from the results" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_said_before_any_trial(tmp_path, capsys):
    assert sweep(tmp_path, "cell=rnn,gruu", DRY) == 2
    said = capsys.readouterr()
    assert said.out == "" and "cell=gruu is unknown" in said.err
