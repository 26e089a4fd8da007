"""The analysis of a comparison by one metric: summaries, verdicts and importance of settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from odyssey.errors import UserError
from odyssey.report.analysis.compare_pairs import compare_all
from odyssey.report.analysis.decisions import BETTER, PROMISING, WORSE
from odyssey.report.analysis.factor_words import analyse_factors
from odyssey.report.analysis.item_errors import items_errors
from odyssey.report.analysis.names import better_direction
from odyssey.report.analysis.notes import analysis_notes
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.outcomes import (
    ENDED,
    bounded_value,
    choose_part,
    clip_to_fence,
    make_outcomes,
)
from odyssey.report.analysis.planned import late_choices, planned_options
from odyssey.report.analysis.replicates import over_crossed_seeds
from odyssey.report.analysis.result import (
    SEARCH,
    Analysis,
    Comparison,
    Outcome,
    Summary,
    Variant,
)
from odyssey.report.analysis.variance import variance_rows
from odyssey.report.analysis.verdicts import make_verdicts
from odyssey.report.fanova.axes import Axis, axis_from_description, axis_from_values
from odyssey.report.fanova.decomposition import Decomposition
from odyssey.report.fanova.losses import decompose_with_losses
from odyssey.report.stats.estimates import (
    iqm_interval,
    mean_interval,
    median_interval,
    tuning_curve,
    wilson,
)
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.selection import Trials, mean_of_best
from odyssey.study.state import STATES

OVERALL = ""  # key of the decomposition over all variants
VARIANT = "variant"  # name of its axis that tells variants apart
Progress = Callable[[str], None]  # called with what has been done


def analyse(
    comparison: Comparison, metric: str, options: Options, progress: Progress | None = None
) -> Analysis:
    """Analyse a comparison by a metric, named without `valid/` or `test/`."""
    tell = progress or (lambda text: None)
    late = late_choices(comparison, options, metric)
    options = planned_options(comparison, options)
    info = comparison.metric(metric)
    better = better_direction(info)
    part = choose_part(comparison, metric, better)
    share = options.share if comparison.kind == SEARCH else 1.0
    outcomes = [
        make_outcomes(v, comparison, metric, better, part, share) for v in comparison.variants
    ]
    best = [_best_run(found, comparison) for found in outcomes]
    summaries = []
    for variant, found, best_run in zip(comparison.variants, outcomes, best, strict=True):
        summary = _summarize(variant, found, best_run, better, comparison.kind, options)
        summaries.append(over_crossed_seeds(summary, comparison))
        tell(f"{metric}: {variant.label}")
    analysis = Analysis(
        comparison=comparison,
        metric=info,
        part=part,
        share=share,
        margin=options.margin,
        summaries=summaries,
        verdicts=[],
        alpha=options.alpha,
        late=late,
    )
    if summaries:
        analysis.verdicts = make_verdicts(
            comparison, summaries, better, options, info.unit, metric, late
        )
        order_best_first(analysis)
        analysis.factors = analyse_factors(analysis, options)
        analysis.all_pairs = compare_all(comparison, summaries, better, options, metric)
    if comparison.kind == SEARCH:
        analysis.importance = importance(comparison, summaries, better, options, tell)
    analysis.items, notes = items_errors(analysis)
    analysis.variance = variance_rows(analysis, options.seed)
    analysis.notes = [*analysis_notes(analysis), *notes]
    return analysis


def order_best_first(analysis: Analysis) -> None:
    """Put summaries and verdicts into the order of the page's lists, tables and figures.

    First the variants that are better than the baseline, last those that are worse; among these by
    the share of runs lost, then by the mean of the rest.
    """
    words = {v.variant: v.conclusion for v in analysis.verdicts}
    sign = 1 if analysis.better == "lower" else -1

    def rank(summary: Summary) -> tuple[int, float, float]:
        word = words.get(summary.variant.label, "")
        mean, compared = summary.mean.value, max(len(summary.chosen), 1)
        lost = sum(not math.isfinite(o.test) for o in summary.chosen) / compared
        place = (word == WORSE) - (word in (BETTER, PROMISING))
        return place, lost, math.inf if math.isnan(mean) else sign * mean

    analysis.summaries.sort(key=rank)
    at = {summary.variant.label: place for place, summary in enumerate(analysis.summaries)}
    analysis.verdicts.sort(key=lambda verdict: at[verdict.variant])


# --- summaries ---


def _summarize(
    variant: Variant,
    outcomes: Sequence[Outcome],
    best: Outcome | None,
    better: str,
    kind: str,
    options: Options,
) -> Summary:
    """kind: the design of the comparison."""
    chosen = [o for o in outcomes if o.top]
    values = [o.test for o in chosen]
    valid = np.array([o.valid for o in outcomes], dtype=float)
    counts = Counter(run.state for run in variant.runs)
    ended = sum(counts[state] for state in ENDED)
    return Summary(
        variant=variant,
        outcomes=outcomes,
        chosen=chosen,
        counts={state: counts[state] for state in STATES},
        best=best,
        params=_params_range(chosen),
        mean=_mean(outcomes, chosen, better, kind, options),
        # The best of a search are no sample, so no interval for them is valid.
        median=_without_limits(median_interval(values), kind),
        iqm=_without_limits(iqm_interval(values), kind),
        all_median=median_interval(valid),
        all_iqm=iqm_interval(valid),
        diverged=wilson(counts["diverged"], ended),
        failed=wilson(counts["failed"], ended),
        tuning=tuning_curve(valid, better) if kind == SEARCH and valid.size > 1 else None,
        seconds=_median_seconds(variant),
    )


def _params_range(chosen: Sequence[Outcome]) -> tuple[float, float]:
    params = [o.run.params for o in chosen if o.run.params is not None]
    return (min(params), max(params)) if params else (math.nan, math.nan)


def _median_seconds(variant: Variant) -> float:
    seconds = [run.seconds for run in variant.runs if run.state == "finished"]
    seconds = [s for s in seconds if not math.isnan(s)]
    return float(np.median(seconds)) if seconds else math.nan


def _mean(
    outcomes: Sequence[Outcome], chosen: Sequence[Outcome], better: str, kind: str, options: Options
) -> Interval:
    """The mean of the finite values of the chosen runs, with an interval of the design."""
    values = np.array([o.test for o in chosen], dtype=float)
    found = mean_interval(values[np.isfinite(values)])
    if kind != SEARCH or math.isnan(found.value):
        return found
    sign = 1.0 if better == "lower" else -1.0
    trials = Trials(
        np.array([o.chosen_by for o in outcomes], dtype=float),
        sign * np.array([o.test for o in outcomes], dtype=float),
    )
    best = mean_of_best(trials, options.share, draws=options.draws, seed=options.seed)
    low, high = sorted((sign * best.low, sign * best.high))
    return replace(found, low=low, high=high)


def _without_limits(interval: Interval, kind: str) -> Interval:
    return replace(interval, low=math.nan, high=math.nan) if kind == SEARCH else interval


def _best_run(outcomes: Sequence[Outcome], comparison: Comparison) -> Outcome | None:
    """The finished run with the best validation value of the monitor."""
    monitor = comparison.monitor
    better = "higher" if comparison.mode == "max" else "lower"
    finished = [o for o in outcomes if o.run.state == "finished"]
    finished = [o for o in finished if math.isfinite(bounded_value(o.run, monitor, better))]
    if not finished:
        return None
    pick = max if better == "higher" else min
    return pick(finished, key=lambda o: o.run.value(monitor))


# --- importance of settings ---


def importance(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    progress: Progress,
) -> dict[str, Decomposition]:
    """Decompositions of the variance of each variant, by label, and over all, under OVERALL.

    The one over all variants has the variant as a further axis. Values far out on the worse side
    count as the outer fence over all variants (see `clip_to_fence`). Runs without a value, which
    diverged or failed, are left out; whether a run is one of them has a decomposition of its own.
    """
    every = [(s.variant.label, o) for s in summaries for o in s.outcomes]
    axes = _searched_axes(comparison, [o for _, o in every])
    if not axes:
        return {}
    with_value = [o for _, o in every if o.finite]
    clipped = clip_to_fence([o.valid for o in with_value], better)
    values = dict(zip((id(o) for o in with_value), clipped, strict=True))

    def decomposed(
        axes: Sequence[Axis], points: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
    ) -> Decomposition:
        here = [values.get(id(o), math.nan) for o in outcomes]
        return decompose_with_losses(axes, points, here, trees=options.trees, seed=options.seed)

    found = {}
    for summary in summaries:
        label = summary.variant.label
        own = [axis for axis in axes if _applies(axis, summary.outcomes)]
        points = [_coordinates(own, o) for o in summary.outcomes]
        found[label] = decomposed(own, points, summary.outcomes)
        progress(f"importance: {label}")
    if len(summaries) > 1 and values:
        labels = dict.fromkeys(label for label, _ in every)
        variant = Axis(VARIANT, "choice", math.nan, math.nan, choices=tuple(labels))
        shared = [a for a in axes if all(_applies(a, s.outcomes) for s in summaries)]
        points = [_coordinates(shared, o) | {VARIANT: label} for label, o in every]
        overall = decomposed([*shared, variant], points, [o for _, o in every])
        if rest := [axis.name for axis in axes if axis not in shared]:
            names = ", ".join(rest)
            note = f"{names} is no setting of all variants, and is looked at within those it is of."
            overall = replace(overall, note=f"{overall.note} {note}".strip())
        found[OVERALL] = overall
        progress("importance over all variants")
    return found


def _searched_axes(comparison: Comparison, outcomes: Sequence[Outcome]) -> list[Axis]:
    """The nuisance parameters, on the scale on which they were searched."""
    described: dict[str, Any] = {}
    for study in comparison.studies:
        described.update(study.space)
    axes = []
    for key in comparison.searched:
        values = [o.run.config.get(key) for o in outcomes]
        try:
            axes.append(axis_from_description(key, described[key]))
        except (KeyError, UserError):  # no plan, or one that was edited
            if len({repr(v) for v in values}) > 1:
                axes.append(axis_from_values(key, values))
    return axes


def _applies(axis: Axis, outcomes: Sequence[Outcome]) -> bool:
    """Whether a searched setting is one of a variant's: any of its runs has a value of it."""
    keys = axis.name.split(",")
    return any(all(key in o.run.config for key in keys) for o in outcomes) or not outcomes


def _coordinates(axes: Sequence[Axis], outcome: Outcome) -> dict[str, Any]:
    return {axis.name: axis.value_in(outcome.run.config) for axis in axes}
