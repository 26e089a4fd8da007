"""A study's overhead for each run: all that passes between training one run and the next."""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odyssey.benchmark.processes import ROOT

TINY = (
    "task=charlm",
    "task.data=hello",
    "model.hidden_size=8",
    "trainer.max_steps=5",
    "trainer.log_every=1",
    "trainer.threads=1",
)


def gaps(study: Path, workers: int = 1) -> list[float]:
    """Seconds between the last row of a run's metrics.csv and the first one of the next run.

    The last row is the last validation's, so that a gap has what follows it: a sample, the test,
    figures, W&B, the process's end; then the next run's start up to its first update. With several
    workers, each run that starts takes the place of the one that ended longest ago.
    """
    times = []
    for file in study.glob("*/metrics.csv"):
        with file.open(newline="") as rows:
            times.append([float(row["time"]) for row in csv.DictReader(rows)])
    starts, ends = sorted(min(t) for t in times), sorted(max(t) for t in times)
    return [start - end for start, end in zip(starts[workers:], ends, strict=False)]


def overhead(
    runs: int = 10, rounds: int = 2, workers: int = 1, mode: str = "offline"
) -> dict[str, Any]:
    """The gaps in the local pool against those between separate processes, in turn: seconds."""
    pool: list[float] = []
    alone: list[float] = []
    few = 3
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as out:
            words = [*TINY, f"output_dir={out}", f"logger.mode={mode}"]
            seeds = f"seed=range(0,{runs})"
            launcher = ("hydra/launcher=local_pool", f"hydra.launcher.n_jobs={workers}")
            _train("-m", *words, "study=pool", seeds, *launcher)
            for seed in range(few):
                _train(*words, "study=alone", f"seed={seed}")
            pool += gaps(Path(out, "pool"), workers)
            alone += gaps(Path(out, "alone"))
    ours, theirs = statistics.median(pool), statistics.median(alone)
    return {
        "median": ours,
        "90th_percentile": _percentile(pool, 0.9),
        "limit": 1.0,
        "separate_median": theirs,
        "separate_90th_percentile": _percentile(alone, 0.9),
        "ratio": ours / theirs,
        "gaps": len(pool),
    }


def _train(*words: str) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
