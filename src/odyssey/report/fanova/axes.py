"""Searched parameters as coordinates from 0 to 1, on the scale on which they were drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from odyssey.errors import UserError, options

Floats = NDArray[np.float64]
KINDS = {
    "uniform": "linear",
    "log_uniform": "log",
    "one_minus_log_uniform": "one_minus_log",
    "choice": "choice",
}
LOG_RATIO = 20  # largest to smallest value from which unplanned numbers are taken as logarithmic


@dataclass(frozen=True)
class Axis:
    """A parameter with a coordinate under which its distribution is uniform from 0 to 1.

    name: as in a study's plan: `optimizer.lr`, or `clip,clip.threshold` for keys set together.
    kind: linear, log, one_minus_log (1 - x, with x on a log scale) or choice.
    low, high: smallest and largest value; of x in one_minus_log; unused in a choice.
    choices: the values of a choice, equally likely.
    integer: whether all values are whole numbers.

    Each whole number or choice has an interval of coordinates as wide as its probability, and the
    middle of that as its coordinate.
    """

    name: str
    kind: str
    low: float = math.nan
    high: float = math.nan
    choices: tuple[Any, ...] = ()
    integer: bool = False

    @property
    def discrete(self) -> bool:
        """Whether there is a finite number of values."""
        return self.integer or self.kind == "choice"

    @property
    def size(self) -> int | None:
        """Number of values; None for a continuous axis."""
        if self.kind == "choice":
            return len(self.choices)
        return int(self.high) - int(self.low) + 1 if self.integer else None

    def value_in(self, point: Mapping[str, Any]) -> Any:
        """The value in a configuration; a tuple for several keys; nan for a key that is missing."""
        if self.name in point:
            return point[self.name]
        values = tuple(point.get(key, math.nan) for key in self.name.split(","))
        return values if len(values) > 1 else values[0]

    def to_unit(self, values: Iterable[Any]) -> NDArray[np.float64]:
        """The coordinate of each value, growing with it; outside [0, 1] for those out of range.

        It is nan for values of another type, numbers that are not finite or have no logarithm, and
        what is not among the choices.
        """
        if self.kind == "choice":
            places = {_choice_key(choice): float(i) for i, choice in enumerate(self.choices)}
            x = np.array([places.get(_choice_key(v), math.nan) for v in values], dtype=float)
        else:
            x = np.array([_finite_or_nan(v) for v in values], dtype=float)
        if self.kind == "one_minus_log":
            return 1 - self._edge(1 - x)
        return (self._edge(x) + self._edge(x + 1)) / 2 if self.discrete else self._edge(x)

    def from_unit(self, u: ArrayLike) -> list[Any]:
        """The value at each coordinate; coordinates are clipped to [0, 1]."""
        inside = np.clip(np.atleast_1d(np.asarray(u, dtype=float)), 0, 1)
        if self.kind == "one_minus_log":
            return (1 - self._inverse(1 - inside)).tolist()
        x = self._inverse(inside)
        if not self.discrete:
            return x.tolist()
        low, high = self._ends
        places = np.clip(np.floor(x), low, high).astype(int).tolist()
        return [self.choices[i] for i in places] if self.kind == "choice" else places

    def snap(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of the axis at or below each threshold.

        On a discrete axis the interval of a value is included as a whole if its middle is.
        """
        if self.discrete:
            inside = np.clip(thresholds, 0, 1)
            place = np.floor(self._inverse(inside))
            # Trees compare in single precision, which matters where a threshold is at a middle.
            middle = ((self._edge(place) + self._edge(place + 1)) / 2).astype(np.float32)
            thresholds = np.where(middle <= inside, self._edge(place + 1), self._edge(place))
        return np.clip(thresholds, 0.0, 1.0)

    @property
    def _ends(self) -> tuple[float, float]:
        return (0, len(self.choices) - 1) if self.kind == "choice" else (self.low, self.high)

    def _warp(self, x: ArrayLike) -> NDArray[np.float64]:
        x = np.asarray(x, dtype=float)
        if self.kind not in ("log", "one_minus_log"):
            return x
        return np.log(np.where(x > 0, x, np.nan))

    def _range(self) -> tuple[float, float]:
        """The warped ends; a discrete axis ends with the interval of its last value."""
        low, high = self._ends
        return float(self._warp(low)), float(self._warp(high + 1 if self.discrete else high))

    def _edge(self, x: ArrayLike) -> NDArray[np.float64]:
        low, high = self._range()
        if low == high:
            return np.where(np.isnan(x), np.nan, 0.5)
        return (self._warp(x) - low) / (high - low)

    def _inverse(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = self._range()
        warped = low * (1 - u) + high * u
        x = np.exp(warped) if self.kind in ("log", "one_minus_log") else warped
        first, last = self._ends
        return np.clip(x, first, last + 1 if self.discrete else last)


def axis_from_description(name: str, description: Mapping[str, Any]) -> Axis:
    """The axis of a searched parameter from its distribution in study.json.

    Raises UserError if that is not a valid one.
    """
    kind = KINDS.get(str(description.get("distribution")))
    if kind is None:
        raise UserError(
            f"study.json has distribution={description.get('distribution')} for {name}, "
            f"which is unknown: type one of {options(KINDS)}"
        )
    if kind == "choice":
        values = description.get("values")
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise UserError(f"study.json has values={values} for {name}: type a list as in [a, b]")
        return Axis(name, kind, choices=tuple(_hashable(v) for v in values))
    low, high = _finite_or_nan(description.get("low")), _finite_or_nan(description.get("high"))
    if not low <= high or (kind != "linear" and low <= 0):
        raise UserError(
            f"study.json has low={description.get('low')} and high={description.get('high')} for "
            f"{name}: type two numbers{'' if kind == 'linear' else ' above 0'}, the smaller as low"
        )
    return Axis(name, kind, low, high, integer=description.get("integer") is True)


def axis_from_values(name: str, values: Iterable[Any]) -> Axis:
    """An axis guessed from values whose distribution is not known.

    Numbers get their own range, on a log scale if all are positive and the largest is more than
    20 times the smallest. Anything else is a choice of the values, in order of appearance.
    """
    values = [_hashable(v) for v in values]
    numbers = [_finite_or_nan(v) for v in values]
    if not values or any(math.isnan(x) for x in numbers):
        choices: dict[Any, Any] = {}
        for value in values:
            choices.setdefault(_choice_key(value), value)
        return Axis(name, "choice", choices=tuple(choices.values()))
    low, high = min(numbers), max(numbers)
    whole = all(isinstance(v, (int, np.integer)) for v in values)
    return Axis(
        name, "log" if low > 0 and high / low > LOG_RATIO else "linear", low, high, (), whole
    )


def _finite_or_nan(value: Any) -> float:
    """A finite number as a float, else nan."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return math.nan
    try:
        x = float(value)
    except (OverflowError, TypeError):
        return math.nan
    return x if math.isfinite(x) else math.nan


def _hashable(value: Any) -> Any:
    return tuple(_hashable(v) for v in value) if isinstance(value, (list, tuple)) else value


def _choice_key(value: Any) -> Any:
    """A key that is equal for equal values of a choice: 1 and 1.0, but not True or '1'."""
    if isinstance(value, (list, tuple)):
        return tuple(_choice_key(v) for v in value)
    if isinstance(value, (bool, np.bool_)):
        return "bool", bool(value)
    if not math.isnan(x := _finite_or_nan(value)):
        return "number", x
    return type(value).__name__, str(value)


ROUNDING = 1e-4  # tolerance of coordinates, since values are written with a few digits


@dataclass(frozen=True)
class Points:
    """Different configurations and the mean outcome of each.

    axes: those that vary, with choices ordered by mean outcome, and without choices that no point
        has.
    ordered: the same axes, with choices in their given order.
    unit: coordinates, (configurations, axes).
    outcome: (configurations,).
    used: number of points that are included.
    notes: what is left out.
    """

    axes: tuple[Axis, ...]
    ordered: tuple[Axis, ...]
    unit: Floats
    outcome: Floats
    used: int
    notes: tuple[str, ...]


def read_points(
    axes: Sequence[Axis], points: Sequence[Mapping[str, Any]], outcome: Floats
) -> Points:
    """Points as a forest needs them. points: configurations; outcome: of each, finite."""
    notes: list[str] = []
    values = [[axis.value_in(point) for point in points] for axis in axes]
    unit = np.array([a.to_unit(v) for a, v in zip(axes, values, strict=True)])
    unit = unit.reshape(len(axes), len(points))
    inside = (unit >= -ROUNDING) & (unit <= 1 + ROUNDING)  # nan is not
    good = np.atleast_1d(inside.all(axis=0))
    if not good.all():
        lost = [axis.name for axis, held in zip(axes, inside, strict=True) if not held.all()]
        notes.append(
            f"{(~good).sum()} of {len(points)} points are left out: there {', '.join(lost)} has "
            "no value, or one that was not searched"
        )
    y = outcome[good]
    used, ordered, columns = [], [], []
    for axis, given, u in zip(axes, values, unit, strict=True):
        u = u[good]
        if not len(u):
            continue
        if np.ptp(u) == 0:
            notes.append(f"there is only one value of {axis.name}")
            continue
        ranked = axis
        if axis.kind == "choice":
            axis, ranked = _order_by_mean(axis, u, y, notes)
            u = ranked.to_unit(value for value, kept in zip(given, good, strict=True) if kept)
        ordered.append(axis)
        used.append(ranked)
        columns.append(u)
    rows = np.array(columns).reshape(len(used), len(y)).T
    merged, mean = _merge_equal(rows, y)
    if len(mean) < len(y) and used:
        notes.append(f"{len(y)} points are {len(mean)} configurations, each with its mean outcome")
    return Points(tuple(used), tuple(ordered), merged, mean, len(y), tuple(notes))


def _order_by_mean(
    axis: Axis, unit: Floats, outcome: Floats, notes: list[str]
) -> tuple[Axis, Axis]:
    """A choice without values that no point has: in the given order, and by mean outcome.

    The best split of the values into two groups is one in the latter order (W. D. Fisher, "On
    grouping for maximum homogeneity", Journal of the American Statistical Association 53, 1958).
    """
    places = np.floor(unit * len(axis.choices)).astype(int)
    means = {int(i): outcome[places == i].mean() for i in np.unique(places)}
    if unseen := [str(c) for i, c in enumerate(axis.choices) if i not in means]:
        notes.append(f"no point has {axis.name}={', '.join(unseen)}, which the shares leave out")
    ranked = sorted(means, key=lambda i: means[i])
    return (
        replace(axis, choices=tuple(axis.choices[i] for i in sorted(means))),
        replace(axis, choices=tuple(axis.choices[i] for i in ranked)),
    )


def _merge_equal(unit: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """One row for each configuration, in order of appearance."""
    if not len(outcome):
        return unit, outcome
    _, first, which = np.unique(unit, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    mean = np.bincount(which, outcome) / np.bincount(which)
    order = np.argsort(first)
    return unit[first[order]], mean[order]
