"""A study's tables as W&B shows them: all its runs, its arms, and its counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from odyssey.study.arms import sections
from odyssey.study.records import RunState, StudyState
from odyssey.study.shown import words

Table = tuple[list[str], list[list[Any]]]  # columns, rows

FIRST = ("run", "trial", "arm", "cell", "task", "state")
LAST = ("metric", "valid", "test", "seconds", "params", "config_hash", "error")


def runs_table(study: StudyState) -> Table:
    """A row for each run, with a column for each value that is compared or searched.

    valid, test: of `metric`, at the best checkpoint; seconds: of training.
    """
    trials: dict[str, dict[str, Any]] = {}
    for trial in study.trials:
        trials.setdefault(trial["run"], trial)
    keys = [key for key in _keys(study) if key not in FIRST]
    rows = []
    for run in study.runs.values():
        trial = trials.get(run.name, {})
        given = _values(trial.get("overrides", ""))
        rows.append(
            [
                *(run.name, trial.get("trial"), trial.get("arm", "")),
                *(run.cell, run.task, run.state),
                *(given.get(key) for key in keys),
                *(run.monitor, run.value, run.test, run.seconds),
                *(run.record.get("params"), run.record.get("config_hash"), run.error),
            ]
        )
    return [*FIRST, *keys, *LAST], _columns_of_one_type(rows)


def arms_table(study: StudyState) -> Table:
    """A row for each arm, best first within a task; mean_seconds: of a finished run."""
    rows = []
    for section in sections(study):
        about = {"task": section.task, "data": section.data, "metric": section.monitor}
        for arm in section.arms:
            plain = arm.plain()
            best = plain.pop("best") or {}
            row = about | plain
            row |= {f"best_{key}": best.get(key) for key in ("run", "valid", "test")}
            rows.append(row)
    columns = list(rows[0]) if rows else []
    return columns, _columns_of_one_type([list(row.values()) for row in rows])


def summary(study: StudyState) -> dict[str, Any]:
    """How many runs there are in each state, and the best of each task."""
    found: dict[str, Any] = {"count/runs": len(study.runs)}
    found |= {f"count/{state}": number for state, number in study.counts().items()}
    there = sections(study)
    for section in there:
        best = _best([arm.best for arm in section.arms])
        if best is not None:
            name = "best" if len(there) == 1 else f"best/{section.task}-{section.data}"
            (arm,) = [a for a in section.arms if best in a.runs][:1]
            found |= {
                f"{name}/run": best.name,
                f"{name}/arm": arm.label,
                f"{name}/valid": best.value,
                f"{name}/test": best.test,
            }
    return {key: value for key, value in found.items() if _plain(value) is not None}


def _best(runs: Sequence[RunState | None]) -> RunState | None:
    there = [run for run in runs if run is not None]
    if not there:
        return None
    return (max if there[0].mode == "max" else min)(there, key=lambda run: run.value)


def _keys(study: StudyState) -> list[str]:
    """What is compared or searched, as study.json says it, and as the arms' labels do."""
    entries = [*(study.definition.get("compare") or {}), *(study.definition.get("space") or {})]
    labels = dict.fromkeys(trial["arm"] for trial in study.trials)
    named = [word.partition("=")[0] for label in labels for word in words(label)]
    return list(dict.fromkeys([*(k for e in entries for k in e.split(",")), *named]))


def _values(overrides: str) -> dict[str, Any]:
    found = {}
    for word in words(overrides):
        key, _, text = word.partition("=")
        found[key.lstrip("+")] = None if text == "null" else _number(text)
    return found


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _columns_of_one_type(rows: list[list[Any]]) -> list[list[Any]]:
    """W&B takes one type in a column, and none: numbers, or else text."""
    texts = [any(isinstance(v, str) for v in column) for column in zip(*rows, strict=True)]
    return [
        [
            _plain(value) if not text or value is None else str(value)
            for value, text in zip(row, texts, strict=True)
        ]
        for row in rows
    ]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
