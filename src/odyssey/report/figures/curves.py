"""Curves: learning curves, and what a search of so many trials finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from odyssey.report.analysis.notes import format_percent
from odyssey.report.analysis.result import Outcome, Summary
from odyssey.report.figures.marks import TOGETHER, AnyMark, Axis, Band, Figure, Line, Panel
from odyssey.report.figures.scales import Extent, extent, number_axis
from odyssey.report.figures.view import View
from odyssey.report.io.runs import ReportRun, Series

ALONE = " A double click on a name shows it alone, with its band."  # of captions
POINTS = 60  # of a learning curve
LOG_FROM = 30  # trials, from which on their axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """A variant's line, with a band where `low` and `high` are finite."""

    label: str
    x: Sequence[float]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def learning(view: View) -> Figure | None:
    """Validation value of the chosen runs against updates; None where no curve has two points."""
    found = []
    for summary in view.summaries:
        series = [c for o in summary.chosen if (c := _series(o.run, view.analysis.metric.name))]
        curve = median_curve(summary.variant.label, series)
        if curve:
            found.append((summary, curve))
    here = extent(curve.middle for _, curve in found)
    if here is None or max(len(curve.x) for _, curve in found) < 2:
        return None
    crowd = len(found) > TOGETHER
    shown: list[AnyMark] = []
    for summary, curve in found:
        alone = crowd and curve.label != view.baseline
        shown += curve_marks(view, curve, hover="update {x}: {y}", alone=alone)
        if bests := _bests(summary):
            outcomes, steps, values = (list(row) for row in zip(*bests, strict=True))
            more = {"group": curve.label, "on": "page", "opacity": 0.6}
            shown.append(view.points(curve.label, steps, values, outcomes, **more))
    which = f"the best {format_percent(view.analysis.share)}" if view.searched else "all runs"
    steps = [step for _, curve in found for step in curve.x]
    return _figure(
        view,
        "learning",
        "Learning curves",
        f"Validation value against updates, of {which} of each variant: median, and quartiles "
        "as a band. A run that stopped early keeps its last value; a curve ends where fewer "
        "than half of its runs still train. Points on the page: each run's chosen checkpoint.",
        [curve for _, curve in found],
        shown,
        number_axis("updates", min(steps), max(steps), log=False),
        here,
        wide=True,
    )


def tuning(view: View) -> Figure | None:
    """Median best validation value against the number of trials: Lourie et al. 2024.

    None where fewer than two numbers of trials have a finite median.
    """
    found, without = [], []
    for summary in view.summaries:
        known = summary.tuning
        if known is None:
            continue
        rows = zip(known.counts, known.median, known.low, known.high, strict=True)
        kept = [tuple(map(float, row)) for row in rows if math.isfinite(row[1])]
        if kept:
            counts, middle, low, high = (list(row) for row in zip(*kept, strict=True))
            found.append(Curve(summary.variant.label, counts, middle, low, high))
        else:
            without.append(summary.variant.label)
    here = extent(curve.middle for curve in found)
    if not view.searched or here is None or max(len(curve.x) for curve in found) < 2:
        return None
    caption = (
        "What a search of so many trials finds: the median of its best validation value. The 95% "
        "bands hold for a whole curve at once, whatever the distribution (Lourie et al. 2024). A "
        "curve ends where its band would leave what was seen: of larger searches these trials "
        "cannot tell."
    )
    if without:
        caption += f" Without such a curve, and left out: {', '.join(without)}."
    crowd = len(found) > TOGETHER
    shown: list[AnyMark] = []
    for curve in found:
        alone = crowd and curve.label != view.baseline
        shown += curve_marks(view, curve, hover="{x} trials: {y}", alone=alone)
    most = max(curve.x[-1] for curve in found)
    axis = number_axis("trials of a variant", 1, most, log=most > LOG_FROM)
    title = "Best value after so many trials"
    return _figure(view, "tuning", title, caption, found, shown, axis, here)


def curve_marks(
    view: View,
    curve: Curve,
    *,
    hover: str,
    opacity: float = 0.14,
    alone: bool = False,
    texts: Sequence[str] = (),
) -> list[AnyMark]:
    """A line over its band, in one group. What is no variant is neutral and dashed.

    opacity, alone: of the band. texts: of the line's points.
    """
    variant = curve.label in view.labels
    colour = view.colour(curve.label) if variant else None
    band = Band(
        name=curve.label,
        group=curve.label,
        x=curve.x,
        low=curve.low,
        high=curve.high,
        colour=colour,
        opacity=opacity,
        alone=alone,
    )
    line = Line(
        name=curve.label,
        group=curve.label,
        legend=True,
        rank=view.rank(curve.label),
        x=curve.x,
        y=curve.middle,
        colour=colour,
        dash=view.dash(curve.label) if variant else "dash",
        texts=texts,
        hover=hover,
    )
    return [band, line]


def _figure(
    view: View,
    key: str,
    title: str,
    caption: str,
    curves: Sequence[Curve],
    shown: Sequence[AnyMark],
    x: Axis,
    here: Extent,
    wide: bool = False,
) -> Figure:
    labels = [curve.label for curve in curves]
    caption += ALONE if len(labels) > TOGETHER else ""
    caption += " Far-off starts of curves are cut." if here.outside else ""
    return Figure(
        key=key,
        title=title,
        caption=caption,
        panels=[[Panel(marks=shown, x=x, y=here.axis(view.value_title("valid")))]],
        legend="right" if len(labels) > 1 else "",
        height=440,
        wide=wide,
        split=labels,
        common=view.baseline if view.baseline in labels else "",
    )


def _series(run: ReportRun, metric: str) -> Series | None:
    """Its finite points, each step once, in order; None where there are none."""
    steps, values = run.curves.get(f"valid/{metric}", ([], []))
    finite = {s: v for s, v in zip(steps, values, strict=False) if math.isfinite(v)}
    finite = {s: finite[s] for s in sorted(finite) if math.isfinite(s)}
    return (list(finite), list(finite.values())) if finite else None


def median_curve(label: str, series: Sequence[Series]) -> Curve | None:
    """Median and quartiles of runs at each step that at least half of them have reached.

    Before its first value nothing is known of a run; after its last, it keeps that. None where
    there is no step. At most POINTS steps are kept.
    """
    if not series:
        return None
    ends = sorted(steps[-1] for steps, _ in series)
    last = ends[len(ends) // 2]
    union = np.unique(np.concatenate([steps for steps, _ in series]))
    union = union[union <= last]
    if len(union) > POINTS:
        union = union[np.unique(np.linspace(0, len(union) - 1, POINTS).round().astype(int))]
    rows = np.array([np.interp(union, *one, left=math.nan) for one in series])
    known = (~np.isnan(rows)).sum(axis=0) * 2 >= len(series)
    union, rows = union[known], rows[:, known]
    if not len(union):
        return None
    low, middle, high = np.nanpercentile(rows, [25, 50, 75], axis=0)
    if len(series) == 1:
        low = high = np.full(len(union), math.nan)
    return Curve(label, union.tolist(), middle.tolist(), low.tolist(), high.tolist())


def _bests(summary: Summary) -> list[tuple[Outcome, float, float]]:
    """Run, step and value of the chosen checkpoints."""
    found = [(o, o.run.best_step, o.valid) for o in summary.chosen if math.isfinite(o.valid)]
    return [(o, float(step), value) for o, step, value in found if step is not None]
