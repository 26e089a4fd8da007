"""`run.json`: the record of a run, as one typed and versioned dataclass. Without torch.

It is written by `RunRecord.dump` and read by `RunRecord.load`, and nowhere else. Reading never
raises for a value: what has the wrong type is taken as not known, and is named by `odd`.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from odyssey.tasks.metric import Metric

SCHEMA = 1  # raise it when a key changes its meaning; `load` refuses records of a later schema
LARGEST = 2**53  # a count beyond it is a damaged one, and no float has it exactly
STATUSES = ("running", "finished", "diverged", "failed", "interrupted")
DONE = ("finished", "diverged")  # with a result; such a run is not trained again

Status = Literal["running", "finished", "diverged", "failed", "interrupted"]


class LaterSchema(ValueError):
    """The record was written by a later version of Odyssey."""


@dataclass
class Data:
    """The data of a run: their name, and the SHA-256 (hex) of their content."""

    name: str = ""
    sha256: str = ""


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
class RunRecord:
    """All that is known of a run, but for its settings (`config.yaml`) and its curves."""

    status: Status
    schema: int = SCHEMA
    config_hash: str = ""  # SHA-256 of what determines the result; see odyssey.config.identity
    cell: str = ""
    cell_source: str | None = None  # SHA-256 of the source of a user's own cell
    callback_sources: dict[str, str] = field(default_factory=dict)  # and of callbacks, by name
    task: str = ""
    data: Data | None = None  # None before they were read
    seed: int | None = None
    params: int | None = None  # trainable parameters
    metrics: dict[str, float] = field(default_factory=dict)  # best `valid/…`, its `test/…`
    metric_info: dict[str, MetricInfo] = field(default_factory=dict)  # by name, without `valid/`
    monitor: Monitor | None = None
    best_epoch: float | None = None
    best_step: int | None = None
    steps: int | None = 0  # updates done
    epochs: float | None = None
    seconds: float | None = 0.0  # in training, over all sessions
    clipped_share: float | None = None  # of the updates
    device: str | None = None
    backend: str | None = None  # what ran the cell
    precision: str | None = None  # as trainer.precision
    versions: dict[str, str] | None = None
    code: Code | None = None
    git: Commit | None = None
    started: str = ""  # ISO 8601
    wandb: WandbRun | None = None
    error: str | None = None
    odd: list[str] = field(default_factory=list, compare=False)  # keys of values not understood

    @property
    def done(self) -> bool:
        """Whether the run ended with a result; divergence is one."""
        return self.status in DONE

    def metric(self, name: str) -> Metric:
        """What the task said of a metric; the monitor's direction is known in any case."""
        info = self.metric_info.get(name)
        if info is not None:
            return Metric(name, info.mode, info.label, info.unit)
        found = Metric.unknown(name)
        if self.monitor is not None and self.monitor.name == name:
            return Metric(name, self.monitor.mode, found.label, found.unit)
        return found

    def value(self, part: str = "valid") -> float:
        """The value of the monitor at the best checkpoint; nan where there is none."""
        name = self.monitor.name if self.monitor is not None else ""
        return self.metrics.get(f"{part}/{name}", math.nan)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as run.json has them; nan and inf by their names, which JSON lacks."""
        return _plain(self)

    def dump(self) -> str:
        """The text of run.json."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def load(cls, text: str) -> RunRecord:
        """A record from the text of run.json.

        Raises ValueError where it is not JSON, or not a record with a known status; LaterSchema
        where a later version wrote it.
        """
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Any) -> RunRecord:
        """A record from plain values. Raises as `load`."""
        if not isinstance(values, Mapping) or values.get("status") not in STATUSES:
            raise ValueError("not the record of a run")
        schema = values.get("schema", SCHEMA)
        if not isinstance(schema, int) or schema > SCHEMA:
            raise LaterSchema(f"schema {schema}, and this version knows {SCHEMA}")
        odd: list[str] = []
        record = _read(cls, values, "", odd)
        record.odd = odd
        return record


# A function that makes a value of JSON one of the type that a dataclass has for it. It gets the
# value, its key for `odd`, and `odd`; it raises TypeError, ValueError or OverflowError.
_Reader = Callable[[Any, str, list[str]], Any]


def _read(kind: type, values: Mapping[str, Any], before: str, odd: list[str]) -> Any:
    """A dataclass from a mapping; what is missing or odd gets its default, or None.

    before: the key of the mapping itself, with a dot.
    """
    found = {}
    for name, exact, optional, reader in _readers(kind):
        if name in values:
            value = values[name]
            if value.__class__ is exact or (optional and value is None):  # most of them
                found[name] = value
                continue
            try:
                found[name] = reader(value, f"{before}{name}", odd)
            except (TypeError, ValueError, OverflowError):
                odd.append(f"{before}{name}")
    if kind is RunRecord:  # a number that is there and not understood is not known to be zero
        found |= {name: None for name in ("steps", "seconds") if name in odd}
    return kind(**found)


@cache
def _readers(kind: type) -> tuple[tuple[str, type | None, bool, _Reader], ...]:
    """The fields of a dataclass that are read, made once: a study has thousands of records.

    Of each its name, the type whose values are taken as they are, whether None is too, and what
    reads any other value.
    """
    found = []
    for name, hint in get_type_hints(kind).items():
        optional = get_origin(hint) in (Union, types.UnionType)
        inner = get_args(hint)[0] if optional else hint
        exact = inner if inner in (str, float, bool) else None
        if name != "odd":
            found.append((name, exact, optional, _reader(inner)))
    return tuple(found)


def _reader(hint: Any) -> _Reader:
    """What reads a value of the type `hint`."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return lambda value, name, odd: args[args.index(value)]
    if origin is dict:
        return _dict_reader(_reader(args[1]))
    if hint is float:
        return lambda value, name, odd: as_float(value, strict=True)
    if hint in (int, str, bool):
        return lambda value, name, odd: _of_type(hint, value)
    return lambda value, name, odd: _read(hint, _mapping(value), f"{name}.", odd)


def _dict_reader(inner: _Reader) -> _Reader:
    """What reads each value of a table by `inner`, and leaves out those that are odd."""

    def read(value: Any, name: str, odd: list[str]) -> dict[str, Any]:
        found = {}
        for key, item in _mapping(value).items():
            try:
                found[str(key)] = inner(item, f"{name}.{key}", odd)
            except (TypeError, ValueError, OverflowError):
                odd.append(f"{name}.{key}")
        return found

    return read


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, (dict, Mapping)):
        raise TypeError(value)
    return value


def _of_type(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise OverflowError(value)
    return value


def as_float(value: Any, *, strict: bool = False) -> float:
    """A number of run.json or W&B, which have nan and inf by their names.

    strict: whether to raise TypeError or ValueError for what is none; otherwise that is nan.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError(value)
        if isinstance(value, str) and value.lower().lstrip("+-") not in ("nan", "inf", "infinity"):
            raise ValueError(value)
        return float(value)
    except (TypeError, ValueError, OverflowError):
        if strict:
            raise
        return math.nan


def _plain(value: Any) -> Any:
    """As JSON has it: dataclasses as tables, and numbers that are not finite as their names."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return {name: _plain(getattr(value, name)) for name, *_ in _readers(value.__class__)}
