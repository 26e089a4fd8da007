"""The value of each run against its size and the time it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from odyssey.report.analysis.result import SEARCH, Outcome
from odyssey.report.figure import Figure
from odyssey.report.figures.common import View, dots
from odyssey.report.figures.lines import Scale, plotly_layout, scale
from odyssey.report.figures.ranges import Span, span
from odyssey.report.io.runs import Run

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

LOG_RATIO = 5  # largest to smallest, from which on the axis is logarithmic
Points = list[tuple[str, float, Outcome]]  # label, place along the axis, run


def params(view: View) -> Figure | None:
    """Against the trainable parameters."""
    return _against(
        view,
        "params",
        "Value and size",
        "trainable parameters",
        lambda run: math.nan if run.params is None else float(run.params),
        "",
    )


def time(view: View) -> Figure | None:
    """Against the seconds in training."""
    devices = sorted({run.device for run in view.analysis.comparison.runs if run.device})
    on = f" Trained on {', '.join(devices)}." if devices else ""
    warning = " Seconds depend on the machine and on what else it did."
    return _against(
        view,
        "time",
        "Value and training time",
        "seconds in training",
        lambda run: run.seconds,
        on + warning,
    )


def _against(
    view: View, key: str, title: str, x_title: str, of: Callable[[Run], float], more: str
) -> Figure | None:
    points = [
        (s.variant.label, of(o.run), o)
        for s in view.summaries
        for o in s.outcomes
        if math.isfinite(o.test)
    ]
    points = [p for p in points if math.isfinite(p[1]) and p[1] > 0]
    along = [x for _, x, _ in points]
    here = span([o.test for label, _, o in points if label == one] for one in view.labels)
    if here is None or len(set(along)) < 2:
        return None
    x = scale(x_title, along, log=max(along) / min(along) >= LOG_RATIO)
    searched = view.analysis.comparison.kind == SEARCH
    caption = "Each point is a run that finished"
    caption += "; full colour: the chosen ones, faint: the other trials." if searched else "."
    made = []
    for label in dict.fromkeys(p[0] for p in points):
        for chosen in (False, True):
            some = [p for p in points if p[0] == label and p[2].top == chosen]
            if some:
                one = dots(
                    view,
                    label,
                    [p[1] for p in some],
                    [p[2].test for p in some],
                    [p[2] for p in some],
                    size=8 if chosen else 5,
                    opacity=0.9 if chosen else 0.3,
                    legendgroup=label,
                    showlegend=chosen,
                )
                made.append(one | {"hovertemplate": "%{x}: %{y}<extra>%{fullData.name}</extra>"})
    return Figure(
        key=key,
        title=title,
        caption=caption + more + here.words,
        traces=made,
        layout=plotly_layout(x, view.values_name(), here, legend=True),
        draw=partial(_draw, view, points, x, here),
    )


def _draw(view: View, points: Points, x: Scale, here: Span) -> Paper:
    from odyssey.report.figures import paper
    from odyssey.report.palette import MARKERS

    labels = list(dict.fromkeys(p[0] for p in points))
    with paper.style():
        canvas = paper.paper(paper.COLUMN, 2.5)
        ax = canvas.subplots()
        for label in labels:
            for chosen in (False, True):
                some: Sequence[tuple[str, float, Outcome]] = [
                    p for p in points if p[0] == label and p[2].top == chosen
                ]
                ax.scatter(
                    [p[1] for p in some],
                    [p[2].test for p in some],
                    s=13 if chosen else 4,
                    marker=MARKERS[view.symbol(label)],
                    color=view.colour(label),
                    alpha=0.9 if chosen else 0.3,
                    linewidths=0,
                    label=label if chosen else None,
                    zorder=3 if chosen else 2,
                )
        x.paper(ax)
        ax.set(xlabel=x.title, ylabel=paper.in_two(view.values_name()))
        ax.set_ylim(here.low, here.high)
        paper.legend(canvas, 1, handletextpad=0.2, columnspacing=1)
        return paper.settled(canvas)
