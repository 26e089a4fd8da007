"""Settings of runs: which determine a result, which a study compares or searches, their values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from odyssey.config.schema import NEUTRAL_KEYS, PLACE_KEYS
from odyssey.config.seeds import SEED_KEYS, without_seeds
from odyssey.report.io.runs import ReportRun, ReportStudy

NOT_COUNTED = (*SEED_KEYS, "seeds")  # an empty section has a key of its own
# Settings that say which data. The hash of the data's content identifies them instead; study.json
# has one as task.content.
DATA_KEYS = ("task.name", "task.data", "task.content", *PLACE_KEYS)
CHOICE_SUFFIXES = (".kind", ".name")  # of the key where a configuration has the choice of a group


def is_under(key: str, sections: Iterable[str]) -> bool:
    """Whether a key is one of `sections`, or lies in one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)


@lru_cache(maxsize=4096)
def affects_result(key: str) -> bool:
    """Whether a setting is part of a run's configuration.

    Seeds and neutral keys are not; nor is where data lie, which their hash stands for.
    """
    return key not in NOT_COUNTED and not is_under(key, (*NEUTRAL_KEYS, *PLACE_KEYS))


def compared_keys(study: ReportStudy) -> list[str]:
    """The scientific parameters. The cell's class counts as the cell; seeds are none of them."""
    keys = [key for entry in study.compare for key in entry.split(",")]
    keys = ["cell" if key == "cell._target_" else key for key in without_seeds(keys)]
    return list(dict.fromkeys(keys))


def searched_keys(study: ReportStudy) -> list[str]:
    """The nuisance parameters, which differ from trial to trial, without seeds."""
    keys = [key for entry in study.space for key in entry.split(",")]
    return without_seeds(dict.fromkeys(keys))


def lacks_plan(study: ReportStudy) -> bool:
    """Whether it is not known what the study searches, as without study.json."""
    return not study.space and (not study.compare or bool(study.sampler))


def resolve_key(key: str, config: Collection[str]) -> str:
    """The flat key that holds a setting: `optimizer.kind` for the group `optimizer`."""
    if key not in config:
        for suffix in CHOICE_SUFFIXES:
            if key + suffix in config:
                return key + suffix
    return key


def setting_text(run: ReportRun, key: str, study: ReportStudy | None = None) -> str:
    """A run's value of a setting as on the command line; empty where it is not known."""
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


def configuration(run: ReportRun) -> tuple[tuple[str, str], ...]:
    """All settings that determine the run's result, but for its seed, sorted by key.

    A file of the user's is known by the hash of its content.
    """
    settings = sorted((k, format_value(v)) for k, v in run.config.items() if affects_result(k))
    own = any(run.config.get(key) is not None for key in PLACE_KEYS)
    return (*settings, ("content", run.data_hash)) if own else tuple(settings)


def differing_settings(
    one: Sequence[ReportRun], other: Sequence[ReportRun], without: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Settings that determine results and differ between two groups of runs, with their values.

    Those of the cell come with it, and do not count; nor do those under a key of `without`.
    """
    groups = [_values_seen(runs) for runs in (one, other)]
    found = {}
    for key in dict.fromkeys(key for seen in groups for key in seen):
        if affects_result(key) and not is_under(key, ("cell", "task.content", *without)):
            values = [seen.get(key, []) for seen in groups]
            if values[0] != values[1] and all(values):
                found[key] = (_few(values[0]), _few(values[1]))
    return found


def _values_seen(runs: Sequence[ReportRun]) -> dict[str, list[str]]:
    """Each setting's values over the runs, in order of their texts."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.config.items():
            found.setdefault(key, set()).add(format_value(value))
    return {key: sorted(values) for key, values in found.items()}


def _few(values: Sequence[str]) -> str:
    return ", ".join(values[:3]) + (", …" if len(values) > 3 else "")


def format_value(value: Any) -> str:
    """A value as on the command line. Equal values have equal texts: `0.001` for `1e-3` too."""
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
        number = int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        return value
    return format_value(number)
