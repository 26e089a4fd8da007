"""Keys of a configuration: which determine a result, which are said how."""

from __future__ import annotations

import json
from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.report.io.runs import ReportRun, ReportStudy

SEED = "seed"
# What says which data: the data's hash says it better than the place they are read from.
DATA_KEYS = ("task.name", "task.data", "task.path")
CHOICE_SUFFIXES = (".kind", ".name")  # where the choice of a group stands in a configuration


def is_under(key: str, axes: Iterable[str]) -> bool:
    """Whether a key is one of `axes`, or in a section or group that is."""
    return any(key == axis or key.startswith(f"{axis}.") for axis in axes)


@lru_cache(maxsize=4096)
def affects_result(key: str) -> bool:
    """Whether another value gives another configuration of a run; the seed is none."""
    return key != SEED and not is_under(key, NEUTRAL_KEYS)


def compared_keys(study: ReportStudy) -> list[str]:
    """What its variants are told by; the cell's class is the cell, and seeds are no variants."""
    keys = [key for entry in study.compare for key in entry.split(",")]
    keys = ["cell" if key == "cell._target_" else key for key in keys if key != SEED]
    return list(dict.fromkeys(keys))


def searched_keys(study: ReportStudy) -> list[str]:
    """What differs from trial to trial."""
    keys = [key for entry in study.space for key in entry.split(",")]
    return [key for key in dict.fromkeys(keys) if key != SEED]


def lacks_plan(study: ReportStudy) -> bool:
    """Whether nothing says what it searches: it has no study.json, or a damaged one."""
    return not study.space and (not study.compare or bool(study.sampler))


def resolve_key(key: str, config: Some[str]) -> str:
    """The flat key where a setting stands: `optimizer.kind` for the group `optimizer`."""
    if key not in config:
        for choice in CHOICE_SUFFIXES:
            if key + choice in config:
                return key + choice
    return key


def setting_text(run: ReportRun, key: str, study: ReportStudy | None = None) -> str:
    """A run's setting as a word; empty where it is not known."""
    if key == "cell":
        return run.compared.get("cell") or run.cell
    if key == "task":
        return run.task
    fixed: Mapping[str, Any] = study.fixed if study else {}
    for known in (run.config, run.compared, fixed):
        place = resolve_key(key, known)
        if place in known:
            return format_value(known[place])
    return ""


def format_value(value: Any) -> str:
    """A value as on the command line, however it was written: 0.001 for 1e-3."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, separators=(",", ":"), default=str).replace('"', "")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _format_text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


@lru_cache(maxsize=4096)
def _format_text(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    if value.lower() in ("true", "false", "null"):
        return value.lower()
    if value[:1] in ("[", "{"):
        return value.replace(" ", "").replace('"', "").replace("'", "")
    try:
        return (
            format_value(int(value)) if value.lstrip("+-").isdigit() else format_value(float(value))
        )
    except ValueError:
        return value
