"""How often the runs of each variant diverge or fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from odyssey.report.analysis.result import Summary
from odyssey.report.figure import Figure
from odyssey.report.figures.common import NEUTRAL, View, axis, layout, number, numbers
from odyssey.report.stats.samples import Interval

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

ENDED = ("finished", "diverged", "failed")


def divergence(view: View) -> Figure | None:
    """Shares with intervals; None where all of a few runs finished."""
    rows = [s for s in view.summaries if math.isfinite(s.diverged.value)]
    lost = any(s.counts.get(state) for s in rows for state in ("diverged", "failed"))
    if not rows or not (lost or any(_ended(s) >= 5 for s in rows)):
        return None
    failed = any(s.counts.get("failed") for s in rows)
    caption = (
        "Share of the runs that ended by a loss that was not finite, with Wilson's 95% interval, "
        "and how many of how many."
    )
    if failed:
        caption += " Hollow: the share that failed for another reason."
    if view.analysis.comparison.searched:
        caption += " It depends on the ranges searched: a wider one for the learning rate, more."
    return Figure(
        key="divergence",
        title="How often runs diverge",
        caption=caption,
        traces=_traces(view, rows, failed),
        layout=layout(
            110 + 30 * len(rows),
            legend=failed,
            xaxis=axis(
                "share of the runs that ended",
                range=[-0.02 * _end(rows), _end(rows)],
                tickformat=".0%",
            ),
            yaxis=axis(
                tickvals=list(range(len(rows))),
                ticktext=[f"{s.variant.label} · {_count(s)}" for s in rows],
                range=[len(rows) - 0.5, -0.5],
                showgrid=False,
            ),
        ),
        draw=partial(_draw, view, rows, failed),
    )


def _ended(summary: Summary) -> int:
    return sum(summary.counts.get(state, 0) for state in ENDED)


def _count(summary: Summary, state: str = "diverged") -> str:
    return f"{summary.counts.get(state, 0)} of {_ended(summary)}"


def _end(rows: Sequence[Summary]) -> float:
    """Of the axis: a little more than the largest limit."""
    limits = [i.high for s in rows for i in (s.diverged, s.failed) if math.isfinite(i.high)]
    return float(number(min(1.02, 1.08 * max(limits, default=1)), 3) or 1)


def _traces(view: View, rows: Sequence[Summary], failed: bool) -> list[dict[str, Any]]:
    colours = [view.colour(s.variant.label) for s in rows]
    symbols = [view.symbol(s.variant.label) for s in rows]
    made = [_trace("diverged", [s.diverged for s in rows], colours, symbols, 0, rows)]
    if failed:
        hollow = [f"{symbol}-open" for symbol in symbols]
        made.append(_trace("failed", [s.failed for s in rows], colours, hollow, 0.25, rows))
    return made


def _trace(
    name: str,
    shares: Sequence[Interval],
    colours: Sequence[str],
    symbols: Sequence[str],
    offset: float,
    rows: Sequence[Summary],
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": numbers(s.value for s in shares),
        "y": [i + offset for i in range(len(shares))],
        "error_x": {
            "type": "data",
            "array": numbers(s.high - s.value for s in shares),
            "arrayminus": numbers(s.value - s.low for s in shares),
            "color": NEUTRAL,
            "thickness": 1.5,
            "width": 4,
        },
        "marker": {"color": list(colours), "symbol": list(symbols), "size": 10},
        "text": [f"{s.variant.label}: {_count(s, name)}" for s in rows],
        "hovertemplate": "%{text}, %{x:.1%}<extra>%{fullData.name}</extra>",
    }


def _draw(view: View, rows: Sequence[Summary], failed: bool) -> Paper:
    from odyssey.report.figures import paper
    from odyssey.report.palette import MARKERS

    with paper.style():
        canvas = paper.paper(paper.COLUMN, 0.55 + 0.2 * len(rows))
        ax = canvas.subplots()
        for i, summary in enumerate(rows):
            colour = view.colour(summary.variant.label)
            marker = MARKERS[view.symbol(summary.variant.label)]
            shown = [(summary.diverged, 0.0, colour)]
            if failed:
                shown.append((summary.failed, 0.28, "white"))
            for share, offset, face in shown:
                if math.isfinite(share.value):
                    ends = share.low, share.high
                    ax.hlines(i + offset, *ends, color=colour, linewidth=1, alpha=0.8)
                    ax.plot(share.value, i + offset, marker, markersize=4.5, color=colour,
                            markerfacecolor=face, markeredgewidth=0.8, clip_on=False,
                            zorder=3)  # fmt: skip
        names = [f"{paper.cut(s.variant.label, 24)}  {_count(s)}" for s in rows]
        ax.set_yticks(range(len(rows)), names)
        ax.set(xlim=(-0.01 * _end(rows), _end(rows)), ylim=(len(rows) - 0.4, -0.6))
        ax.set_xlabel("share of the runs that ended")
        ax.xaxis.set_major_locator(paper.few_ticks(5))
        ax.xaxis.set_major_formatter(paper.percent)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        return paper.settled(canvas)
