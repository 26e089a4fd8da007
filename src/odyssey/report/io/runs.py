"""The runs and studies of a report as plain data, whether they come from folders or from W&B."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.config.seeds import Seeds
from odyssey.study.analysis_plan import AnalysisPlan
from odyssey.tasks.metric import Metric

Series = tuple[list[float], list[float]]  # steps (updates done) and values


@dataclass(frozen=True)
class ReportRun:
    """One run: its configuration, its results and where they come from.

    What is not known is empty, nan or None.
    """

    study: str
    name: str
    state: str  # one of odyssey.study.state.STATES
    cell: str = ""
    task: str = ""
    data: str = ""  # name of the data
    data_hash: str = ""  # SHA-256 of their content
    cell_source: str = ""  # SHA-256 of the source of a user's own cell
    seed: int | None = None
    seeds: Seeds | None = None  # of its weights, training and split; None: all follow `seed`
    params: int | None = None  # number of trainable parameters
    monitor: str = ""  # metric that chose the checkpoint, without `valid/`
    mode: str = "min"  # direction of the monitor: "min" or "max"
    metrics: Mapping[str, float] = field(default_factory=dict)  # `valid/…` and `test/…`
    measures: Mapping[str, Metric] = field(default_factory=dict)  # by name, as the task declares
    config: Mapping[str, Any] = field(default_factory=dict)  # flat keys, as on the command line
    compared: Mapping[str, str] = field(default_factory=dict)  # scientific parameters -> values
    trial: int | None = None  # None for a run outside the study's plan
    caveat: str = ""  # what a reader of its metrics must know
    untested: str = ""  # why it has no test metrics; empty where it has, or should have
    seconds: float = math.nan  # time in training
    steps: int | None = None  # updates done
    epochs: float = math.nan
    best_step: int | None = None  # update of the best checkpoint
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    code: str = ""  # hash of the code that computes numbers
    commit: str = ""  # of git, followed by + where files differed from it
    started: str = ""  # ISO 8601
    error: str = ""
    command: str = ""  # repeats this run alone
    path: str = ""  # run folder, or address at W&B
    curves: Mapping[str, Series] = field(default_factory=dict)  # a few dozen points each

    @property
    def done(self) -> bool:
        """Whether the run ended with a result; divergence is one."""
        return self.state in ("finished", "diverged")

    @property
    def drawn_from(self) -> Seeds:
        """The seeds of the run: equal in runs of two configurations that are a pair."""
        return self.seeds or Seeds(self.seed or 0, self.seed or 0)

    def value(self, metric: str, part: str = "valid") -> float:
        """Value of a metric (`nats_per_frame`) at the best checkpoint; nan if there is none."""
        return float(self.metrics.get(f"{part}/{metric}", math.nan))


@dataclass(frozen=True)
class ReportStudy:
    """Plan of a study, from study.json; empty where there is none."""

    name: str
    path: str = ""
    compare: Mapping[str, list[Any]] = field(default_factory=dict)  # scientific: key -> values
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # nuisance: distributions
    fixed: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = None  # of each variant
    sampler: str = ""
    draws: str = ""  # "shared": trial n of all variants has the same settings; or "independent"
    seed: int | None = None  # of the sampler
    commands: tuple[Mapping[str, str], ...] = ()  # {"time": …, "command": …}
    notes: tuple[str, ...] = ()  # sentences on files that could not be read
    planned: int = 0  # number of runs in the plan
    confirms: str = ""  # the search whose best settings it repeats with fresh seeds
    confirmed: str = ""  # of a search: the study that repeats its best settings
    to_come: int = 0  # trials that an adaptive search has yet to propose
    plan: AnalysisPlan | None = None  # of the analysis
    dropped: tuple[str, ...] = ()  # what was left out of it, in words


@dataclass
class Collection:
    """All studies and runs that were read for one report."""

    studies: list[ReportStudy] = field(default_factory=list)
    runs: list[ReportRun] = field(default_factory=list)


def find_metric(runs: Iterable[ReportRun], name: str) -> Metric:
    """Direction, label and unit of the metric `name` (without `valid/`) in some runs.

    They are those that the first run which records them has. Runs of earlier versions record only
    the direction of their monitor; anything else is then taken from `Metric.unknown`.
    """
    mode = None
    for run in runs:
        if name in run.measures:
            return run.measures[name]
        if mode is None and run.monitor == name:
            mode = run.mode
    unknown = Metric.unknown(name)
    return replace(unknown, mode="max") if mode == "max" else unknown
