"""Running a cell over time."""

from odyssey.recurrence.run import BACKENDS, backends, choose, run

__all__ = ["BACKENDS", "backends", "choose", "run"]
