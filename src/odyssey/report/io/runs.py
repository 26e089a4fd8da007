"""One run as the report sees it, wherever it was read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Series = tuple[list[float], list[float]]  # steps (updates done), values


@dataclass(frozen=True)
class ReportRun:
    """One run: what it was asked to do, and what came of it."""

    study: str
    name: str
    state: str  # one of odyssey.study.state.STATES
    cell: str = ""
    task: str = ""
    data: str = ""
    data_hash: str = ""  # SHA-256 of the data
    seed: int | None = None
    params: int | None = None  # trainable parameters
    monitor: str = ""  # the metric that chose the checkpoint, without `valid/`
    mode: str = "min"  # "min" where a smaller value of the monitor is better, else "max"
    metrics: Mapping[str, float] = field(default_factory=dict)  # `valid/…` and `test/…`
    config: Mapping[str, Any] = field(default_factory=dict)  # flat keys, as on the command line
    compared: Mapping[str, str] = field(default_factory=dict)  # what tells the arm: {"cell": "gru"}
    trial: int | None = None
    seconds: float = math.nan  # in training
    steps: int | None = None
    epochs: float = math.nan
    best_step: int | None = None
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    code: str = ""  # hash of the sources that compute numbers
    commit: str = ""  # of git; with a + where files had changed
    started: str = ""
    error: str = ""
    command: str = ""  # repeats this run alone
    path: str = ""  # of its folder, or its address at W&B
    curves: Mapping[str, Series] = field(default_factory=dict)  # thinned

    @property
    def done(self) -> bool:
        """Whether it ended with a result; divergence is one."""
        return self.state in ("finished", "diverged")

    def value(self, metric: str, part: str = "valid") -> float:
        """Its value of a metric (`nats_per_frame`), nan where there is none."""
        return float(self.metrics.get(f"{part}/{metric}", math.nan))


@dataclass(frozen=True)
class ReportStudy:
    """What a study was meant to be, from study.json; empty where there is none."""

    name: str
    path: str = ""
    compare: Mapping[str, list[Any]] = field(default_factory=dict)
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # key -> distribution
    fixed: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = None
    sampler: str = ""
    draws: str = ""  # "shared": trial n of all arms has the same settings; else "independent"
    seed: int | None = None
    commands: tuple[Mapping[str, str], ...] = ()  # {"time": …, "command": …}
    notes: tuple[str, ...] = ()  # what could not be read
    planned: int = 0  # runs in the plan
    to_come: int = 0  # trials of an adaptive search that it has yet to propose


@dataclass
class Collection:
    """All that was read."""

    studies: list[ReportStudy] = field(default_factory=list)
    runs: list[ReportRun] = field(default_factory=list)
