"""Small checks of one value each. Every one gives no, or one, sentence for the user.

All sentences about the configuration have one form: `option=value is …: type …`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from odyssey.errors import did_you_mean, options

MOST = 10**9  # of anything that is counted: more is a slip of the finger


def shown(value: Any) -> str:
    """A value as one types it: null, true, 1 for 1.0, [0.9,0.1]."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(shown(v) for v in value) + "]"
    return str(value)


def at_least(option: str, value: float | None, low: float) -> list[str]:
    """`value` is `low` or more, and no more than MOST; None passes."""
    if value is None or low <= value <= MOST:
        return []
    much = value > MOST  # say how much is too much only to those who passed it
    wanted = f"from {low} to {MOST}" if much else f"of {low} or more"
    return [f"{option}={shown(value)} is out of range: type a number {wanted}"]


def above(option: str, value: float | None, low: float) -> list[str]:
    """`value` is more than `low`, and finite; None passes."""
    if value is None or (value > low and math.isfinite(value)):
        return []
    return [f"{option}={shown(value)} is out of range: type a number above {low}"]


def between(option: str, value: float | None, low: float, high: float) -> list[str]:
    """`value` is `low`, `high`, or in between; None passes."""
    if value is None or low <= value <= high:
        return []
    return [f"{option}={shown(value)} is out of range: type a number from {low} to {high}"]


def below_one(option: str, value: float | None) -> list[str]:
    """`value` is 0 or more and less than 1; None passes."""
    if value is None or 0 <= value < 1:
        return []
    return [f"{option}={shown(value)} is out of range: type a number from 0 to below 1"]


def finite(option: str, value: float | None) -> list[str]:
    """`value` is a number, and not an infinite one; None passes."""
    if value is None or math.isfinite(value):
        return []
    return [f"{option}={shown(value)} is out of range: type a finite number"]


def one_of(option: str, value: str | None, names: Collection[str]) -> list[str]:
    """`value` is one of `names`; None passes."""
    if value is None or value in names:
        return []
    if not names:
        return [f"{option}={value} is unknown: leave it out, since there is none yet"]
    return [
        f"{option}={value} is unknown{did_you_mean(value, names)}: type one of {options(names)}"
    ]
