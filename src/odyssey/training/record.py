"""`run.json`: the record of a run, as one typed and versioned dataclass. Without torch.

It is written by `RunRecord.dump` and read by `RunRecord.load`, and nowhere else. Reading never
raises for a value: what has the wrong type is taken as not known, and is named by `odd`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from odyssey.tasks.metric import Metric
from odyssey.typed_json import check_schema, from_values, to_text, to_values

SCHEMA = 1  # raise it when a key changes its meaning; `load` refuses records of a later schema
ACCURACY, COMMONEST = "accuracy", "accuracy_common"  # metrics: a run's, the commonest class's
TEST_ITEMS = "test_items.npz"  # beside run.json: the test scores of each sequence
STATUSES = ("running", "finished", "diverged", "failed", "interrupted")
DONE = ("finished", "diverged")  # with a result; such a run is not trained again

Status = Literal["running", "finished", "diverged", "failed", "interrupted"]


class NoRecord(ValueError):
    """The text says nothing, as `null` does: there is no record."""


def no_better_than_commonest(metrics: Mapping[str, float]) -> bool | None:
    """Whether always answering the commonest class is at least as often right in the test.

    metrics: of a run, as `test/accuracy`. None where that is not known.
    """
    own, common = (metrics.get(f"test/{name}", math.nan) for name in (ACCURACY, COMMONEST))
    return None if math.isnan(own + common) else own <= common


@dataclass
class Data:
    """The data of a run: their name, and the SHA-256 (hex) of their content."""

    name: str = ""
    sha256: str = ""


@dataclass
class Seeds:
    """The seed of each kind of random choice; see odyssey.config.seeds."""

    init: int | None = None
    order: int | None = None
    split: int | None = None  # 0: the fixed split


@dataclass
class Monitor:
    """The metric whose best validation value chooses the checkpoint."""

    name: str = ""
    mode: Literal["min", "max"] = "min"


@dataclass
class MetricInfo:
    """What the task says of one of its metrics; see odyssey.tasks.metric.Metric."""

    mode: Literal["min", "max"] = "min"
    label: str = ""
    unit: str = ""


@dataclass
class Code:
    """The code that computed the numbers; see odyssey.code_hash."""

    sha256: str = ""
    torch: str = ""


@dataclass
class Commit:
    """The commit that the code is from; None outside a clone."""

    commit: str | None = None
    dirty: bool | None = None  # whether files differed from it


@dataclass
class WandbRun:
    """Where the run is at W&B."""

    id: str = ""
    dir: str | None = None  # of its last session
    url: str | None = None  # where it is online


@dataclass
class Continued:
    """The shorter run of the same settings that a run went on from; see odyssey.training.longer."""

    run: str = ""  # the name of its folder
    steps: int = 0  # its updates


@dataclass
class Start:
    """The run whose weights a run began with: `init_from`; see odyssey.training.start."""

    run: str = ""  # the name of its folder
    sha256: str = ""  # of its best checkpoint
    step: int = 0  # the update that this is of
    fresh: list[str] = field(default_factory=list)  # weights that did not fit, and begin anew


@dataclass
class RunRecord:
    """All that is known of a run, but for its settings (`config.yaml`) and its curves."""

    status: Status
    schema: int = SCHEMA
    config_hash: str = ""  # SHA-256 of what determines the result; see odyssey.config.identity
    cell: str = ""
    cell_source: str | None = None  # SHA-256 of the source of a user's own cell
    callback_sources: dict[str, str] = field(default_factory=dict)  # and of callbacks, by name
    part_sources: dict[str, str] = field(default_factory=dict)  # of other parts, by their keys
    task: str = ""
    data: Data | None = None  # None before they were read
    seed: int | None = None
    seeds: Seeds | None = None
    params: int | None = None  # trainable parameters
    metrics: dict[str, float] = field(default_factory=dict)  # best `valid/…`, its `test/…`
    metric_info: dict[str, MetricInfo] = field(default_factory=dict)  # by name, without `valid/`
    monitor: Monitor | None = None
    caveat: str = ""  # what a reader of the metrics must know
    untested: str = ""  # why there are no test metrics; empty where there are, or will be
    best_epoch: float | None = None
    best_step: int | None = None
    steps: int | None = 0  # updates done
    epochs: float | None = None
    seconds: float | None = 0.0  # in training, over all sessions
    clipped_share: float | None = None  # of the updates
    device: str | None = None
    backend: str | None = None  # what ran the cell
    loop: str | None = None  # what made the updates: compiled (in C), or lightning
    precision: str | None = None  # as trainer.precision
    versions: dict[str, str] | None = None
    code: Code | None = None
    git: Commit | None = None
    started: str = ""  # ISO 8601
    wandb: WandbRun | None = None
    continued: Continued | None = None  # None where it began at the first update
    start: Start | None = None  # None where it began with initial weights
    error: str | None = None
    odd: list[str] = field(default_factory=list, compare=False)  # keys of values not understood

    @property
    def done(self) -> bool:
        """Whether the run ended with a result; divergence is one."""
        return self.status in DONE

    def faults(self) -> str:
        """What no run writes so, in a few words; empty where all is well."""
        if self.odd:
            return f"a {self.odd[0]} that no run writes so"
        if self.status == "finished" and not self.metrics:
            return "a status of finished, and no metrics"
        return ""

    def sources(self) -> dict[str, str | None]:
        """The SHA-256 of the source of each of a user's own parts that make the model, by key."""
        return {"cell._target_": self.cell_source, **self.part_sources}

    def is_of(self, folder: str) -> bool:
        """Whether it may be the record of the run folder of that name.

        It is not where a hash at the end of the name is that of another configuration.
        """
        named = re.search(r"-([0-9a-f]{8})\Z", folder)
        return not (named and self.config_hash) or self.config_hash.startswith(named[1])

    def metric(self, name: str) -> Metric:
        """What the task said of a metric; the monitor's direction is known in any case."""
        found, info = Metric.unknown(name), self.metric_info.get(name)
        if info is not None:
            return Metric(name, info.mode, info.label or found.label, info.unit or found.unit)
        if self.monitor is not None and self.monitor.name == name:
            return Metric(name, self.monitor.mode, found.label, found.unit)
        return found

    def value(self, part: str = "valid") -> float:
        """The value of the monitor at the best checkpoint; nan where there is none."""
        name = self.monitor.name if self.monitor is not None else ""
        return self.metrics.get(f"{part}/{name}", math.nan)

    def no_better_than_commonest(self) -> bool | None:
        """See the function of that name."""
        return no_better_than_commonest(self.metrics)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as run.json has them; nan and inf by their names, which JSON lacks."""
        return to_values(self)

    def dump(self) -> str:
        """The text of run.json."""
        return to_text(self)

    @classmethod
    def load(cls, text: str) -> RunRecord:
        """A record from the text of run.json.

        Raises ValueError where it is not JSON, or not a record with a known status; NoRecord where
        it is null; LaterSchema where a later version wrote it.
        """
        try:
            return cls.from_dict(json.loads(text))
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @classmethod
    def from_dict(cls, values: Any) -> RunRecord:
        """A record from plain values. Raises as `load`."""
        if values is None:
            raise NoRecord("null")
        if not isinstance(values, Mapping) or values.get("status") not in STATUSES:
            raise ValueError("not the record of a run")
        check_schema(values, SCHEMA)
        record, odd = from_values(cls, values)
        record.odd = odd
        # A number that is there and not understood is not known to be zero.
        if "steps" in odd:
            record.steps = None
        if "seconds" in odd:
            record.seconds = None
        return record
