"""Which metrics a comparison has, and which way each is better."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from odyssey.errors import UserError, did_you_mean
from odyssey.report.result import Comparison
from odyssey.report.runs import Run

HIGHER = ("accuracy", "f1", "precision", "recall", "auc", "score", "recalled")  # ends of names


def better(metric: str, comparison: Comparison) -> str:
    """ "lower" or "higher": the monitor's mode says so; else the metric's name."""
    if metric == comparison.monitor:
        return "higher" if comparison.mode == "max" else "lower"
    return "higher" if metric.lower().endswith(HIGHER) else "lower"


def metrics_of(comparison: Comparison) -> list[str]:
    """Metrics that at least half of the finished runs have, the monitor first."""
    finished = [run for run in comparison.runs if run.state == "finished"]
    count = Counter(name for run in finished for name in _names(run))
    common = sorted(name for name, n in count.items() if 2 * n >= len(finished))
    first = [comparison.monitor] if comparison.monitor else []
    return first + [name for name in common if name != comparison.monitor]


def wanted(comparisons: Sequence[Comparison], asked: str | None) -> list[list[str]]:
    """The metrics to look at in each comparison: all it has, or `asked` where it has that.

    asked: with or without its part: `accuracy` or `test/accuracy`. Raises UserError naming the
    metrics if no comparison has it.
    """
    there = [metrics_of(comparison) for comparison in comparisons]
    if asked is None:
        return there
    name = asked.removeprefix("valid/").removeprefix("test/")
    every = list(dict.fromkeys(metric for names in there for metric in names))
    if name not in every:
        raise UserError(
            f"--metric {asked} is not measured by these runs{did_you_mean(name, every)}: type one "
            f"of {', '.join(every) or 'none, since no run has a result yet'}"
        )
    return [[name] if name in names else [] for names in there]


def _names(run: Run) -> set[str]:
    return {
        name.partition("/")[2]
        for name, value in run.metrics.items()
        if name.startswith(("valid/", "test/")) and not math.isnan(value)
    }
