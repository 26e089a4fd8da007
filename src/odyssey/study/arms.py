"""What came of each arm of a study: the numbers of its tables."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from odyssey.study.records import LEFT, UNPLANNED, RunState, StudyState
from odyssey.study.shown import words


@dataclass
class Arm:
    """The runs of one combination of compared values, seeds put together."""

    settings: dict[str, str]  # key -> value, as in {"cell": "gru"}; none for unplanned runs
    runs: list[RunState] = field(default_factory=list)

    @property
    def label(self) -> str:
        return " ".join(f"{k}={v}" for k, v in self.settings.items()) or UNPLANNED

    @property
    def counts(self) -> Counter[str]:
        """Runs by state, with `left` for those that are still to be trained."""
        found = Counter(run.state for run in self.runs)
        found["left"] = sum(found[state] for state in (*LEFT, "running"))
        return found

    @property
    def finished(self) -> list[RunState]:
        """Finished runs that have a validation value."""
        return [r for r in self.runs if r.state == "finished" and not math.isnan(r.value)]

    @property
    def best(self) -> RunState | None:
        """The finished run with the best validation value."""
        finished = self.finished
        if not finished:
            return None
        return (max if finished[0].mode == "max" else min)(finished, key=lambda r: r.value)

    @property
    def median(self) -> float:
        """Of the finished runs' validation values; nan if there are none."""
        return median(r.value for r in self.finished) if self.finished else math.nan

    @property
    def seconds(self) -> float:
        """Mean training time of the finished runs; nan if there are none."""
        times = [r.seconds for r in self.runs if r.state == "finished"]
        times = [t for t in times if not math.isnan(t)]
        return fmean(times) if times else math.nan

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        best, counts = self.best, self.counts
        states = ("finished", "diverged", "failed", "running", "left", "damaged")
        return {
            "arm": self.label,
            "planned": len(self.runs),
            **{state: counts[state] for state in states},
            "best": best and {"run": best.name, "valid": best.value, "test": best.test},
            "median": self.median,
            "mean_seconds": self.seconds,
        }


@dataclass
class Section:
    """Arms that can be ranked against each other: one task, data set and metric."""

    task: str
    data: str
    monitor: str
    mode: str
    arms: list[Arm]  # best first
    seeds: bool  # whether runs of an arm differ by their seed alone; then the median ranks

    @property
    def title(self) -> str:
        """`charlm on python: bits_per_char, smaller is better`."""
        on = f" on {self.data}" if self.data else ""
        if not self.monitor:
            return f"{self.task}{on}: nothing validated yet"
        better = "larger" if self.mode == "max" else "smaller"
        return f"{self.task}{on}: {self.monitor}, {better} is better"


Key = tuple[str, str, str, str]


def sections(study: StudyState) -> list[Section]:
    """The arms of a study, ranked among those of the same task, data and metric.

    Compared seeds are no arms of their own: `cell=gru seed=0` and `cell=gru seed=1` are one.
    """
    keys = _keys(study)
    found: dict[Key, dict[str, Arm]] = {}
    compared_seeds = False
    for label, runs in study.arms().items():
        pairs = [w.partition("=") for w in words(label)] if label != UNPLANNED else []
        settings = {k: v for k, _, v in pairs if k != "seed"}
        compared_seeds |= any(k == "seed" for k, _, _ in pairs)
        for run in runs:
            own = settings if settings or not pairs else {"cell": run.cell}
            text = " ".join(f"{k}={v}" for k, v in own.items())
            arm = found.setdefault(keys[run.name], {}).setdefault(text, Arm(own))
            arm.runs.append(run)
    seeds = compared_seeds and not study.definition.get("space")
    return [
        Section(*key, _ranked(list(arms.values()), key[3], seeds), seeds)
        for key, arms in sorted(found.items())
    ]


def score(arm: Arm, seeds: bool) -> float:
    """What an arm is ranked by: the median over its seeds, or its best run's value."""
    if seeds:
        return arm.median
    return arm.best.value if arm.best else math.nan


def _ranked(arms: list[Arm], mode: str, seeds: bool) -> list[Arm]:
    """Best first; those without a value, and runs outside the plan, at the end."""
    sign = -1.0 if mode == "max" else 1.0

    def place(arm: Arm) -> tuple[bool, bool, float]:
        value = score(arm, seeds)
        none = math.isnan(value)
        return not arm.settings, none, 0.0 if none else sign * value

    return sorted(arms, key=place)


def _keys(study: StudyState) -> dict[str, Key]:
    """What each run is about; a run that has not begun is as others of its arm, then its task."""
    known = {r.name: _key(r) for r in study.runs.values() if r.monitor}
    by_task: dict[str, Key] = {}
    for key in known.values():
        by_task.setdefault(key[0], key)
    found = {}
    for runs in study.arms().values():
        mates: dict[str, Key] = {}
        for run in runs:
            if run.name in known:
                mates.setdefault(run.task, known[run.name])
        for run in runs:
            other = mates.get(run.task) or by_task.get(run.task) or (run.task, "", "", "min")
            found[run.name] = known.get(run.name, other)
    return found


def _key(run: RunState) -> Key:
    return run.task, run.data, run.monitor, run.mode
