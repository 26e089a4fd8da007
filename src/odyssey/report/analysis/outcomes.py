"""The runs of a variant as numbers: the worst value for those that gave none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.result import SEARCH, Comparison, Outcome, Variant
from odyssey.report.io.runs import ReportRun
from odyssey.report.stats.estimates import top_share

ENDED = ("finished", "diverged", "failed")
LARGEST_VALUE = (
    1e100  # no weights in single precision give such a number, and its square is no float
)


def make_outcomes(
    variant: Variant, comparison: Comparison, metric: str, better: str, part: str, share: float
) -> list[Outcome]:
    """The runs of a variant that ended, in the order of trials.

    Diverged and failed runs have the worst value, +inf or -inf: leaving them out would flatter a
    cell that diverges. Runs that are still to come or are damaged are not here, nor finished ones
    without a value (see `value_of`). The best share of a search is chosen by the validation value
    of the monitor, whatever metric is looked at: that is what chose each run's checkpoint.
    """
    worst = math.inf if better == "lower" else -math.inf
    runs = [run for run in variant.runs if run.state in ENDED]
    runs.sort(key=lambda run: (run.trial is None, run.trial or 0, run.seed or 0, run.name))
    runs = [
        r for r in runs if r.state != "finished" or not math.isnan(bounded_value(r, metric, better))
    ]
    chooser = "higher" if comparison.mode == "max" else "lower"
    by = [_value_or_worst(run, comparison.monitor, chooser) for run in runs]
    chosen = set(range(len(runs)))
    if comparison.kind == SEARCH and runs:
        chosen = {int(i) for i in top_share(np.array(by), chooser, share)}
    found = []
    for place, run in enumerate(runs):
        finished = run.state == "finished"
        valid = bounded_value(run, metric, better) if finished else worst
        test = bounded_value(run, metric, better, part) if finished else worst
        found.append(Outcome(run, valid, test, place in chosen))
    return found


def bounded_value(run: ReportRun, metric: str, better: str, part: str = "valid") -> float:
    """A finished run's value; the worst, infinite, for one that is beyond all bounds.

    A value that is good beyond all bounds was not measured: nan, as where there is none.
    """
    value = run.value(metric, part)
    if abs(value) < LARGEST_VALUE or math.isnan(value):
        return value
    return math.copysign(math.inf, value) if (value > 0) == (better == "lower") else math.nan


def choose_part(comparison: Comparison, metric: str, better: str) -> str:
    """ "test" if every finished run with a validation value has a test value too, else "valid"."""
    finished = [r for r in comparison.runs if r.state == "finished"]
    finished = [r for r in finished if not math.isnan(bounded_value(r, metric, better))]
    tested = all(not math.isnan(bounded_value(r, metric, better, "test")) for r in finished)
    return "test" if tested and finished else "valid"


def clip_to_fence(values: Sequence[float], better: str) -> list[float]:
    """Values with those beyond the outer fence set to it: far out, as Tukey calls them.

    The fence is three interquartile ranges from the worse quartile of the finite values. One run
    that almost diverged would otherwise hold all of the variance; and a run that did diverge has no
    value but counts as one at the fence, or at the worst value seen where none lies beyond. Nothing
    is changed on the better side. No finite value: an empty list.

    Source: J. W. Tukey, "Exploratory Data Analysis", 1977, section 2D.
    """
    sign = 1.0 if better == "lower" else -1.0
    cost = sign * np.array(values, dtype=float)
    finite = cost[np.isfinite(cost)]
    if not finite.size:
        return []
    low, high = np.quantile(finite, [0.25, 0.75])
    fence = min(high + 3 * (high - low), finite.max()) if high > low else finite.max()
    return [float(v) for v in sign * np.minimum(cost, fence)]


def _value_or_worst(run: ReportRun, metric: str, better: str) -> float:
    value = bounded_value(run, metric, better) if run.state == "finished" else math.nan
    if math.isnan(value):
        return math.inf if better == "lower" else -math.inf
    return value


HIGHER = ("accuracy", "f1", "precision", "recall", "auc", "score", "recalled")  # ends of names


def better(metric: str, comparison: Comparison) -> str:
    """ "lower" or "higher": the monitor's mode says so; else the metric's name."""
    if metric == comparison.monitor:
        return "higher" if comparison.mode == "max" else "lower"
    return "higher" if metric.lower().endswith(HIGHER) else "lower"


def common_metrics(comparison: Comparison) -> list[str]:
    """Metrics that at least half of the finished runs have, the monitor first."""
    finished = [run for run in comparison.runs if run.state == "finished"]
    count = Counter(name for run in finished for name in _measured_names(run))
    common = sorted(name for name, n in count.items() if 2 * n >= len(finished))
    first = [comparison.monitor] if comparison.monitor else []
    return first + [name for name in common if name != comparison.monitor]


def select_metrics(comparisons: Sequence[Comparison], asked: str | None) -> list[list[str]]:
    """The metrics to look at in each comparison: all it has, or `asked` where it has that.

    asked: with or without its part: `accuracy` or `test/accuracy`. Raises UserError naming the
    metrics if no comparison has it.
    """
    there = [common_metrics(comparison) for comparison in comparisons]
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


def _measured_names(run: ReportRun) -> set[str]:
    return {
        name.partition("/")[2]
        for name, value in run.metrics.items()
        if name.startswith(("valid/", "test/")) and not math.isnan(value)
    }
