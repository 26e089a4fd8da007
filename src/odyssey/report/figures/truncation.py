"""What the length of truncated backpropagation buys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from odyssey.report.analysis.names import axis_of_setting, name_of_setting
from odyssey.report.analysis.result import Outcome, Summary
from odyssey.report.figure import Figure
from odyssey.report.figures.common import NEUTRAL, View, axis, dots, layout, numbers, spread
from odyssey.report.figures.ranges import Span, span
from odyssey.report.palette import CELLS, colour_of, dash_of, symbol_of

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

KEY = "bptt.length"
WHOLE = math.inf  # the length of a sequence that is not cut
Row = tuple[float, Summary]  # length, the variant that has it


def truncation(view: View) -> Figure | None:
    """Lines by cell over the truncation lengths compared; None where they do not vary.

    Searched lengths are in the marginals.
    """
    found: dict[str, list[Row]] = {}
    joined = _with_length(view.summaries)
    for summary in view.summaries:
        length = _length(summary)
        settings = summary.variant.settings.items()
        others = {k: v for k, v in settings if k not in (KEY, "cell", *joined)}
        if not math.isnan(length):
            words = [summary.variant.cell, *(f"{k}={v}" for k, v in others.items())]
            found.setdefault(" ".join(filter(None, words)), []).append((length, summary))
    lengths = sorted({length for rows in found.values() for length, _ in rows})
    here = span([o.test for o in s.chosen] for rows in found.values() for _, s in rows)
    if len(lengths) < 2 or here is None:
        return None
    for rows in found.values():
        rows.sort(key=lambda row: row[0])
    bars = any(math.isfinite(s.mean.low) for rows in found.values() for _, s in rows)
    caption = "Mean value of each truncation length, by cell; points: runs."
    if bars:
        caption += " Bars: 95% intervals of the mean."
    if joined:
        caption += f" With the length goes {' and '.join(map(name_of_setting, joined))}."
    if view.analysis.comparison.kind == "search":
        caption += " The runs are the best of a search, with different settings."
    elif not bars:
        caption += " One run each: how far seeds scatter is not known."
    if any(not o.finite for rows in found.values() for _, s in rows for o in s.chosen):
        caption += " Runs that diverged or failed are not in the means."
    return Figure(
        key="truncation",
        title="What truncation length buys",
        caption=caption + here.words,
        traces=_traces(view, found, lengths),
        layout=_layout(view, found, lengths, here),
        draw=partial(_draw, view, found, lengths, here),
    )


def _with_length(summaries: Sequence[Summary]) -> list[str]:
    """Compared settings of which every length has one value: they belong to the length."""
    values: dict[str, dict[float, set[str]]] = {}
    for summary in summaries:
        for key, value in summary.variant.settings.items():
            if key not in (KEY, "cell"):
                values.setdefault(key, {}).setdefault(_length(summary), set()).add(value)
    several = {k: v for k, v in values.items() if len(set().union(*v.values())) > 1}
    return [k for k, v in several.items() if all(len(here) == 1 for here in v.values())]


def _length(summary: Summary) -> float:
    """Of the variant's runs; nan where they differ, or do not say."""
    said = {repr(o.run.config[KEY]) for o in summary.outcomes if KEY in o.run.config}
    if len(said) != 1:
        return math.nan
    value = next(o.run.config[KEY] for o in summary.outcomes if KEY in o.run.config)
    if value is None:
        return WHOLE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _named(length: float) -> str:
    return "whole" if length == WHOLE else f"{length:.0f}"


def _style(group: str, found: dict[str, list[Row]]) -> tuple[str, str, str]:
    """Colour, marker, dash of a line: the cell's own."""
    if group in CELLS or group:
        return tuple(f(group, list(found)) for f in (colour_of, symbol_of, dash_of))  # type: ignore[return-value]
    return NEUTRAL, "circle", "solid"


def _mean(summary: Summary) -> float:
    return summary.mean.value


def _scatter(
    summary: Summary, at: float, offset: float
) -> tuple[list[float], list[float], list[Outcome]]:
    kept = [o for o in summary.chosen if math.isfinite(o.test)]
    x = [at + offset + by for by in spread(len(kept), 0.06)]
    return x, [o.test for o in kept], kept


def _offsets(found: dict[str, list[Row]]) -> dict[str, float]:
    """Lines side by side, so that their bars do not cover each other."""
    middle = (len(found) - 1) / 2
    step = min(0.12, 0.6 / max(len(found), 1))
    return {group: (i - middle) * step for i, group in enumerate(found)}


def _traces(
    view: View, found: dict[str, list[Row]], lengths: Sequence[float]
) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for group, rows in found.items():
        colour, symbol, dash = _style(group, found)
        offset = _offsets(found)[group]
        places = [lengths.index(length) for length, _ in rows]
        means = [s.mean for _, s in rows]
        made.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": group or "mean",
                "legendgroup": group,
                "x": numbers(p + offset for p in places),
                "y": numbers(m.value for m in means),
                "error_y": {
                    "type": "data",
                    "array": numbers(m.high - m.value for m in means),
                    "arrayminus": numbers(m.value - m.low for m in means),
                    "thickness": 1.5,
                    "width": 3,
                },
                "line": {"color": colour, "dash": dash, "width": 2},
                "marker": {"color": colour, "symbol": symbol, "size": 8},
                "text": [_named(length) for length, _ in rows],
                "hovertemplate": "length %{text}: mean %{y}<extra>%{fullData.name}</extra>",
            }
        )
        for place, (_, summary) in zip(places, rows, strict=True):
            x, y, of = _scatter(summary, place, offset)
            if of:
                one = dots(view, summary.variant.label, x, y, of, size=5, opacity=0.5)
                one["marker"]["color"] = colour
                made.append(one | {"legendgroup": group, "showlegend": False})
    return made


def _layout(
    view: View, found: dict[str, list[Row]], lengths: Sequence[float], here: Span
) -> dict[str, Any]:
    return layout(
        420,
        legend=len(found) > 1,
        xaxis=axis(
            axis_of_setting(KEY),
            tickvals=list(range(len(lengths))),
            ticktext=[_named(length) for length in lengths],
            range=[-0.5, len(lengths) - 0.5],
        ),
        yaxis=axis(view.values_name(), here),
    )


def _draw(view: View, found: dict[str, list[Row]], lengths: Sequence[float], here: Span) -> Paper:
    from odyssey.report.figures import paper
    from odyssey.report.palette import LINES, MARKERS

    with paper.style():
        canvas = paper.paper(paper.COLUMN, 2.5)
        ax = canvas.subplots()
        for group, rows in found.items():
            colour, symbol, dash = _style(group, found)
            offset = _offsets(found)[group]
            places = [lengths.index(length) for length, _ in rows]
            for place, (_, summary) in zip(places, rows, strict=True):
                x, y, _ = _scatter(summary, place, offset)
                ax.scatter(x, y, s=5, color=colour, alpha=0.45, linewidths=0)
                if math.isfinite(summary.mean.low):
                    ends = summary.mean.low, summary.mean.high
                    ax.vlines(place + offset, *ends, color=colour, linewidth=1)
            ax.plot(
                [p + offset for p in places],
                [_mean(s) for _, s in rows],
                color=colour,
                linestyle=LINES[dash],
                marker=MARKERS[symbol],
                markersize=4,
                markeredgewidth=0,
                label=group,
            )
        ax.set_xticks(range(len(lengths)), [_named(length) for length in lengths])
        ax.set_xlim(-0.5, len(lengths) - 0.5)
        ax.set_ylim(here.low, here.high)
        ax.set(xlabel=axis_of_setting(KEY), ylabel=paper.in_two(view.values_name()))
        if len(found) > 1:
            paper.legend(canvas, 2.6)
        return paper.settled(canvas)
