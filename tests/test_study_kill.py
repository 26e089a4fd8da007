"""A study that is killed, all of it, at any moment: no finished run is lost, none is damaged."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

import random_kit
from grid_kit import family, kill_all, numbers, records, results, start, sweep

WORDS = (
    "cell=rnn,gru",
    "seed=0,1,2,3",
    "trainer.max_steps=4000",
    "trainer.val_every=1000",
    "trainer.checkpoint_every=25",
    "model.hidden_size=7",
    "hydra.launcher.n_jobs=2",
)
KILLS = 20


def wait_for_work(out: Path, process: subprocess.Popen[str], since: float) -> None:
    """Until some run has written something in this session, or the study is over."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        files = out.glob("s/*/run.json")
        if any(f.stat().st_mtime > since for f in files):
            return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_lose_nothing(tmp_path):
    out, quiet = tmp_path / "killed", tmp_path / "quiet"
    dice = random_kit.dice()
    finished: dict[str, bytes] = {}
    kills = 0
    while kills < KILLS:
        since = time.time()
        process = start(out, *WORDS)
        if kills % 2 == 0:  # while it starts: plan, ledger, first files
            time.sleep(dice.uniform(0.3, 2.5))
        else:
            wait_for_work(out, process, since)
            time.sleep(dice.uniform(0, 0.8))
        assert len(family(process.pid)) > 0
        if process.poll() is not None:
            break  # all is done before the last kill: the lines below say whether that is so
        kill_all(process)
        kills += 1
        for file in out.glob("s/*/run.json"):
            record = json.loads(file.read_text(encoding="utf-8"))  # whole, whenever it is read
            if record["status"] == "finished":
                finished.setdefault(file.parent.name, file.read_bytes())
        for name, content in finished.items():
            assert (out / "s" / name / "run.json").read_bytes() == content
    assert kills == KILLS, f"the study ended after {kills} kills: make its runs longer"
    assert sweep(out, *WORDS) == 0
    for name, content in finished.items():
        assert (out / "s" / name / "run.json").read_bytes() == content
    assert sweep(quiet, *WORDS) == 0
    assert len(records(out)) == 8
    assert results(out) == results(quiet)
    assert numbers(out) == numbers(quiet)
