"""How far a run is, from the end of its metrics.csv."""

from __future__ import annotations

import os
from dataclasses import dataclass

from odyssey.study.records import RunState, as_float

ENOUGH = (4096, 262144)  # bytes: the last rows; and so many that the last validation is in them


@dataclass(frozen=True)
class Progress:
    """None is what is not known, or not yet."""

    step: int | None = None  # updates
    epoch: float | None = None
    time: float | None = None  # of the last row, in seconds since 1970
    value: float | None = None  # of the monitor at the last validation


def progress(run: RunState) -> Progress:
    """What the last whole rows of the run's metrics.csv say. Never raises for what is in it."""
    found = Progress()
    for size in ENOUGH:
        rows, whole = _last_rows(os.path.join(run.path, "metrics.csv"), size)
        for step, epoch, name, value, time in reversed(rows):
            if found.step is None and step.isdecimal():
                found = Progress(int(step), as_float(epoch), as_float(time))
            if name == f"valid/{run.monitor}":
                return Progress(found.step, found.epoch, found.time, as_float(value))
        if whole:
            break
    return found


def _last_rows(file: str, size: int) -> tuple[list[list[str]], bool]:
    """The rows in the last `size` bytes, but for one cut in two; whether that is the whole file."""
    try:
        with open(file, "rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(end - size, 0))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return [], True
    lines = text[: text.rfind("\n") + 1].split("\n")[1:]  # less the header, or half a row
    rows = [line.split(",") for line in lines]
    return [row for row in rows if len(row) == 5], end <= size
