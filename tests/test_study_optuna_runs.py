"""Adaptive search with real runs: killed, shared by two processes, on several launchers."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from run_kit import kill, record, start, train

pytest.importorskip("optuna", reason="sampler=tpe needs Optuna: pip install -e '.[optuna]'")

REAL = [
    "-m",
    "hydra/sweeper=search",
    "hydra.sweeper.sampler=tpe",
    "hydra.sweeper.trials=12",
    "study=s",
    "optimizer.lr=tag(log,interval(1e-5,1e-1))",
    "model.hidden_size=int(tag(log,interval(4,64)))",
    "task=charlm",
    "task.data=hello",
    "task.sample_length=20",
    "trainer.max_epochs=3",
]


def trials(out: Path) -> list[tuple[str, ...]]:
    with (out / "s" / "trials.csv").open() as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def values(out: Path) -> dict[str, float]:
    """The validation value of each run."""
    runs = [record(p.parent) for p in out.glob("s/*/run.json")]
    assert {r["status"] for r in runs} == {"finished"}
    return {r["config_hash"]: r["metrics"]["valid/bits_per_char"] for r in runs}


def finished(out: Path) -> int:
    files = [p.read_text() for p in out.glob("s/*/run.json")]
    return sum('"status": "finished"' in text for text in files)


@pytest.mark.slow
def test_a_killed_study_and_another_launcher_have_the_same_trials(tmp_path, capsys):
    """2 variants of 12 trials, in a pool of two; and one after the other, killed in trial 10."""
    pool, basic = tmp_path / "pool", tmp_path / "basic"
    process = start(basic, *REAL, "cell=rnn,gru", "hydra/launcher=basic")
    while finished(basic) < 21:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    kill(process)
    capsys.readouterr()
    assert train(basic, *REAL, "cell=rnn,gru", "hydra/launcher=basic") == 0
    told = capsys.readouterr().out
    assert "24 runs: 2" in told and "24/24 finished" in told
    assert train(pool, *REAL, "cell=rnn,gru", "hydra.launcher.n_jobs=2") == 0
    assert [row[:3] for row in trials(pool)] == [row[:3] for row in trials(basic)]
    assert values(pool) == values(basic) and len(values(pool)) == 24


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path):
    """Another process, and this one, which begins as soon as the other does."""
    process = start(tmp_path, *REAL, "hydra/launcher=basic")
    while not (tmp_path / "s").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    assert train(tmp_path, *REAL, "hydra/launcher=basic") == 0
    told = process.communicate()[0]
    assert process.returncode == 0, told
    assert [row[0] for row in trials(tmp_path)] == [str(n) for n in range(12)]
    assert len(values(tmp_path)) == 12
