"""How far a run is, from the end of its metrics.csv."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from odyssey.io import open_regular
from odyssey.study.formatting import as_number
from odyssey.study.state import LEFT, RunState, StudyState
from odyssey.training.record import DONE

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
                found = Progress(int(step), as_number(epoch), as_number(time))
            if name == f"valid/{run.monitor}":
                return Progress(found.step, found.epoch, found.time, as_number(value))
        if whole:
            break
    return found


def _last_rows(file: str, size: int) -> tuple[list[list[str]], bool]:
    """The rows in the last `size` bytes, but for one cut in two; whether that is the whole file."""
    try:
        with open(open_regular(file, os.O_RDONLY), "rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(end - size, 0))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return [], True
    lines = text[: text.rfind("\n") + 1].split("\n")[1:]  # less the header, or half a row
    rows = [line.split(",") for line in lines]
    return [row for row in rows if len(row) == 5], end <= size


PAUSE = 300.0  # seconds; a longer gap in which nothing was trained begins another period of work


@dataclass(frozen=True)
class Throughput:
    """Runs done in the last period of work, and how long that lasted so far, in seconds."""

    runs: int
    seconds: float

    @property
    def hourly(self) -> float:
        return self.runs / self.seconds * 3600


def throughput(study: StudyState, now: float) -> Throughput | None:
    """The pace of the last period of work; None where nothing is done.

    A run is taken to have lasted from its run.json's time less its seconds of training to that
    time. The period ends now if something runs, else with its last run.
    """
    done = [r for r in study.runs.values() if r.state in DONE and r.changed is not None]
    ends = sorted(((r.changed or 0.0, _known(r.seconds)) for r in done), reverse=True)
    if not ends:
        return None
    last = ends[0][0]
    begin, runs = last, 0
    for end, seconds in ends:
        if end < begin - PAUSE:
            break
        begin, runs = min(begin, end - seconds), runs + 1
    if any(r.state == "running" for r in study.runs.values()):
        last = max(last, now)
    return Throughput(runs, last - begin) if last > begin else None


def time_left(study: StudyState, now: float, at_a_time: int = 0) -> float | None:
    """Seconds until nothing is left, with as many runs at a time as now; None if it is not known.

    at_a_time: how many runs that is, where it is better known than by counting those that run.
    A run to come is given the mean time of its variant's finished runs, or of its cell's on that
    task, or of all, whichever there is first.
    """
    runs = study.runs.values()
    running = [r for r in runs if r.state == "running"]
    left = [r for r in runs if r.state in LEFT]
    if not left and not running and not study.to_come:
        return 0.0
    at_a_time = at_a_time or len(running)
    finished = [r for r in runs if r.state == "finished" and not math.isnan(r.seconds)]
    if not finished or not at_a_time:
        return None
    overall = fmean(r.seconds for r in finished)
    by_cell = _means(((r.cell, r.task), r.seconds) for r in finished)
    by_variant: dict[str, float] = {}
    for variant in study.variants().values():
        times = [r.seconds for r in variant if r.state == "finished" and not math.isnan(r.seconds)]
        if times:
            by_variant |= dict.fromkeys((r.name for r in variant), fmean(times))
    total = 0.0
    for run in [*left, *running]:
        whole = by_variant.get(run.name) or by_cell.get((run.cell, run.task)) or overall
        total += max(whole - _spent(run, now), 0.0)
    return (total + study.to_come * overall) / at_a_time


def _spent(run: RunState, now: float) -> float:
    """Seconds that a run has trained: run.json is written when a session begins."""
    session = now - run.changed if run.state == "running" and run.changed else 0.0
    return _known(run.seconds) + max(session, 0.0)


def _known(seconds: float) -> float:
    return seconds if math.isfinite(seconds) else 0.0


def _means(pairs: Iterable[tuple[tuple[str, str], float]]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: fmean(values) for key, values in found.items()}
