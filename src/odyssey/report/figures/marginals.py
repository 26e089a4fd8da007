"""The value against each searched setting, all others averaged: Greff et al., figure 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from odyssey.report.analysis.analyse import OVERALL, VARIANT
from odyssey.report.analysis.names import name_of_setting
from odyssey.report.analysis.result import Outcome, Summary
from odyssey.report.fanova.decomposition import Decomposition
from odyssey.report.figure import Figure
from odyssey.report.figures import lines
from odyssey.report.figures.common import View, dots, spread
from odyssey.report.figures.ranges import Span, span
from odyssey.report.figures.settings import Setting

WEAK = 0.3  # out-of-bag R², below which a forest's curves are not shown
ALL = "all variants"


def marginals(view: View) -> list[Figure]:
    """A figure for each searched setting."""
    found = view.analysis.importance
    axes = [a for d in found.values() for a in d.axes if a.name != VARIANT]
    settings = {axis.name: Setting(axis) for axis in axes}
    made = [_marginal(view, setting) for setting in settings.values()]
    return [figure for figure in made if figure]


def strong(found: Decomposition | None) -> bool:
    """Whether a forest explains enough to be shown."""
    return found is not None and found.r2 >= WEAK  # False where it is nan


def _marginal(view: View, setting: Setting) -> Figure | None:
    by_variant = [_line(view, setting, s) for s in view.summaries]
    here = _span(by_variant)
    if here is None:
        return None
    overall = _curve(ALL, setting, view.analysis.importance.get(OVERALL))
    if not any(len(line.dots_x) or len(line.lost_x) for line in by_variant):
        return None
    name, scale = name_of_setting(setting.key), setting.scale
    y_title = view.values_name("valid")
    crowd = lines.crowded(by_variant)
    made: list[dict[str, Any]] = []
    for summary, line in zip(view.summaries, by_variant, strict=True):
        made += _dots(view, setting, summary, here, legend=not len(line.x))
    for line in [*by_variant, *([overall] if overall else [])]:
        if len(line.x):
            hidden = crowd and line is not overall
            curves = lines.traces(view, line, hover=_hover(setting), band=0.1, hidden=hidden)
            made += [_worded(setting, one) for one in curves]
    many = len(by_variant) > 1
    return Figure(
        key=f"marginal-{setting.key.replace(',', '-')}",
        title=f"Effect of the {name}",
        caption=_caption(view, by_variant, overall is not None) + here.words,
        traces=made,
        layout=lines.plotly_layout(scale, y_title, here, legend=many),
        draw=partial(lines.draw, view, by_variant, scale, y_title, here, overall),
    )


def _caption(view: View, by_variant: Sequence[lines.Line], overall: bool) -> str:
    text = "Each point is a trial"
    if any(line.lost_x for line in by_variant):
        text += "; × diverged or failed, at the worse end"
    curves = [line.label for line in by_variant if len(line.x)]
    if not curves and not overall:
        return f"{text}. No forest explains these trials well enough (R² below {WEAK}) for a curve."
    text += (
        ". Curves: the value that a random forest expects there, averaged over all other settings "
        "that were searched; bands: 95% of its trees. They are no limits for single runs"
    )
    text += ". Grey: all variants together." if overall else "."
    text += lines.ALONE if lines.crowded(by_variant) else ""
    weak = [line.label for line in by_variant if not len(line.x)]
    if weak:
        text += f" Without a curve, as its forest explains too little: {', '.join(weak)}."
    return text


def _curve(label: str, setting: Setting, found: Decomposition | None) -> lines.Line | None:
    curve = found.curves.get(setting.key) if found and strong(found) else None
    if curve is None:
        return None
    rows = zip(setting.places(curve.x), curve.mean, curve.low, curve.high, strict=True)
    kept = sorted(row for row in rows if math.isfinite(row[0]))
    if not kept:
        return None
    x, middle, low, high = (list(row) for row in zip(*kept, strict=True))
    return lines.Line(label, x, middle, low, high)


def _line(view: View, setting: Setting, summary: Summary) -> lines.Line:
    """A variant's curve, with no points where there is none, and its trials."""
    label = summary.variant.label
    curve = _curve(label, setting, view.analysis.importance.get(label))
    x, finite, lost_x, _ = _trials(setting, summary)
    return lines.Line(
        label,
        curve.x if curve else (),
        curve.middle if curve else (),
        curve.low if curve else (),
        curve.high if curve else (),
        x,
        [o.valid for o in finite],
        lost_x,
    )


def _trials(
    setting: Setting, summary: Summary
) -> tuple[list[float], list[Outcome], list[float], list[Outcome]]:
    """Places and outcomes: of those with a value, and of the lost."""
    placed = [(setting.of(o.run), o) for o in summary.outcomes]
    placed = [(x, o) for x, o in placed if math.isfinite(x)]
    offsets = spread(len(placed), setting.beside)
    placed = [(x + by, o) for (x, o), by in zip(placed, offsets, strict=True)]
    kept = [(x, o) for x, o in placed if o.finite]
    lost = [(x, o) for x, o in placed if not o.finite]
    return [x for x, _ in kept], [o for _, o in kept], [x for x, _ in lost], [o for _, o in lost]


def _span(by_variant: Sequence[lines.Line]) -> Span | None:
    """What the bulk of the trials needs: that holds the curves, which are their means."""
    return span(list(line.dots_y) for line in by_variant)


def _dots(
    view: View, setting: Setting, summary: Summary, here: Span, *, legend: bool
) -> list[dict[str, Any]]:
    label = summary.variant.label
    x, finite, lost_x, lost = _trials(setting, summary)
    made = []
    if finite:
        one = dots(
            view, label, x, [o.valid for o in finite], finite, size=4, opacity=0.4, symbol="circle"
        )
        made.append(one | {"showlegend": legend, "hovertemplate": _hover(setting)})
    if lost:
        edge = [here.edge(view.analysis.better)] * len(lost)
        one = dots(view, label, lost_x, edge, lost, size=6, opacity=0.7, symbol="x-thin-open")
        made.append(one | {"showlegend": legend and not finite, "hovertemplate": "lost" + EXTRA})
    return [_worded(setting, one | {"legendgroup": label}) for one in made]


EXTRA = "<extra>%{fullData.name}</extra>"


def _hover(setting: Setting) -> str:
    return ("%{x}: %{y}" if setting.worded([]) is None else "%{text}: %{y}") + EXTRA


def _worded(setting: Setting, trace: dict[str, Any]) -> dict[str, Any]:
    """The trace with its settings in words, where places say something else: 0.01 for 0.99."""
    words = None if trace.get("hoverinfo") == "skip" else setting.worded(trace["x"])
    return trace if words is None else trace | {"text": words}
