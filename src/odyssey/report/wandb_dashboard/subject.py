"""What a dashboard shows: runs that may be compared, grouped into variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odyssey.config.seeds import without_seeds
from odyssey.errors import UserError, did_you_mean, options
from odyssey.report.io.run_files import as_mapping
from odyssey.report.io.wandb_project import ProjectRun, variant_of
from odyssey.report.palette import colour_of
from odyssey.study.formatting import words
from odyssey.study.state import read_study
from odyssey.study.store import StudyRecord
from odyssey.tasks.metric import Metric

CELL = "cell"
VARIANT = "search.variant"  # where W&B's config has all scientific parameters, as one string
ALWAYS_SHOWN = ("optimizer.lr", "model.hidden_size")  # settings shown, whatever was searched


@dataclass(frozen=True)
class Setting:
    """A setting that differs between runs, and whether its axis is logarithmic."""

    key: str  # as on the command line
    log: bool


@dataclass
class Subject:
    """Runs of one task, data set and metric: one view of the workspace, one part of the report."""

    study: str  # W&B's group; empty for all runs of the project
    task: str
    data: str
    data_hash: str
    metric: Metric
    levels: list[str]  # keys by which runs are grouped: CELL, scientific parameters, or VARIANT
    paths: dict[str, tuple[str, ...]]  # label of a variant -> its values of the levels
    settings: list[Setting]
    tested: bool  # whether there are test values of the metric
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # label -> runs by status
    labels: dict[str, str] = field(default_factory=dict)  # W&B's id of a run -> its label

    @property
    def title(self) -> str:
        """`greff: music on jsb`."""
        return f"{self.study or 'all runs'}: {self.task} on {self.data}"

    @property
    def better(self) -> str:
        """Which values of the metric are better: "lower" or "higher"."""
        return "higher" if self.metric.mode == "max" else "lower"

    def colour(self, label: str) -> str:
        """Colour of a variant, as on the page."""
        return colour_of(label, tuple(self.paths))


def read_folder(folder: Path) -> list[ProjectRun]:
    """The runs of a study's folder that have read their data, as `read_project` would have them."""
    study = read_study(folder)
    rows = {row.run: row for row in reversed(study.trials)}
    record = study.record or StudyRecord()
    plan = {"compare": record.compare, "space": record.space}
    found = []
    for run in study.runs.values():
        if run.record is not None and run.record.data is not None:
            row = rows.get(run.name)
            own: dict[str, Any] = {"status": run.state, "cell": run.cell, "task": run.task}
            found.append(
                ProjectRun(
                    name=run.name,
                    study=study.name,
                    record=replace(run.record, **own),
                    search={} if row is None else plan | {"variant": row.variant},
                )
            )
    return found


def make_subjects(
    runs: Sequence[ProjectRun], study: str, metric: str | None = None
) -> list[Subject]:
    """One for each task, data set and metric, in the order of the runs.

    metric: with or without `valid/` or `test/`; else the monitor of each.
    Raises UserError where no run has a validation value, or none has the metric asked for.
    """
    wanted = metric and metric.removeprefix("valid/").removeprefix("test/")
    groups: dict[tuple[str, str, str], list[ProjectRun]] = {}
    for run in runs:
        if (data := run.record.data) is not None:
            groups.setdefault((run.record.task, data.name, data.sha256), []).append(run)
    found, every = [], dict[str, None]()
    for key, members in groups.items():
        measured = {n.partition("/")[2]: None for run in members for n in run.record.metrics}
        every |= measured
        name = wanted or _monitor(members)
        if name in measured:
            found.append(_make_subject(study, key, name, members))
    if found:
        return found
    if wanted and every:
        raise UserError(
            f"--metric {metric} is not measured by these runs{did_you_mean(wanted, every)}: type "
            f"one of {options(every)}"
        )
    raise UserError("no run has ended with a result yet, so there is nothing to compare")


def _make_subject(
    study: str, key: tuple[str, str, str], metric: str, runs: Sequence[ProjectRun]
) -> Subject:
    levels = _levels(runs)
    found = Subject(
        study,
        *key,
        metric=_find_metric(metric, runs),
        levels=levels,
        paths={},
        settings=_settings(runs),
        tested=any(f"test/{metric}" in run.record.metrics for run in runs),
    )
    for run in runs:
        label, path = _variant_of(run, levels)
        found.paths.setdefault(label, path)
        found.counts.setdefault(label, Counter())[run.record.status] += 1
        if run.record.wandb is not None and run.record.wandb.id:
            found.labels[run.record.wandb.id] = label
    position = _plan_position(runs, levels)
    found.paths = dict(sorted(found.paths.items(), key=lambda entry: position(entry[1])))
    return found


def _find_metric(name: str, runs: Sequence[ProjectRun]) -> Metric:
    """Direction and label of a metric, from the first run that records them."""
    recording = [run for run in runs if name in run.record.metric_info]
    monitored = [r for r in runs if r.record.monitor is not None and r.record.monitor.name == name]
    for run in (*recording, *monitored):
        return run.record.metric(name)
    return Metric.unknown(name)


def _monitor(runs: Sequence[ProjectRun]) -> str:
    """The monitor of most runs; empty if none has one yet."""
    names = Counter(run.record.monitor.name for run in runs if run.record.monitor is not None)
    del names[""]
    return names.most_common(1)[0][0] if names else ""


def _compared_keys(runs: Iterable[ProjectRun]) -> list[str]:
    """Scientific parameters of the runs' studies."""
    keys = dict.fromkeys(key for run in runs for key in as_mapping(run.search.get("compare")))
    return list(keys)


def _plan_position(
    runs: Sequence[ProjectRun], levels: Sequence[str]
) -> Callable[[tuple[str, ...]], tuple[int, ...]]:
    """A sort key for variants, given their values of `levels`: where the study's plan has them.

    W&B has runs in the order in which they began.
    """
    compared: dict[str, list[str]] = {}
    for run in runs:
        for key, values in as_mapping(run.search.get("compare")).items():
            if isinstance(values, list):
                compared[key] = ["null" if value is None else str(value) for value in values]

    def position(path: tuple[str, ...]) -> tuple[int, ...]:
        given = dict(zip(levels, path, strict=True))
        return tuple(
            values.index(given[key]) if given[key] in values else len(values)
            for key, values in compared.items()
            if key in given
        )

    return position


def _levels(runs: Sequence[ProjectRun]) -> list[str]:
    """The cell and the other scientific parameters, or VARIANT where W&B cannot group by those.

    W&B groups by single values of the configuration; an entry such as `optimizer=adam,sgd` chose a
    file of it. Seeds do not tell variants apart.
    """
    compared = _compared_keys(runs)
    others = [k for k in without_seeds(compared) if k not in (CELL, "task", "task.data")]
    if any("," in key or "." not in key for key in others):
        return [VARIANT]
    return [CELL, *others] if CELL in compared or not others else others


def _variant_of(run: ProjectRun, levels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Label of the run's variant, as on the page, and its values of the levels, as W&B has them."""
    cell = run.record.cell
    variant = variant_of(run.search) or f"cell={cell}"
    if list(levels) == [VARIANT]:
        return _label(variant), (variant,)
    given = dict(word.partition("=")[::2] for word in words(variant)) | {CELL: cell}
    path = {key: given.get(key, "") for key in levels}
    label = " ".join(f"{key}={value}" for key, value in path.items() if value)
    return _label(label), tuple(path.values())


def _label(variant: str) -> str:
    return " ".join(word.removeprefix("cell=") for word in words(variant))


def _settings(runs: Sequence[ProjectRun]) -> list[Setting]:
    """Nuisance parameters, then numeric scientific ones, then those that are always shown."""
    space: dict[str, Any] = {}
    for run in runs:
        space |= as_mapping(run.search.get("space"))
    found = {
        key: Setting(key, as_mapping(described).get("distribution") == "log_uniform")
        for joined, described in space.items()
        for key in joined.split(",")
        if "." in key  # else the name of a file of the configuration
    }
    for level in _levels(runs):
        if level not in (CELL, VARIANT):
            found.setdefault(level, Setting(level, True))
    for key in ALWAYS_SHOWN:
        found.setdefault(key, Setting(key, True))
    return list(found.values())
