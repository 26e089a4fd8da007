"""Each variant against the baseline, with an interval and the verdict: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from odyssey.report.analysis.names import unit_of
from odyssey.report.analysis.result import Verdict
from odyssey.report.figure import Figure
from odyssey.report.figures.common import NEUTRAL, View, axis, faint, layout, numbers
from odyssey.report.figures.ranges import Span, span
from odyssey.report.palette import colour_of_verdict

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

SAME_BAND = 0.14  # opacity of the margin


def differences(view: View) -> Figure | None:
    """Differences of means, best first; None where no verdict has one."""
    rows = [v for v in view.analysis.verdicts if math.isfinite(v.difference.value)]
    sign = 1 if view.analysis.better == "lower" else -1
    rows.sort(key=lambda v: sign * v.difference.value)
    here = _span(view, rows)
    if here is None:
        return None
    margin = view.analysis.margin
    level = rows[0].difference.level
    caption = (
        f"Difference of the means of the chosen runs to {view.baseline}, with its {level:.0%} "
        "interval (Welch), not corrected for the number of variants; the word is, and so can be "
        "more careful than the interval."
    )
    if margin is not None:
        caption += f" Band: differences of at most {margin:g}, which count as the same."
    without = [v.variant for v in view.analysis.verdicts if v not in rows]
    if without:
        caption += f" Without a mean, and left out: {', '.join(without)}."
    if any(math.isnan(v.difference.low) for v in rows):
        caption += " A point without an interval: too few runs for one."
    return Figure(
        key="differences",
        title=f"Difference to {view.baseline}",
        caption=caption + here.words,
        traces=[_trace(row, i) for i, row in enumerate(rows)],
        layout=_layout(view, rows, here),
        draw=partial(_draw, view, rows, here),
    )


def _span(view: View, rows: Sequence[Verdict]) -> Span | None:
    """Holds zero, the margin and the intervals, but for those that are far wider than others."""
    if not rows:
        return None
    margin = view.analysis.margin or 0.0
    groups = [[d.low, d.value, d.high] for d in (v.difference for v in rows)]
    found = span([*groups, [-margin, 0.0, margin]])
    if found is None:
        return None
    low, high = min(found.low, -1.1 * margin), max(found.high, 1.1 * margin)
    points = sum(not low <= v.difference.value <= high for v in rows)
    return Span(low, high, points)


def _axis_title(view: View) -> str:
    better = "left" if view.analysis.better == "lower" else "right"
    part = {"valid": "validation"}.get(view.analysis.part, view.analysis.part)
    unit = unit_of(view.analysis.metric)
    return f"difference in {unit}, {part}; better is to the {better}"


def _trace(row: Verdict, place: int) -> dict[str, Any]:
    d, colour = row.difference, colour_of_verdict(row.word)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": row.variant,
        "x": numbers([d.value]),
        "y": [place],
        "error_x": {
            "type": "data",
            "array": numbers([d.high - d.value]),
            "arrayminus": numbers([d.value - d.low]),
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        "marker": {"color": colour, "size": 10, "symbol": _marker(row.word)},
        "text": [f"{d.value:+.3g} ({d.low:+.3g} to {d.high:+.3g})<br>{row.word}"],
        "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
    }


def _marker(word: str) -> str:
    """Hollow where nothing was shown."""
    return "circle" if word in ("better", "worse", "same") else "circle-open"


def _layout(view: View, rows: Sequence[Verdict], here: Span) -> dict[str, Any]:
    margin = view.analysis.margin
    ends = {"yref": "paper", "y0": 0, "y1": 1}
    shapes: list[dict[str, Any]] = [
        {"type": "line", "x0": 0, "x1": 0, **ends, "line": {"color": NEUTRAL, "width": 1}}
    ]
    if margin is not None:
        band = faint(colour_of_verdict("same"), SAME_BAND)
        line = {"width": 0}
        shapes.insert(
            0,
            {
                "type": "rect", "x0": -margin, "x1": margin, **ends,
                "fillcolor": band, "line": line, "layer": "below",
            },
        )  # fmt: skip
    found = layout(
        110 + 34 * len(rows),
        xaxis=axis(_axis_title(view), here),
        yaxis=axis(
            tickvals=list(range(len(rows))),
            ticktext=[f"{v.variant} · {v.word}" for v in rows],
            range=[len(rows) - 0.5, -0.5],
            showgrid=False,
        ),
        shapes=shapes,
    )
    return found


def _draw(view: View, rows: Sequence[Verdict], here: Span) -> Paper:
    from odyssey.report.figures import paper

    margin = view.analysis.margin
    with paper.style():
        canvas = paper.paper(paper.COLUMN, 0.6 + 0.21 * len(rows))
        ax = canvas.subplots()
        if margin is not None:
            ax.axvspan(-margin, margin, color=colour_of_verdict("same"), alpha=SAME_BAND, lw=0)
        ax.axvline(0, color=paper.SOFT, linewidth=0.8)
        for i, row in enumerate(rows):
            d, colour = row.difference, colour_of_verdict(row.word)
            if math.isfinite(d.low):
                ax.hlines(i, d.low, d.high, color=colour, linewidth=1.4)
            full = _marker(row.word) == "circle"
            ax.plot(d.value, i, "o", markersize=4.5, color=colour, markeredgewidth=1,
                    markerfacecolor=colour if full else "white")  # fmt: skip
            ax.text(1.02, i, row.word, transform=ax.get_yaxis_transform(), va="center",
                    fontsize=7, color=colour)  # fmt: skip
        ax.set_yticks(range(len(rows)), [paper.cut(v.variant, 24) for v in rows])
        ax.set(xlim=(here.low, here.high), ylim=(len(rows) - 0.4, -0.6))
        ax.set_xlabel(paper.in_two(_axis_title(view)))
        ax.xaxis.set_major_locator(paper.few_ticks(5))
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        return paper.settled(canvas)
