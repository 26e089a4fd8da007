"""Timing of whole processes: start-up, a large corpus, and the overhead of a study's runs."""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TRAIN = [sys.executable, "-m", "odyssey", "train"]
MEGABYTE = 1 << 20


def _timed_run(*overrides: str) -> dict[str, float]:
    """Start train.py: seconds to its first logged update and in all, its peak memory in bytes."""
    with tempfile.TemporaryDirectory() as out:
        command = [*TRAIN, *overrides]
        command += [f"output_dir={out}", "trainer.log_every=1", "trainer.progress_bar=false"]
        start = time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(0.02)
        seconds = time.time() - start
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        (file,) = Path(out).glob("*/*/metrics.csv")
        first = float(file.read_text().splitlines()[1].split(",")[-1])
    return {"first_update": first - start, "all": seconds, "peak": peak}


def _peak(pid: int) -> float:
    """Peak resident memory of a running process in bytes, from /proc; 0 where it cannot be read.

    `resource.getrusage` would include the parent's memory, from before the child's exec.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) * 1024.0 if found else 0.0


def startup(times: int = 3) -> dict[str, Any]:
    """Seconds from the command to the end of the first update of the default run, `times` times."""
    runs = [_timed_run("trainer.max_steps=2", "trainer.sample=false") for _ in range(times)]
    return {"seconds": sorted(r["first_update"] for r in runs), "limit": 10.0}


def large_corpus(megabytes: int = 100) -> dict[str, Any]:
    """Seconds to the first update on a text as large as text8, and memory beyond a small text's."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.txt", Path(folder) / "large.txt"
        line = "".join(chr(97 + i * i % 26) for i in range(99)) + "\n"
        small.write_text(line * 1000)
        large.write_text(line * (megabytes * MEGABYTE // len(line)))
        options = ["task.data=file", "trainer.max_steps=2", "trainer.sample=false"]
        # Validation and test are one window of one sequence, so that evaluation takes no time.
        options += ["task.split=[0.999998,0.000001,0.000001]", "task.batch_size=32"]
        base = _timed_run(*options[:-2], "task.batch_size=32", f"task.path={small}")
        full = _timed_run(*options, f"task.path={large}")
    return {
        "first_update": full["first_update"],
        "limit": 20.0,
        "extra_memory_in_copies": (full["peak"] - base["peak"]) / (megabytes * MEGABYTE),
        "limit_copies": 2.0,
    }


# -- a study -------------------------------------------------------------------------------------

TINY = (
    "task=charlm",
    "task.data=hello",
    "model.hidden_size=8",
    "trainer.max_steps=5",
    "trainer.log_every=1",
    "trainer.threads=1",
)


def _gaps(study: Path, workers: int = 1) -> list[float]:
    """Seconds between the last row of a run's metrics.csv and the first one of the next run.

    The last row is written by the last validation. A gap therefore contains all that follows it (a
    sample, the test, figures, W&B, the process's end) and the next run's start up to its first
    update. With several workers, a run is paired with the one that ended longest before it.
    """
    times = []
    for file in study.glob("*/metrics.csv"):
        with file.open(newline="") as rows:
            times.append([float(row["time"]) for row in csv.DictReader(rows)])
    starts, ends = sorted(min(t) for t in times), sorted(max(t) for t in times)
    return [start - end for start, end in zip(starts[workers:], ends, strict=False)]


def study_overhead(
    runs: int = 10, rounds: int = 2, workers: int = 1, mode: str = "offline"
) -> dict[str, Any]:
    """Gaps in seconds in the local pool and between separate processes, measured in alternation."""
    pool: list[float] = []
    alone: list[float] = []
    few = 3
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as out:
            overrides = [*TINY, f"output_dir={out}", f"logger.mode={mode}"]
            seeds = f"seed=range(0,{runs})"
            launcher = ("hydra/launcher=local_pool", f"hydra.launcher.n_jobs={workers}")
            _train("-m", *overrides, "study=pool", seeds, *launcher)
            for seed in range(few):
                _train(*overrides, "study=alone", f"seed={seed}")
            pool += _gaps(Path(out, "pool"), workers)
            alone += _gaps(Path(out, "alone"))
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


def _train(*arguments: str) -> None:
    command = [*TRAIN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
