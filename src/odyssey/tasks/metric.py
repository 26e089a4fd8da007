"""What a task measures: the name, unit and direction of each of its metrics. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A number that a task computes at each validation and test.

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
        """For a name of which nothing is recorded: its words, and smaller is better."""
        words = name.replace("_", " ")
        return cls(name, "min", words, words)
