"""Study folders made of a real run: its folder copied, its run.json edited."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import run_kit
from odyssey.study.store import TrialRow

TINY = ("task=charlm", "task.data=hello", "model.hidden_size=8", "trainer.max_steps=5", "cell=gru")
NOW = 1_800_000_000.0  # seconds since 1970, for studies that do not care for the clock


@cache
def real_run() -> Path:
    """The folder of a run that train.py made, once a session."""
    out = Path(mkdtemp(prefix="odyssey-run-"))
    assert run_kit.train(out, *TINY) == 0
    return run_kit.folder(out)


def write_run(
    folder: Path, name: str, status: str = "finished", *, at: float = NOW, **changes: Any
) -> Path:
    """A run folder whose run.json is the real one's with `changes`, written at the time `at`.

    value, test: of the monitor.
    """
    path = folder / name
    if not path.exists():
        shutil.copytree(real_run(), path, ignore=shutil.ignore_patterns("run.json"))
    record = run_kit.record(real_run())
    cell, task, digits = name.rsplit("-", 2)
    record |= {"status": status, "cell": cell, "task": task, "config_hash": digits.ljust(64, "0")}
    for key, part in (("value", "valid"), ("test", "test")):
        if key in changes:
            record["metrics"][f"{part}/{record['monitor']['name']}"] = changes.pop(key)
    replace_json(path / "run.json", record | changes, at)
    return path


def replace_json(file: Path, content: Any, at: float = NOW) -> None:
    """As a run writes it: the whole file, or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    os.utime(temporary, (at, at))
    os.replace(temporary, file)


def plan(compare: Mapping[str, Sequence[Any]], *more: str) -> list[dict[str, str]]:
    """The rows of trials.csv for all combinations; `more` are words that all runs share."""
    rows = []
    for number, values in enumerate(product(*compare.values())):
        variant = " ".join(f"{key}={value}" for key, value in zip(compare, values, strict=True))
        cell = dict(zip(compare, values, strict=True)).get("cell", "gru")
        run = f"{cell}-charlm-{number:08x}"
        overrides = shlex.join([*variant.split(), "task=charlm", *more])
        rows.append({"trial": str(number), "run": run, "variant": variant, "overrides": overrides})
    return rows


def trial_rows(rows: Sequence[Mapping[str, str]]) -> list[TrialRow]:
    """The same as they are read."""
    return [TrialRow(int(r["trial"]), r["run"], r["variant"], r["overrides"]) for r in rows]


def write_plan(folder: Path, rows: Sequence[Mapping[str, str]], **definition: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        columns = (
            "trial",
            "run",
            "variant",
            "overrides",
            *[c for c in ("command",) if rows and c in rows[0]],
        )
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    replace_json(folder / "study.json", {"study": folder.name, **definition})


HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(run: Path) -> subprocess.Popen[str]:
    """A process that holds a run's lock, as one that trains it, until its input is closed."""
    lock = run.with_name(f".{run.name}.lock")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def let_go(holder: subprocess.Popen[str]) -> None:
    """End such a process the usual way."""
    holder.communicate()


# A run that starts and ends many times, with its lock held as a trainer does.
RUNNING_AND_BACK = """
import sys, threading, time
from dataclasses import replace
from pathlib import Path
from odyssey.training.record import RunRecord
from odyssey.training.run_dir import RunFolder
folder = RunFolder(Path(sys.argv[1]))
record = RunRecord.load(folder.record_path.read_text())
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
print("begun", flush=True)
while not over.is_set():
    folder.acquire()
    folder.write_record(replace(record, status="running", metrics={}))
    folder.write_record(replace(record, status="finished"))
    folder.release()
    time.sleep(0.005)  # a file system's clock is that coarse
print("ended")
"""
