"""Fields of the configuration's schema, and checks of their values.

A check returns a list with no sentence or with one, in the form `option=value is …: type …`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import field
from typing import Any

from odyssey.errors import did_you_mean, options

MOST = 10**9  # largest count accepted: more is a typing error


def key(default: Any, help: str, *, neutral: bool = False, place: bool = False) -> Any:
    """A dataclass field of the schema.

    default: the default value, or a callable that makes it
    help: the sentence that `--help` prints
    neutral: whether no value of it changes what a run computes; see odyssey.config.identity
    place: whether it says where something lies whose content changes what a run computes
    """
    metadata = {"help": help, "neutral": neutral, "place": place}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def as_typed(value: Any) -> str:
    """A value as on the command line: null, true, 1 for 1.0, [0.9,0.1]."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(as_typed(v) for v in value) + "]"
    return str(value)


def at_least(option: str, value: float | None, low: float, high: int = MOST) -> list[str]:
    """`value` is `low` or more, and no more than `high`; None passes."""
    if value is None or low <= value <= high:
        return []
    much = value > high  # say how much is too much only to those who passed it
    wanted = f"from {low} to {high}" if much else f"of {low} or more"
    return [f"{option}={as_typed(value)} is out of range: type a number {wanted}"]


def above(option: str, value: float | None, low: float) -> list[str]:
    """`value` is more than `low`, and finite; None passes."""
    if value is None or (value > low and math.isfinite(value)):
        return []
    return [f"{option}={as_typed(value)} is out of range: type a number above {low}"]


def between(option: str, value: float | None, low: float, high: float) -> list[str]:
    """`value` is `low`, `high`, or in between; None passes."""
    if value is None or low <= value <= high:
        return []
    return [f"{option}={as_typed(value)} is out of range: type a number from {low} to {high}"]


def above_up_to(option: str, value: float | None, low: float, high: float) -> list[str]:
    """`value` is more than `low`, and `high` or less; None passes."""
    if value is None or low < value <= high:
        return []
    return [f"{option}={as_typed(value)} is out of range: type a number above {low}, up to {high}"]


def below_one(option: str, value: float | None) -> list[str]:
    """`value` is 0 or more and less than 1; None passes."""
    if value is None or 0 <= value < 1:
        return []
    return [f"{option}={as_typed(value)} is out of range: type a number from 0 to below 1"]


def finite(option: str, value: float | None) -> list[str]:
    """`value` is a number, and not an infinite one; None passes."""
    if value is None or math.isfinite(value):
        return []
    return [f"{option}={as_typed(value)} is out of range: type a finite number"]


def one_of(option: str, value: str | None, names: Collection[str]) -> list[str]:
    """`value` is one of `names`; None passes."""
    if value is None or value in names:
        return []
    if not names:
        return [f"{option}={value} is unknown: leave it out, since there is none yet"]
    return [
        f"{option}={value} is unknown{did_you_mean(value, names)}: type one of {options(names)}"
    ]
