"""The chosen runs of each variant by test value, and their sizes: Greff et al., figure 3."""

from __future__ import annotations

import math
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from odyssey.report.analysis.notes import percent
from odyssey.report.analysis.result import SEARCH, SEEDS, Summary
from odyssey.report.figure import Figure
from odyssey.report.figures import boxes
from odyssey.report.figures.common import (
    FEW,
    NEUTRAL,
    View,
    axis,
    faint,
    labelled,
    layout,
    numbers,
)
from odyssey.report.figures.ranges import Span, span
from odyssey.report.palette import colour_of_verdict

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

MANY = 12  # variants, from which on words stand upright on the page
WORDS = {"no difference found": "no diff.<br>found", "cannot tell": "cannot<br>tell"}


def top(view: View) -> Figure | None:
    """Boxes, with the verdict above and the number of parameters below."""
    groups = [
        boxes.Group(s.variant.label, place, s.chosen, [o.test for o in s.chosen])
        for place, s in enumerate(view.summaries)
    ]
    here = span(g.values for g in groups)
    if here is None:
        return None
    sizes = [_params(s) for s in view.summaries]
    return Figure(
        key="top",
        title=_title(view),
        caption=_caption(view, groups, here),
        traces=[*_reference(view, groups), *boxes.traces(view, groups, here), *_bars(view, sizes)],
        layout=_layout(view, groups, here, sizes),
        draw=partial(_draw, view, groups, here, sizes),
    )


def _title(view: View) -> str:
    if view.analysis.comparison.kind == SEARCH:
        return f"The best {percent(view.analysis.share)} of the trials of each variant"
    if view.analysis.comparison.kind == SEEDS:
        return "All seeds of each variant"
    return "The run of each variant"


def _caption(view: View, groups: list[boxes.Group], here: Span) -> str:
    kind = view.analysis.comparison.kind
    part = {"valid": "Validation"}.get(view.analysis.part, view.analysis.part.capitalize())
    if kind == SEARCH:
        text = f"{part} values of the trials that were best by validation; each point is a run."
    else:
        text = f"{part} values; each point is a run."
    if any(len(g.finite) >= FEW for g in groups):
        text += " Boxes span the quartiles, whiskers 1.5 times their distance at most."
    if any(0 < len(g.finite) < FEW for g in groups):
        text += f" Of fewer than {FEW} runs the points and their median are shown, not a box."
    if any(g.label == view.baseline and g.finite for g in groups):
        text += f" Dashed: the median of the baseline, {view.baseline}."
    if view.analysis.verdicts:
        text += " Above: the verdict against it."
    if any(g.lost for g in groups):
        text += " ×: diverged or failed, at the worse end."
    text += " Below: trainable parameters of these runs, median and range."
    if kind == SEARCH:
        text += " The chosen trials differ in their settings: they are not repetitions of one run."
    return text + here.words


def _params(summary: Summary) -> tuple[float, float, float]:
    """Median, least and most of the chosen; nan where none is known."""
    known = [o.run.params for o in summary.chosen if o.run.params is not None]
    return (median(known), *summary.params) if known else (math.nan, math.nan, math.nan)


def _middle(view: View, groups: list[boxes.Group]) -> float:
    values = [v for g in groups if g.label == view.baseline for _, v in g.finite]
    return median(values) if values else math.nan


def _reference(view: View, groups: list[boxes.Group]) -> list[dict[str, Any]]:
    middle = _middle(view, groups)
    if math.isnan(middle):
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "median of the baseline",
            "x": [-0.6, len(groups) - 0.4],
            "y": numbers([middle, middle]),
            "line": {"color": NEUTRAL, "width": 1, "dash": "dash"},
            "hoverinfo": "skip",
        }
    ]


def _bars(view: View, sizes: list[tuple[float, float, float]]) -> list[dict[str, Any]]:
    if all(math.isnan(s[0]) for s in sizes):
        return []
    labels = [s.variant.label for s in view.summaries]
    return [
        {
            "type": "bar",
            "name": "parameters",
            "x": list(range(len(sizes))),
            "y": numbers(s[0] for s in sizes),
            "yaxis": "y2",
            "width": boxes.WIDTH,
            "marker": {
                "color": [faint(view.colour(label), 0.55) for label in labels],
                "line": {"width": 0},
            },
            "error_y": {
                "type": "data",
                "array": numbers(most - middle for middle, _, most in sizes),
                "arrayminus": numbers(middle - least for middle, least, _ in sizes),
                "color": NEUTRAL,
                "thickness": 1,
                "width": 3,
            },
            "text": labels,
            "textposition": "none",
            "hovertemplate": "%{y:,} parameters<extra>%{text}</extra>",
        }
    ]


def _layout(
    view: View, groups: list[boxes.Group], here: Span, sizes: list[tuple[float, float, float]]
) -> dict[str, Any]:
    labels = [g.label for g in groups]
    known = not all(math.isnan(s[0]) for s in sizes)
    found = layout(
        520 if known else 420,
        xaxis=labelled(view, labels) | {"anchor": "y2" if known else "y"},
        yaxis=axis(view.values_name(), here, domain=[0.32 if known else 0, 1]),
        annotations=[_above(view, g) for g in groups if view.word(g.label)],
    )
    if known:
        found["yaxis2"] = axis("parameters", domain=[0, 0.24], rangemode="tozero", nticks=4)
    found["margin"]["t"] = 96 if len(groups) > MANY else 44
    return found


def _above(view: View, group: boxes.Group) -> dict[str, Any]:
    word = view.word(group.label)
    return {
        "x": group.place,
        "y": 1.01,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "text": WORDS.get(word, word),
        "font": {"color": colour_of_verdict(word), "size": 11},
        **({"textangle": -90} if len(view.summaries) > MANY else {}),
    }


def _draw(
    view: View, groups: list[boxes.Group], here: Span, sizes: list[tuple[float, float, float]]
) -> Paper:
    from odyssey.report.figures import paper

    labels = [g.label for g in groups]
    known = not all(math.isnan(s[0]) for s in sizes)
    wide = paper.PAGE if len(groups) > 5 else paper.COLUMN
    room = (wide - 0.7) / len(labels)
    with paper.style():
        canvas = paper.paper(wide, 3.3 if known else 2.5)
        rows = canvas.subplots(
            2 if known else 1,
            1,
            sharex=True,
            squeeze=False,
            gridspec_kw={"height_ratios": [3.4, 1] if known else [1]},
        )
        ax = rows[0][0]
        middle = _middle(view, groups)
        if not math.isnan(middle):
            ax.axhline(middle, color=paper.SOFT, linewidth=0.7, linestyle=(0, (4, 3)))
        boxes.draw(ax, view, groups, here)
        ax.set_ylabel(paper.in_two(view.values_name()))
        for group in groups:
            word = view.word(group.label)
            ax.text(
                group.place,
                1.02,
                WORDS.get(word, word).replace("<br>", "\n" if room > 0.5 else " "),
                rotation=0 if room > 0.5 else 90,
                transform=ax.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=6.5,
                color=colour_of_verdict(word),
            )
        if known:
            _draw_bars(rows[1][0], view, labels, sizes)
        paper.name_ticks(rows[-1][0], labels, view.baseline, room)
        canvas.align_ylabels()
        return paper.settled(canvas)


def _draw_bars(
    ax: Any, view: View, labels: list[str], sizes: list[tuple[float, float, float]]
) -> None:
    from odyssey.report.figures import paper

    for place, (label, (middle, least, most)) in enumerate(zip(labels, sizes, strict=True)):
        if math.isnan(middle):
            continue
        ax.bar(place, middle, boxes.WIDTH, color=(view.colour(label), 0.55))
        if most > least:
            ax.vlines(place, least, most, color=paper.SOFT, linewidth=0.8)
    ax.set_ylabel("parameters")
    ax.yaxis.set_major_formatter(paper.thousands)
    ax.yaxis.set_major_locator(paper.few_ticks(4))
    ax.set_ylim(bottom=0)
