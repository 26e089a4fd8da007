"""The values of a setting as places along an axis: logarithmic where they were searched so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.analysis.names import axis_of_setting
from odyssey.report.fanova.axes import Axis
from odyssey.report.figures.lines import Scale
from odyssey.report.io.runs import Run

# Values of a setting such as momentum, of which 1 - x is on a log scale, to be named at its axis.
NEAR_ONE = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)

FEW_VALUES = 8  # of a whole number, up to which its trials are put beside each other


@dataclass(frozen=True)
class Setting:
    """A searched setting, from its axis in the analysis of variance."""

    axis: Axis

    @property
    def key(self) -> str:
        return self.axis.name

    @property
    def choices(self) -> list[str]:
        return [shown(v) for v in self.axis.choices]

    @property
    def beside(self) -> float:
        """How far apart trials of one value are put; 0 where values hardly repeat."""
        if self.axis.kind == "choice":
            return 0.25
        few = self.axis.kind == "linear" and (self.axis.size or math.inf) <= FEW_VALUES
        return 0.1 if few else 0.0

    def worded(self, places: Sequence[float]) -> list[str] | None:
        """The values at places in words, where the places are others; else None."""
        if self.axis.kind == "choice":
            names = self.choices
            return [names[min(max(round(x), 0), len(names) - 1)] for x in places]
        if self.axis.kind == "one_minus_log":
            return [f"{1 - x:.6g}" for x in places]
        return [str(round(x)) for x in places] if self.beside else None

    def place(self, value: Any) -> float:
        """Where a value stands along the drawn axis; nan if it is none of the axis."""
        if self.axis.kind == "choice":
            text = shown(value)
            return float(self.choices.index(text)) if text in self.choices else math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        x = 1 - value if self.axis.kind == "one_minus_log" else float(value)
        return math.nan if self.scale.log and x <= 0 else x

    def places(self, values: Sequence[Any]) -> list[float]:
        return [self.place(v) for v in values]

    def of(self, run: Run) -> float:
        return self.place(_plain(self.axis.of(run.config)))

    @property
    def scale(self) -> Scale:
        axis, title = self.axis, axis_of_setting(self.axis.name)
        if axis.kind == "choice":
            named = [(float(i), text) for i, text in enumerate(self.choices)]
            return Scale(title, -0.5, len(named) - 0.5, ticks=named)
        log = axis.kind in ("log", "one_minus_log")
        low, high = axis.low, axis.high
        if log:
            room = (high / low) ** 0.03 if high > low else 1.5
            low, high = low / room, high * room
        else:
            room = 0.03 * (high - low) or 0.5
            low, high = low - room, high + room
        ticks: list[tuple[float, str]] = []
        if axis.kind == "one_minus_log":
            ticks = [(round(1 - v, 6), f"{v:g}") for v in NEAR_ONE if low <= 1 - v <= high]
        return Scale(title, low, high, log, axis.kind == "one_minus_log", axis.integer, ticks)


def shown(value: Any) -> str:
    """A value of a choice in few characters: `norm, 5`, `none`."""
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
