"""What a dashboard is about: runs that may be compared, and by what they are told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odyssey.errors import UserError, did_you_mean, options
from odyssey.report.analysis.outcomes import HIGHER
from odyssey.report.palette import colour_of
from odyssey.study.formatting import words
from odyssey.study.state import read_study

CELL = "cell"
ALWAYS_SHOWN = ("optimizer.lr", "model.hidden_size")  # looked at, whatever was searched


@dataclass(frozen=True)
class Setting:
    """A setting that differs between runs, and whether its axis is logarithmic."""

    key: str  # as on the command line
    log: bool


@dataclass
class Subject:
    """Runs of one task, data set and metric: one view of the workspace, a part of the report."""

    study: str  # W&B's group; empty for all runs of the project
    task: str
    data: str
    data_hash: str
    metric: str  # without `valid/`
    better: str  # "lower" or "higher"
    levels: list[str]  # what the runs are grouped by: "cell", a compared key, or "search.arm"
    paths: dict[str, tuple[str, ...]]  # a variant's label -> its values of the levels
    settings: list[Setting]
    tested: bool  # whether there are test values of the metric
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # label -> runs by status
    labels: dict[str, str] = field(default_factory=dict)  # W&B's id of a run -> its label

    @property
    def title(self) -> str:
        return f"{self.study or 'all runs'}: {self.task} on {self.data}"

    def colour(self, label: str) -> str:
        """Of a variant, as on the page."""
        return colour_of(label, tuple(self.paths))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The begun runs of a study's folder, as `read_project` would have them."""
    study = read_study(folder)
    trials = {row["run"]: row for row in reversed(study.trials)}
    shared = {key: study.definition.get(key) for key in ("compare", "space")}
    found = []
    for run in study.runs.values():
        if run.record is not None and run.record.data is not None:
            row = trials.get(run.name)
            search = {} if row is None else shared | {"arm": row["arm"]}
            own = {"status": run.state, "study": study.name, "name": run.name, "search": search}
            found.append(run.record.as_dict() | own | {"cell": run.cell, "task": run.task})
    return found


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a record; an empty one where somebody has edited it into something else."""
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def make_subjects(
    records: Sequence[Mapping[str, Any]], study: str, metric: str | None = None
) -> list[Subject]:
    """One for each task, data set and monitored metric, in the order of the runs.

    Raises UserError where no run has a validation value, or none has the metric asked for.
    """
    wanted = metric and metric.removeprefix("valid/").removeprefix("test/")
    parts: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        data = record["data"]
        key = (str(record["task"]), str(data.get("name")), str(data.get("sha256")))
        parts.setdefault(key, []).append(record)
    found, there = [], dict[str, None]()
    for key, runs in parts.items():
        measured = {n.partition("/")[2]: None for r in runs for n in _mapping(r, "metrics")}
        there |= measured
        name = wanted or _monitor(runs)
        if name in measured:
            found.append(_subject(study, key, name, runs))
    if found:
        return found
    if wanted and there:
        raise UserError(
            f"--metric {metric} is not measured by these runs{did_you_mean(wanted, there)}: type "
            f"one of {options(there)}"
        )
    raise UserError("no run has ended with a result yet, so there is nothing to compare")


def _subject(
    study: str, key: tuple[str, str, str], metric: str, runs: Sequence[Mapping[str, Any]]
) -> Subject:
    levels, settings = _levels(runs), _settings(runs)
    found = Subject(
        study,
        *key,
        metric,
        _better(metric, runs),
        levels,
        {},
        settings,
        any(f"test/{metric}" in _mapping(run, "metrics") for run in runs),
    )
    for run in runs:
        label, path = _variant_of(run, levels)
        found.paths.setdefault(label, path)
        found.counts.setdefault(label, Counter())[str(run["status"])] += 1
        if id := _mapping(run, "wandb").get("id"):
            found.labels[str(id)] = label
    order = _plan_order(runs, levels)
    found.paths = dict(sorted(found.paths.items(), key=lambda entry: order(entry[1])))
    return found


def _plan_order(
    runs: Sequence[Mapping[str, Any]], levels: Sequence[str]
) -> Callable[[tuple[str, ...]], tuple[int, ...]]:
    """Where a variant stands in its study's plan; W&B has runs in the order that they began."""
    compared: dict[str, list[str]] = {}
    for run in runs:
        for key, values in _mapping(_mapping(run, "search"), "compare").items():
            if isinstance(values, list):
                compared[key] = ["null" if value is None else str(value) for value in values]

    def place(path: tuple[str, ...]) -> tuple[int, ...]:
        at = dict(zip(levels, path, strict=True))
        return tuple(
            values.index(at[key]) if at[key] in values else len(values)
            for key, values in compared.items()
            if key in at
        )

    return place


def _levels(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cell and what else was compared; whole arms where W&B cannot group by the keys.

    W&B groups by single values of the configuration; an entry such as `optimizer=adam,sgd` chose a
    file of it. Seeds are no variants.
    """
    compared = dict.fromkeys(
        key for run in runs for key in _mapping(_mapping(run, "search"), "compare")
    )
    others = [key for key in compared if key not in (CELL, "seed", "task", "task.data")]
    if any("," in key or "." not in key for key in others):
        return ["search.arm"]
    return [CELL, *others] if CELL in compared or not others else others


def _variant_of(run: Mapping[str, Any], levels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Its label, as on the page, and its values of the levels, as W&B has them."""
    arm = str(_mapping(run, "search").get("arm") or f"cell={run['cell']}")
    if list(levels) == ["search.arm"]:
        return _label(arm), (arm,)
    given = dict(word.partition("=")[::2] for word in words(arm)) | {CELL: str(run["cell"])}
    path = {key: given.get(key, "") for key in levels}
    label = " ".join(f"{key}={value}" for key, value in path.items() if value)
    return _label(label), tuple(path.values())


def _label(arm: str) -> str:
    return " ".join(word.removeprefix("cell=") for word in words(arm))


def _settings(runs: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """What was searched or compared by a number, then what is always looked at."""
    space: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        space |= _mapping(_mapping(run, "search"), "space")
    found = {
        key: Setting(key, isinstance(how, Mapping) and how.get("distribution") == "log_uniform")
        for joined, how in space.items()
        for key in joined.split(",")
        if "." in key  # else the name of a file of the configuration
    }
    for level in _levels(runs):
        if level not in (CELL, "search.arm"):
            found.setdefault(level, Setting(level, True))
    for key in ALWAYS_SHOWN:
        found.setdefault(key, Setting(key, True))
    return list(found.values())


def _monitor(runs: Sequence[Mapping[str, Any]]) -> str:
    names = Counter(str(_mapping(r, "monitor").get("name") or "") for r in runs)
    del names[""]
    return names.most_common(1)[0][0] if names else ""


def _better(metric: str, runs: Sequence[Mapping[str, Any]]) -> str:
    for run in runs:
        monitor = _mapping(run, "monitor")
        if monitor.get("name") == metric:
            return "higher" if monitor.get("mode") == "max" else "lower"
    return "higher" if metric.lower().endswith(HIGHER) else "lower"
