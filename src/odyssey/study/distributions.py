"""A searched parameter: a number between 0 and 1 becomes a value, and that a word to type."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from odyssey.study.overrides import word

# The fields that each distribution has besides its name.
FIELDS = {
    "uniform": ("low", "high", "integer"),
    "log_uniform": ("low", "high", "integer"),
    "one_minus_log_uniform": ("low", "high"),
    "choice": ("values",),
}
DIGITS = 6  # significant ones of a real number, so that commands can be read and typed
STEPS = 2**53  # of a float from 0 to below 1


@dataclass(frozen=True)
class Parameter:
    """One searched key, or several whose values go together.

    keys: the keys that are set. distribution: uniform, log_uniform, one_minus_log_uniform
    (1 - x, with x log-uniform) or choice. low, high: the ends of the range (of x), both included.
    integer: whole numbers. values: of a choice, one tuple of a value for each key; equally likely.
    """

    keys: tuple[str, ...]
    distribution: str
    low: float | None = None
    high: float | None = None
    integer: bool = False
    values: tuple[tuple[Any, ...], ...] = ()

    @property
    def name(self) -> str:
        """The key as YAML has it: `optimizer.lr`, or `clip,clip.threshold`."""
        return ",".join(self.keys)

    def words(self, u: float) -> tuple[str, ...]:
        """The overrides at `u`, which is 0 or more and below 1; a uniform `u` draws from it."""
        return self.words_of(self.at(u))

    def words_of(self, values: tuple[Any, ...]) -> tuple[str, ...]:
        """The overrides that set these values, one for each key."""
        return tuple(word(key, value) for key, value in zip(self.keys, values, strict=True))

    def at(self, u: float) -> tuple[Any, ...]:
        """The values at `u`, one for each key.

        A real number has 6 significant digits (of 1 - x, x has them) and is from low to high.
        """
        if not 0 <= u < 1:
            raise ValueError(f"u is {u}: it must be from 0 to below 1")
        if self.distribution == "choice":
            return self.near(_share(u, len(self.values)))
        assert self.low is not None and self.high is not None
        if self.distribution == "uniform":
            if self.integer:
                low = int(self.low)
                return self.near(low + _share(u, int(self.high) - low + 1))
            return self.near(self.low * (1 - u) + self.high * u)
        if self.integer:
            return self.near(math.floor(_between_logs(u, self.low, self.high + 1)))
        return self.near(_between_logs(u, self.low, self.high))

    def near(self, x: float) -> tuple[Any, ...]:
        """The values, one for each key, that `x` stands for: in its digits, from low to high.

        Of a choice, `x` is the place among its values, from 0.
        """
        if self.distribution == "choice":
            return self.values[int(x)]
        assert self.low is not None and self.high is not None
        if self.integer:
            return (int(min(max(x, self.low), self.high)),)
        x = _rounded(x, self.low, self.high)
        if self.distribution == "one_minus_log_uniform":
            # In decimals, since 1 - 0.0123457 has no such short form as a float.
            return (float(1 - Decimal(repr(x))),)
        return (x,)

    def describe(self) -> dict[str, Any]:
        """The distribution as YAML and JSON have it; parse_space({name: …}) gives it back."""
        found: dict[str, Any] = {"distribution": self.distribution}
        if self.distribution == "choice":
            values = [_thawed(v) for v in self.values]
            return found | {"values": values if len(self.keys) > 1 else [v[0] for v in values]}
        found |= {"low": self.low, "high": self.high}
        return found | {"integer": True} if self.integer else found


def _share(u: float, parts: int) -> int:
    """In which of so many equal parts `u` is; in whole numbers, which no rounding spoils."""
    return int(u * STEPS) * parts // STEPS


def _between_logs(u: float, low: float, high: float) -> float:
    return math.exp(math.log(low) * (1 - u) + math.log(high) * u)


def _rounded(x: float, low: float, high: float) -> float:
    # + 0.0 makes 0.0 of -0.0.
    return min(max(float(f"{x:.{DIGITS}g}"), low), high) + 0.0


def _thawed(value: Any) -> Any:
    return [_thawed(v) for v in value] if isinstance(value, tuple) else value
