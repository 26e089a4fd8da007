"""Learning curves: the validation value of the chosen runs as training goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from odyssey.report.analysis.notes import percent
from odyssey.report.analysis.result import SEARCH, Outcome, Summary
from odyssey.report.figure import Figure
from odyssey.report.figures import lines
from odyssey.report.figures.common import View, dots
from odyssey.report.figures.ranges import span
from odyssey.report.io.runs import Run, Series

POINTS = 60  # of a curve


def learning(view: View) -> Figure | None:
    """The median over the chosen runs with the quartiles as a band, and where each run was best."""
    found, ends = [], []
    for summary in view.summaries:
        curves = [c for o in summary.chosen if (c := _series(o.run, view.analysis.metric))]
        line = _line(summary.variant.label, curves)
        if line:
            found.append(line)
            ends.append(_bests(summary))
    here = span(line.middle for line in found)
    if here is None or max(len(line.x) for line in found) < 2:
        return None
    x = lines.scale("updates", [v for line in found for v in line.x], log=False)
    y_title = view.values_name("valid")
    hover = "update %{x}: %{y}<extra>%{fullData.name}</extra>"
    crowd = lines.crowded(found)
    made = []
    for line, bests in zip(found, ends, strict=True):
        made += lines.traces(view, line, hover=hover, hidden=crowd and line.label != view.baseline)
        if bests:
            steps, values = [b[1] for b in bests], [b[2] for b in bests]
            one = dots(view, line.label, steps, values, [b[0] for b in bests], opacity=0.6)
            made.append(one | {"legendgroup": line.label, "showlegend": False})
    which = f"the best {percent(view.analysis.share)}" if _searched(view) else "all runs"
    return Figure(
        key="learning",
        title="Learning curves",
        caption=(
            f"Validation value against updates, of {which} of each variant: median, and quartiles "
            "as a band. A run that stopped early keeps its last value; a curve ends where fewer "
            "than half of its runs still train. Points on the page: each run's chosen checkpoint."
            + (lines.ALONE if crowd else "")
            + (" Far-off starts of curves are cut." if here.outside else "")
        ),
        traces=made,
        layout=lines.plotly_layout(x, y_title, here, legend=len(found) > 1),
        draw=partial(lines.draw, view, found, x, y_title, here),
    )


def _searched(view: View) -> bool:
    return view.analysis.comparison.kind == SEARCH


def _series(run: Run, metric: str) -> Series | None:
    """Its finite points, each step once, in order; None where there are none."""
    steps, values = run.curves.get(f"valid/{metric}", ([], []))
    finite = {s: v for s, v in zip(steps, values, strict=False) if math.isfinite(v)}
    finite = {s: finite[s] for s in sorted(finite) if math.isfinite(s)}
    return (list(finite), list(finite.values())) if finite else None


def _line(label: str, curves: Sequence[Series]) -> lines.Line | None:
    if not curves:
        return None
    ends = sorted(steps[-1] for steps, _ in curves)
    # The last step that at least half of the runs reach.
    last = ends[len(ends) // 2]
    union = np.unique(np.concatenate([steps for steps, _ in curves]))
    union = union[union <= last]
    if len(union) > POINTS:
        union = union[np.unique(np.linspace(0, len(union) - 1, POINTS).round().astype(int))]
    # Before a run's first value nothing is known of it; after its last, it keeps that.
    rows = np.array([np.interp(union, *curve, left=math.nan) for curve in curves])
    known = (~np.isnan(rows)).sum(axis=0) * 2 >= len(curves)
    union, rows = union[known], rows[:, known]
    if not len(union):
        return None
    low, middle, high = np.nanpercentile(rows, [25, 50, 75], axis=0)
    if len(curves) == 1:
        low = high = np.full(len(union), math.nan)
    return lines.Line(label, union.tolist(), middle.tolist(), low.tolist(), high.tolist())


def _bests(summary: Summary) -> list[tuple[Outcome, float, float]]:
    found = [(o, o.run.best_step, o.valid) for o in summary.chosen if math.isfinite(o.valid)]
    return [(o, float(step), value) for o, step, value in found if step is not None]
