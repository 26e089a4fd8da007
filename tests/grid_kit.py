"""Studies run as users run them: `train.py -m …`, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from odyssey.cli import main
from run_kit import ROOT, once

TINY = [
    "task=charlm",
    "task.data=hello",
    "trainer.sample=false",
    "model.hidden_size=5",
    "trainer.max_epochs=null",
    "trainer.max_steps=6",
    "trainer.val_every=3",
    "logger.mode=disabled",
    "study=s",
]
# Keys of run.json that are about the machine and the moment, not about the result.
VOLATILE = ("started", "seconds", "device", "wandb", "git")


def sweep(out: Path, *words: str) -> int:
    """In this process; returns the exit status."""
    return main(["-m", *once(*TINY, f"output_dir={out}", *words)])


def start(out: Path, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """In a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "-m", *once(*TINY, f"output_dir={out}", *words)],
        cwd=cwd or ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )


def records(out: Path, study: str = "s") -> dict[str, dict[str, Any]]:
    """Run folder -> what its run.json says."""
    files = sorted((out / study).glob("*/run.json"))
    return {f.parent.name: json.loads(f.read_text(encoding="utf-8")) for f in files}


def results(out: Path, study: str = "s") -> dict[str, dict[str, Any]]:
    """The same without what differs from one session or machine to another."""
    return {
        name: {k: v for k, v in record.items() if k not in VOLATILE}
        for name, record in records(out, study).items()
    }


def numbers(out: Path, study: str = "s") -> dict[str, list[str]]:
    """Run folder -> its rows of metrics.csv without what is about time."""
    return {
        f.parent.name: [
            line.rpartition(",")[0] for line in f.read_text().splitlines() if ",time/" not in line
        ]
        for f in sorted((out / study).glob("*/metrics.csv"))
    }


def family(pid: int) -> list[int]:
    """A process and all that descend from it, as /proc has them now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to everything that belongs to a study, at once."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
