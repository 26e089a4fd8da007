"""Small checks of one value each. Every one gives no, or one, sentence for the user."""

from __future__ import annotations

import math
from collections.abc import Collection

from odyssey.errors import did_you_mean, options


def at_least(option: str, value: float | None, low: float) -> list[str]:
    """`value` is `low` or more, and finite; None passes."""
    if value is None or (value >= low and math.isfinite(value)):
        return []
    return [f"{option}={value} is out of range: type a number of {low} or more"]


def above(option: str, value: float | None, low: float) -> list[str]:
    """`value` is more than `low`, and finite; None passes."""
    if value is None or (value > low and math.isfinite(value)):
        return []
    return [f"{option}={value} is out of range: type a number above {low}"]


def one_of(option: str, value: str, names: Collection[str]) -> list[str]:
    """`value` is one of `names`."""
    if value in names:
        return []
    return [
        f"{option}={value} is unknown{did_you_mean(value, names)}: type one of {options(names)}"
    ]
