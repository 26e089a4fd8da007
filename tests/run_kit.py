"""Running the real thing: `train.py` in this process or in one of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from odyssey.cli import main

ROOT = Path(__file__).parents[1]

# A streamed task and a sequence task with everything that has a state of its own: momentum,
# decay, dropout, input noise, a carried state, shuffled order, validations inside an epoch.
STREAMED = [
    "task=charlm",
    "cell=lstm",
    "task.batch_size=4",
    "task.sample_length=30",
    "bptt.length=10",
    "model.hidden_size=12",
    "model.num_layers=2",
    "model.dropout=0.3",
    "decay=cosine",
    "trainer.max_epochs=2",
    "trainer.val_every=25",
    "trainer.log_every=7",
    "trainer.checkpoint_every=10",
]
SEQUENCES = [
    "task=music",
    "cell=gru",
    "task.data=jsb",
    "task.sample_length=12",
    "task.batch_size=8",
    "task.input_noise=0.3",
    "model.hidden_size=12",
    "optimizer=sgd",
    "optimizer.lr=0.05",
    "decay=plateau",
    "decay.patience=1",
    "trainer.max_epochs=2",
    "trainer.val_every=20",
    "trainer.log_every=7",
    "trainer.checkpoint_every=5",
]


def write_text(path: Path, characters: int = 3000) -> Path:
    """A text with some structure to learn."""
    words = ["the", "cell", "reads", "a", "gate,", "then", "forgets;", "so", "it", "goes\n"]
    generator = torch.Generator().manual_seed(1)
    picks = torch.randint(len(words), (characters,), generator=generator).tolist()
    path.write_text(" ".join(words[i] for i in picks)[:characters], encoding="utf-8")
    return path


def once(*overrides: str) -> list[str]:
    """The last of several values for a key."""
    return list({o.split("=")[0]: o for o in overrides}.values())


def train(out: Path, *overrides: str, mode: str = "disabled") -> int:
    """In this process; returns the exit status."""
    here = (f"output_dir={out}", f"logger.mode={mode}", "trainer.threads=1")
    return main(once(*overrides, *here))


def start(out: Path, *overrides: str) -> subprocess.Popen[str]:
    """In a process of its own."""
    here = (f"output_dir={out}", "logger.mode=disabled", "trainer.threads=1")
    command = [sys.executable, "train.py", *once(*overrides, *here)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run has logged an update of at least `step`."""
    for _ in range(6000):
        for file in out.glob("*/*/metrics.csv"):
            rows = file.read_text().splitlines()[1:]
            if rows and int(rows[-1].split(",")[0]) >= step:
                return
        if process.poll() is not None:
            raise AssertionError(f"ended too early: {process.communicate()[0]}")
        time.sleep(0.01)
    raise AssertionError("no such update in a minute")


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def folder(out: Path) -> Path:
    """The one run folder below `out`."""
    (found,) = [p.parent for p in out.glob("*/*/run.json") if "~" not in p.parent.name]
    return found


def record(path: Path) -> dict[str, Any]:
    return json.loads((path / "run.json").read_text())


def metrics(path: Path) -> list[tuple[str, ...]]:
    """All rows of metrics.csv but what a clock says."""
    with (path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        (r["step"], r["epoch"], r["name"], r["value"])
        for r in rows
        if not r["name"].startswith("time/")
    ]


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, optimizer, metrics and samples equal, bit for bit."""
    assert metrics(a) == metrics(b)
    assert record(a)["metrics"] == record(b)["metrics"]
    assert record(a)["clipped_share"] == record(b)["clipped_share"]
    for name in ("last.ckpt", "best.ckpt"):
        one, two = (torch.load(p / "checkpoints" / name, weights_only=True) for p in (a, b))
        for content in (one, two):  # what a clock says, and the hash of a table with times in it
            content.pop("seconds", None)
            content.pop("written", None)
        _assert_equal(one, two, name)
    samples = sorted(p.relative_to(a) for p in (a / "samples").glob("*.txt"))
    for sample in samples:
        assert (a / sample).read_bytes() == (b / sample).read_bytes()


def _assert_equal(a: Any, b: Any, where: str) -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            _assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _assert_equal(x, y, f"{where}[{i}]")
    else:
        assert a == b, where
