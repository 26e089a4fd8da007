"""One study under different launchers, started as a user does, and what of it must be the same."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from odyssey.study.spec import EXTRAS
from run_kit import ROOT, record

# Six runs of a second or two, long enough to be met in the middle.
STUDY = [
    "cell=lstm,gru",
    "seed=0,1,2",
    "task=charlm",
    "task.data=hello",
    "task.sample_length=20",
    "model.hidden_size=8",
    "model.dropout=0.2",
    "model.num_layers=2",
    "trainer.max_epochs=null",
    "trainer.max_steps=150",
    "trainer.val_every=50",
    "trainer.checkpoint_every=25",
    "logger.mode=disabled",
    "study=same",
]
OWN = ("started", "seconds")  # of a run.json: when, and how long


PLUGINS = {
    "ray": "hydra_plugins.hydra_ray_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
}


def skip_without_extra(words: Sequence[str]) -> None:
    """Skip the test where the words' launcher comes with an extra that is not installed."""
    for word in words:
        extra = EXTRAS.get(word.partition("hydra/launcher=")[2])
        if extra is not None and find_spec(PLUGINS[extra]) is None:
            pytest.skip(f"{word} needs pip install -e '.[{extra}]'")


def command(out: Path, launcher: str, *words: str) -> list[str]:
    start = [sys.executable, str(ROOT / "train.py"), "-m", f"hydra/launcher={launcher}"]
    return [*start, *words, f"output_dir={out}"]


def environment(**set: str) -> dict[str, str]:
    """Of a study: the tests' own cells can be imported, and OMP_NUM_THREADS is as it is here."""
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | set


def conduct(out: Path, launcher: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A whole study."""
    return subprocess.run(
        command(out, launcher, *words),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )


def folders(out: Path) -> dict[str, Path]:
    """The runs of a study, by name."""
    return {p.parent.name: p.parent for p in sorted(out.glob("*/*/run.json"))}


def results(out: Path) -> dict[str, dict[str, Any]]:
    """All of a study that must not hang on its launcher: run.json, words, metrics and samples."""
    found = {}
    for name, path in folders(out).items():
        run: dict[str, Any] = {k: v for k, v in record(path).items() if k not in OWN}
        run["overrides"] = (path / "overrides.yaml").read_text().replace(str(out), "")
        run["rows"] = []
        if (path / "metrics.csv").exists():
            with (path / "metrics.csv").open(newline="") as file:
                rows = [row | {"time": None} for row in csv.DictReader(file)]
            run["rows"] = [row for row in rows if not row["name"].startswith("time/")]
        run["samples"] = {p.name: p.read_bytes() for p in sorted(path.glob("samples/*"))}
        found[name] = run
    return found


def plan(out: Path) -> list[str]:
    """trials.csv, less where the study lies."""
    (file,) = out.glob("*/trials.csv")
    return file.read_text().replace(str(out), "").splitlines()


def holders(out: Path) -> dict[str, int]:
    """Run -> the process that trains it now."""
    found = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            targets = [os.readlink(entry) for entry in os.scandir(f"/proc/{process}/fd")]
        except OSError:  # it has ended, or closed a file meanwhile; the next look sees it
            continue
        for target in targets:
            if target.startswith(str(out)) and target.endswith(".lock") and ".study." not in target:
                found[Path(target).name[1 : -len(".lock")]] = int(process)
    return found


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(") ")[2].split()[1])


def in_training(out: Path) -> dict[str, int]:
    """Run -> process, of those that have a checkpoint and are not done."""
    runs = folders(out)
    return {
        name: pid
        for name, pid in holders(out).items()
        if name in runs and (runs[name] / "checkpoints" / "last.ckpt").exists()
        and record(runs[name])["status"] == "running"
    }  # fmt: skip


def until(true: Any, seconds: float = 100) -> Any:
    """What `true` returns, once that is true."""
    for _ in range(int(seconds * 50)):
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")
