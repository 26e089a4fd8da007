"""Running a cell over time by one of three backends: `reference`, `library`, `compiled`."""

from odyssey.recurrence.run import BACKENDS, backends, choose, exporting, run

__all__ = ["BACKENDS", "backends", "choose", "exporting", "run"]
