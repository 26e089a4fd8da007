"""The name, direction, label and unit of a metric. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric that a task computes at each validation and test.

    name: as in `metrics.csv` and on the command line: `bits_per_char`.
    mode: `min` where a smaller value is better, `max` where a larger one is.
    label: in plain words: `bits per character`.
    unit: what a difference of two values is in, as in "0.12 bits per character".
    """

    name: str
    mode: Literal["min", "max"]
    label: str
    unit: str

    @classmethod
    def unknown(cls, name: str) -> Metric:
        """The metric `name` of which nothing else is recorded: smaller is taken as better."""
        words = name.replace("_", " ")
        return cls(name, "min", words, words)
