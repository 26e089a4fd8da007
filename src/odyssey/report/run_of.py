"""A run as the report sees it, of what its files say; odd values are unknown, and named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from odyssey.report.cache import Kept
from odyssey.report.commands import command_in, command_of, pairs
from odyssey.report.reading import number, table, text, whole
from odyssey.report.runs import Run
from odyssey.study.records import RunState

LONGEST = 2000  # characters of an error that are kept, its end
WHOLE = ("seed", "params", "steps", "best_step")
NUMBERS = ("seconds", "epochs")
TABLES = ("data", "metrics", "monitor", "versions", "code", "git")


def run_of(
    study: str, kept: Kept, row: Mapping[str, Any] | None, fixed: Mapping[str, Any], curves: bool
) -> Run:
    """row: its line of trials.csv, None where it is not in the plan. fixed: of the study."""
    state = kept.state
    record = state.record
    metrics = {text(k): number(v) for k, v in table(record.get("metrics")).items()}
    arm = {k: v for k, v in pairs(row["arm"]).items() if k != "seed"} if row else {}
    config = kept.config or {}
    cell = text(state.cell)
    return Run(
        study=study,
        name=text(state.name),
        state=state.state,
        cell=cell,
        task=text(state.task),
        data=text(state.data),
        data_hash=text(table(record.get("data")).get("sha256")),
        seed=_seed(record, config, row, fixed),
        params=whole(record.get("params")),
        monitor=text(state.monitor),
        mode=state.mode,
        metrics=metrics,
        config=config,
        compared=arm or {"cell": cell},
        trial=row["trial"] if row else None,
        seconds=number(record.get("seconds")),
        steps=whole(record.get("steps")),
        epochs=number(record.get("epochs")),
        best_step=whole(record.get("best_step")),
        device=text(record.get("device")),
        versions={text(k): text(v) for k, v in table(record.get("versions")).items()},
        code=text(table(record.get("code")).get("sha256")),
        commit=_commit(table(record.get("git"))),
        started=text(record.get("started")),
        error=text(record.get("error")).strip()[-LONGEST:],
        command=command_of(row["overrides"]) if row else _own_command(state),
        path=text(state.path),
        curves=kept.curves if curves else {},
    )


def odd_values(record: Mapping[str, Any]) -> list[str]:
    """Keys of run.json whose values are of another kind than a run writes."""
    found = [k for k in WHOLE if record.get(k) is not None and whole(record[k]) is None]
    found += [k for k in NUMBERS if record.get(k) is not None and not _is_number(record[k])]
    found += [k for k in TABLES if not isinstance(record.get(k) or {}, Mapping)]
    metrics = table(record.get("metrics"))
    found += [f"metrics.{text(k)}" for k, v in metrics.items() if not _is_number(v)]
    return found


def _is_number(value: Any) -> bool:
    return not math.isnan(number(value)) or value == "nan" or isinstance(value, float)


def _seed(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    fixed: Mapping[str, Any],
) -> int | None:
    """As run.json has it; else as the run was configured, or is to be."""
    if record.get("seed") is not None:
        return whole(record["seed"])
    if config.get("seed") is not None:
        return whole(config["seed"])
    if row is None:
        return None
    typed = pairs(row["overrides"]).get("seed", "")
    return whole(int(typed)) if typed.isdecimal() and len(typed) < 17 else whole(fixed.get("seed"))


def _commit(git: Mapping[str, Any]) -> str:
    commit = text(git.get("commit"))
    return f"{commit}+" if commit and git.get("dirty") is True else commit


def _own_command(state: RunState) -> str:
    return command_in(state.path / "overrides.yaml")
