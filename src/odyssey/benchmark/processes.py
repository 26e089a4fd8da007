"""Whole processes: from the command to the first update, and a large corpus."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MEGABYTE = 1 << 20


def _run(*overrides: str) -> dict[str, float]:
    """Seconds to the first logged update and in all, and the peak memory of the process."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(ROOT / "train.py"), *overrides]
        command += [f"output_dir={out}", "trainer.log_every=1", "trainer.progress_bar=false"]
        start = time.time()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
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
    """Bytes of a process's own peak, from /proc; what the system's accounting gives a child
    would include its parent's, from before the child became another program."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) * 1024.0 if found else 0.0


def startup(times: int = 3) -> dict[str, Any]:
    """The default run: seconds from the command to the first update done, each time."""
    runs = [_run("trainer.max_steps=2", "trainer.sample=false") for _ in range(times)]
    return {"seconds": sorted(r["first_update"] for r in runs), "limit": 10.0}


def large_corpus(megabytes: int = 100) -> dict[str, Any]:
    """A text of text8's size: seconds to the first update, and memory beyond a small text's."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.txt", Path(folder) / "large.txt"
        line = "".join(chr(97 + i * i % 26) for i in range(99)) + "\n"
        small.write_text(line * 1000)
        large.write_text(line * (megabytes * MEGABYTE // len(line)))
        options = ["task.data=file", "trainer.max_steps=2", "trainer.sample=false"]
        # One window of one lane in validation and test: what is timed is loading, not evaluation.
        options += ["task.split=[0.999998,0.000001,0.000001]", "task.batch_size=32"]
        base = _run(*options[:-2], "task.batch_size=32", f"task.path={small}")
        full = _run(*options, f"task.path={large}")
    return {
        "first_update": full["first_update"],
        "limit": 20.0,
        "extra_memory_in_copies": (full["peak"] - base["peak"]) / (megabytes * MEGABYTE),
        "limit_copies": 2.0,
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """The JSON file beside the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
