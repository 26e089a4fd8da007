"""The results of runs as numbers: metrics of a comparison, and outcomes by variant."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.names import better_direction
from odyssey.report.analysis.result import SEARCH, Comparison, Outcome, Variant
from odyssey.report.io.runs import ReportRun
from odyssey.report.stats.selection import top_share

ENDED = ("finished", "diverged", "failed")
LARGEST_VALUE = 1e100  # larger values are taken as infinite; their squares would overflow


def select_metrics(comparisons: Sequence[Comparison], asked: str | None) -> list[list[str]]:
    """The metrics to analyse in each comparison: all, or `asked` where it is measured.

    asked: with or without its part: `accuracy` or `test/accuracy`.
    Raises UserError naming the metrics if no comparison has it.
    """
    measured = [common_metrics(comparison) for comparison in comparisons]
    if asked is None:
        return measured
    name = asked.removeprefix("valid/").removeprefix("test/")
    every = list(dict.fromkeys(metric for names in measured for metric in names))
    if name not in every:
        raise UserError(
            f"--metric {asked} is not measured by these runs{did_you_mean(name, every)}: type one "
            f"of {', '.join(every) or 'none, since no run has a result yet'}"
        )
    return [[name] if name in names else [] for names in measured]


def common_metrics(comparison: Comparison) -> list[str]:
    """Metrics that at least half of the finished runs have, the monitor first."""
    finished = [run for run in comparison.runs if run.state == "finished"]
    count = Counter(name for run in finished for name in _measured_names(run))
    common = sorted(name for name, n in count.items() if 2 * n >= len(finished))
    first = [comparison.monitor] if comparison.monitor else []
    return first + [name for name in common if name != comparison.monitor]


def _measured_names(run: ReportRun) -> set[str]:
    return {
        name.partition("/")[2]
        for name, value in run.metrics.items()
        if name.startswith(("valid/", "test/")) and not math.isnan(value)
    }


def choose_part(comparison: Comparison, metric: str, better: str) -> str:
    """ "test" if every finished run with a validation value has a test value too, else "valid"."""
    finished = [r for r in comparison.runs if r.state == "finished"]
    finished = [r for r in finished if not math.isnan(bounded_value(r, metric, better))]
    tested = all(not math.isnan(bounded_value(r, metric, better, "test")) for r in finished)
    return "test" if tested and finished else "valid"


def make_outcomes(
    variant: Variant, comparison: Comparison, metric: str, better: str, part: str, share: float
) -> list[Outcome]:
    """The outcomes of a variant's runs that ended, in the order of trials.

    Diverged and failed runs get the worst value, +inf or -inf: leaving them out would favour a
    cell that diverges. Finished runs without a value are left out (see `bounded_value`).

    The best share of a search is chosen by the validation value of the monitor, whatever the
    metric: that value chose each run's checkpoint.
    """
    worst = math.inf if better == "lower" else -math.inf
    runs = [run for run in variant.runs if _counts(run, metric, better)]
    runs.sort(key=lambda run: (run.trial is None, run.trial or 0, run.seed or 0, run.name))
    chooses = better_direction(comparison.metric(comparison.monitor))
    costs = [_cost(run, comparison.monitor, chooses) for run in runs]
    chosen = _choose(costs, comparison, share)
    found = []
    for position, run in enumerate(runs):
        finished = run.state == "finished"
        valid = bounded_value(run, metric, better) if finished else worst
        test = bounded_value(run, metric, better, part) if finished else worst
        found.append(Outcome(run, valid, test, position in chosen, costs[position]))
    return found


def _counts(run: ReportRun, metric: str, better: str) -> bool:
    """Whether a run has an outcome: it diverged, failed or finished with a value."""
    if run.state == "finished":
        return not math.isnan(bounded_value(run, metric, better))
    return run.state in ENDED


def _choose(costs: Sequence[float], comparison: Comparison, share: float) -> set[int]:
    """Positions of the runs that are compared. costs: what a search chooses by, for each run."""
    if comparison.kind != SEARCH or not costs:
        return set(range(len(costs)))
    return {int(i) for i in top_share(np.array(costs), "lower", share)}


def bounded_value(run: ReportRun, metric: str, better: str, part: str = "valid") -> float:
    """Value of a finished run: infinite if it is beyond all bounds on the worse side.

    Beyond all bounds on the better side it cannot have been measured: nan, as for no value.
    """
    value = run.value(metric, part)
    if abs(value) < LARGEST_VALUE or math.isnan(value):
        return value
    return math.copysign(math.inf, value) if (value > 0) == (better == "lower") else math.nan


def _cost(run: ReportRun, metric: str, better: str) -> float:
    """The validation value of a run, with the sign such that smaller is better; inf if lost."""
    value = bounded_value(run, metric, better) if run.state == "finished" else math.nan
    return math.inf if math.isnan(value) else value if better == "lower" else -value


def clip_to_fence(values: Sequence[float], better: str) -> list[float]:
    """Values with those beyond Tukey's outer fence set to the fence, on the worse side alone.

    The fence lies three interquartile ranges from the worse quartile of the finite values. Without
    it one run that almost diverged would hold all of the variance. Infinite values, of runs that
    diverged, become the fence too, or the worst finite value where that lies within. Empty if no
    value is finite.

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
