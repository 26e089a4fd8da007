"""A comparison by one metric: every variant summed up, and held against the baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from odyssey.errors import UserError
from odyssey.report.analysis.names import unit_of
from odyssey.report.analysis.notes import analysis_notes
from odyssey.report.analysis.outcomes import better as better_of
from odyssey.report.analysis.outcomes import (
    bounded_value,
    choose_part,
    clip_to_fence,
    make_outcomes,
)
from odyssey.report.analysis.result import (
    SEARCH,
    Analysis,
    Comparison,
    Options,
    Outcome,
    Summary,
    Variant,
)
from odyssey.report.analysis.verdicts import UNKNOWN, make_verdicts
from odyssey.report.fanova.axes import Axis, axis_from_description, axis_from_values
from odyssey.report.fanova.decomposition import Decomposition, decompose
from odyssey.report.stats.estimates import (
    Expected,
    bootstrap,
    expected_best,
    iqm,
    mean,
    median,
    wilson,
)
from odyssey.report.stats.samples import Interval
from odyssey.study.state import STATES

OVERALL = ""
VARIANT = "variant"  # the name of the axis that tells the variants apart


def importance(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    tell: Callable[[str], None],
) -> dict[str, Decomposition]:
    """A decomposition for each variant by its label, and one over all under "".

    The one over all has an axis more: the variant. Values far out on the worse side, and diverged
    and failed runs, count as the outer fence over all variants (see `within_fence`).
    """
    if not comparison.searched:
        return {}
    every = [(s.variant.label, o) for s in summaries for o in s.outcomes]
    axes = _searched_axes(comparison, [o for _, o in every])
    if not axes:
        return {}
    kept = clip_to_fence([o.valid for _, o in every], better)
    values = dict(zip((id(o) for _, o in every), kept, strict=False))
    found = {}
    for summary in summaries:
        here = [o for o in summary.outcomes if id(o) in values]
        found[summary.variant.label] = decompose(
            axes,
            [_coordinates(axes, o) for o in here],
            [values[id(o)] for o in here],
            trees=options.trees,
            seed=options.seed,
        )
        tell(f"importance: {summary.variant.label}")
    if len(summaries) > 1 and values:
        labels = [s.variant.label for s in summaries if s.outcomes]
        found[OVERALL] = decompose(
            [*axes, Axis(VARIANT, "choice", math.nan, math.nan, choices=tuple(labels))],
            [_coordinates(axes, o) | {VARIANT: label} for label, o in every],
            [values[id(o)] for _, o in every],
            trees=options.trees,
            seed=options.seed,
        )
        tell("importance over all variants")
    return found


def _searched_axes(comparison: Comparison, every: Sequence[Outcome]) -> list[Axis]:
    """The searched settings, on the scale they were searched on."""
    described: dict[str, Any] = {}
    for study in comparison.studies:
        described.update(study.space)
    axes = []
    for key in comparison.searched:
        values = [o.run.config.get(key) for o in every]
        try:
            axes.append(axis_from_description(key, described[key]))
        except (KeyError, UserError):  # no plan, or one that a hand has changed
            if len({repr(v) for v in values}) > 1:
                axes.append(axis_from_values(key, values))
    return axes


def _coordinates(axes: Sequence[Axis], outcome: Outcome) -> dict[str, Any]:
    return {axis.name: axis.of(outcome.run.config) for axis in axes}


Progress = Callable[[str], None]  # told what has been done, for a progress bar


def analyse(
    comparison: Comparison, metric: str, options: Options, step: Progress | None = None
) -> Analysis:
    """All numbers of a comparison for a metric.

    metric: without `valid/` or `test/`, as in `nats_per_frame`.
    """
    tell = step or (lambda text: None)
    better = better_of(metric, comparison)
    part = choose_part(comparison, metric, better)
    share = options.share if comparison.kind == SEARCH else 1.0
    every = [make_outcomes(v, comparison, metric, better, part, share) for v in comparison.variants]
    finite = [o.valid for found in every for o in found if o.finite]
    worst = (max(finite) if better == "lower" else min(finite)) if finite else math.nan
    summaries = []
    for variant, found in zip(comparison.variants, every, strict=True):
        summaries.append(_summarize(variant, found, comparison, better, worst, options))
        tell(f"{metric}: {variant.label}")
    analysis = Analysis(
        comparison=comparison,
        metric=metric,
        better=better,
        part=part,
        share=share,
        margin=options.margin,
        summaries=summaries,
        verdicts=[],
        alpha=options.alpha,
    )
    if summaries:
        unit = unit_of(metric)
        analysis.verdicts = make_verdicts(comparison, summaries, better, options, unit)
    if comparison.kind == SEARCH:
        analysis.importance = importance(comparison, summaries, better, options, tell)
    analysis.notes = analysis_notes(analysis)
    return analysis


def _summarize(
    variant: Variant,
    found: Sequence[Outcome],
    comparison: Comparison,
    better: str,
    worst: float,
    options: Options,
) -> Summary:
    chosen = [o for o in found if o.top]
    tests = [o.test for o in chosen]
    finite = [v for v in tests if math.isfinite(v)]
    valid = np.array([o.valid for o in found], dtype=float)
    counts = Counter(run.state for run in variant.runs)
    ended = sum(counts[state] for state in ("finished", "diverged", "failed"))
    params = [o.run.params for o in chosen if o.run.params is not None]
    seconds = [r.seconds for r in variant.runs if r.state == "finished"]
    seconds = [s for s in seconds if not math.isnan(s)]
    return Summary(
        variant=variant,
        outcomes=found,
        chosen=chosen,
        counts={state: counts[state] for state in STATES},
        best=_best_run(found, comparison),
        params=(min(params), max(params)) if params else (math.nan, math.nan),
        mean=_bootstrap([finite], mean, options),
        median=_bootstrap([tests], median, options),
        iqm=_bootstrap(_strata(chosen), iqm, options),
        all_median=_bootstrap([list(valid)], median, options),
        all_iqm=_bootstrap([list(valid)], iqm, options),
        diverged=wilson(counts["diverged"], ended),
        failed=wilson(counts["failed"], ended),
        expected=_expected_best(valid, better, worst, options),
        seconds=float(np.median(seconds)) if seconds else math.nan,
    )


def _bootstrap(
    strata: Sequence[Sequence[float]], statistic: Callable[..., float], options: Options
) -> Interval:
    values = [np.array(s, dtype=float) for s in strata if len(s)]
    if not values:
        return UNKNOWN
    return bootstrap(values, statistic, draws=options.draws, seed=options.seed)


def _strata(chosen: Sequence[Outcome]) -> list[list[float]]:
    """Test values by configuration, where seeds repeat each; else all as one stratum."""
    found: dict[tuple[str, int | None], list[float]] = {}
    for o in chosen:
        found.setdefault((o.run.study, o.run.trial), []).append(o.test)
    if any(len(values) == 1 for values in found.values()):
        return [[o.test for o in chosen]]
    return list(found.values())


def _best_run(found: Sequence[Outcome], comparison: Comparison) -> Outcome | None:
    """The run with the best validation value of the monitor."""
    by = better_of(comparison.monitor, comparison)
    finished = [o for o in found if o.run.state == "finished"]
    finished = [o for o in finished if math.isfinite(bounded_value(o.run, comparison.monitor, by))]
    if not finished:
        return None
    pick = max if by == "higher" else min
    return pick(finished, key=lambda o: o.run.value(comparison.monitor))


def _expected_best(
    valid: np.ndarray, better: str, worst: float, options: Options
) -> Expected | None:
    """worst: the worst value of any variant, which stands for runs without one."""
    if valid.size < 2 or math.isnan(worst):
        return None
    return expected_best(valid, better, worst=worst, draws=options.draws, seed=options.seed)
