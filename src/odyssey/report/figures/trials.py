"""All trials of each variant by validation value, with those that were lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from odyssey.report.analysis.result import SEARCH
from odyssey.report.figure import Figure
from odyssey.report.figures import boxes
from odyssey.report.figures.common import FEW, View, axis, labelled, layout
from odyssey.report.figures.ranges import Span, span

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper


def trials(view: View) -> Figure | None:
    """Boxes of every run that ended; None where no run has a value."""
    groups = [
        boxes.Group(s.variant.label, place, s.outcomes, [o.valid for o in s.outcomes])
        for place, s in enumerate(view.summaries)
    ]
    here = span(g.values for g in groups)
    if here is None:
        return None
    searched = view.analysis.comparison.kind == SEARCH
    caption = "Best validation value of every run that ended; each point is a run."
    if any(len(g.finite) >= FEW for g in groups):
        caption += " Boxes span the quartiles, whiskers 1.5 times their distance at most."
    if sum(len(g.finite) for g in groups) > boxes.POINTS:
        caption += " Of so many, only points beyond the whiskers are drawn on the page."
    if any(g.lost for g in groups):
        caption += (
            " ×: diverged or failed, at the worse end and not in the boxes; their number stands "
            "by the name."
        )
    if searched:
        caption += " How much of a box is the variant's doing depends on the ranges searched."
    return Figure(
        key="all",
        title="All trials of each variant" if searched else "All runs of each variant",
        caption=caption + here.words,
        traces=boxes.traces(view, groups, here),
        layout=layout(
            xaxis=_named(view, groups),
            yaxis=axis(view.values_name("valid"), here),
        ),
        draw=partial(_draw, view, groups, here),
    )


def _lost(group: boxes.Group) -> str:
    """`12 diverged`, `3 lost`; nothing where all runs finished."""
    if not group.lost:
        return ""
    states = {o.run.state for o in group.lost}
    return f"{len(group.lost)} {states.pop() if len(states) == 1 else 'lost'}"


def _named(view: View, groups: list[boxes.Group]) -> dict[str, object]:
    found = labelled(view, [g.label for g in groups])
    names = zip(found["ticktext"], map(_lost, groups), strict=True)
    return found | {"ticktext": [f"{name}<br>{lost}" if lost else name for name, lost in names]}


def _draw(view: View, groups: list[boxes.Group], here: Span) -> Paper:
    from odyssey.report.figures import paper

    labels = [g.label for g in groups]
    wide = paper.PAGE if len(groups) > 5 else paper.COLUMN
    room = (wide - 0.7) / len(labels)
    with paper.style():
        canvas = paper.paper(wide, 2.6)
        ax = canvas.subplots()
        boxes.draw(ax, view, groups, here)
        ax.set_ylabel(paper.in_two(view.values_name("valid")))
        for group in groups:
            lost = _lost(group).replace(" ", "\n")
            ax.text(
                group.place,
                1.02,
                lost if room > 0.5 else lost.split("\n")[0],
                transform=ax.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=6.5,
                color=paper.SOFT,
            )
        paper.name_ticks(ax, labels, view.baseline, room)
        return paper.settled(canvas)
