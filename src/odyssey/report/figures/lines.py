"""What figures of curves share: a line with its band for each variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.report.figures.common import NEUTRAL, View, axis, faint, layout, numbers, short
from odyssey.report.figures.ranges import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from odyssey.report.figures.paper import Paper

OTHERS = "#c9ced6"  # in the frame of another
ALONE = " A double click on a name shows it alone, with its band."  # of captions
MOST_FRAMES = 50  # of a paper's figure; all variants are on the page
TOGETHER = 4  # variants that a paper's figure shows in one frame; more get a frame each


@dataclass(frozen=True)
class Line:
    """A curve, with a band where low and high are finite; and runs that stand beside it."""

    label: str
    x: Sequence[float]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    dots_x: Sequence[float] = ()
    dots_y: Sequence[float] = ()
    lost_x: Sequence[float] = ()  # of runs without a value

    @property
    def banded(self) -> list[int]:
        """Where the band has both limits."""
        pairs = enumerate(zip(self.low, self.high, strict=True))
        return [i for i, (a, b) in pairs if math.isfinite(a) and math.isfinite(b)]


@dataclass(frozen=True)
class Scale:
    """The axis along which curves run."""

    title: str
    low: float
    high: float
    log: bool = False
    reverse: bool = False
    whole: bool = False  # only whole numbers
    ticks: Sequence[tuple[float, str]] = field(default=())  # none: as they fall

    @property
    def named(self) -> Sequence[tuple[float, str]]:
        """The ticks with their names: those given, or round numbers of a log axis."""
        if self.ticks or not self.log:
            return self.ticks
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        digits = (1, 2, 5) if self.high / self.low < 200 else (1,)
        values = [d * 10.0**power for power in range(first, last + 1) for d in digits]
        return [(v, short(v)) for v in values if self.low <= v <= self.high]

    def plotly(self) -> dict[str, Any]:
        ends = [self.low, self.high]
        if self.log:
            ends = [math.log10(end) for end in ends]
        ends = [round(end, 5) for end in (ends[::-1] if self.reverse else ends)]
        found = axis(self.title, range=ends)
        if self.log:
            found["type"] = "log"
        elif self.whole:
            found["dtick"] = max(1, round((self.high - self.low) / 8))
        if named := self.named:
            found |= {"tickvals": [t for t, _ in named], "ticktext": [s for _, s in named]}
        return found

    def paper(self, ax: Axes, narrow: bool = False) -> None:
        """For matplotlib. narrow: with few ticks."""
        from odyssey.report.figures import paper

        if self.log:
            ax.set_xscale("log")
            ax.minorticks_off()
        if named := self.named:
            kept = named[:: -(-len(named) // 3) if narrow else 1]
            ax.set_xticks([t for t, _ in kept], [paper.cut(s, 16) for _, s in kept], minor=False)
        else:
            ax.xaxis.set_major_locator(paper.few_ticks(3 if narrow else 5, self.whole))
        ax.set_xlim(*((self.high, self.low) if self.reverse else (self.low, self.high)))


def scale(title: str, x: Sequence[float], log: bool) -> Scale:
    """From the least to the most of `x`, with some room."""
    low, high = min(x), max(x)
    if log:
        room = (high / low) ** 0.03 if high > low else 1.5
        return Scale(title, low / room, high * room, log=True)
    room = 0.03 * (high - low) or 0.5
    return Scale(title, low - room, high + room)


def traces(
    view: View, line: Line, *, hover: str, band: float = 0.14, hidden: bool = False
) -> list[dict[str, Any]]:
    """Plotly: the band, and the line over it; one entry of the legend shows and hides both.

    hidden: the band is seen once a double click on the name shows it alone.
    """
    colour = view.colour(line.label) if line.label in view.labels else NEUTRAL
    at = line.banded
    found: list[dict[str, Any]] = []
    if len(at) > 1:
        x = [line.x[i] for i in at]
        y = [line.low[i] for i in at] + [line.high[i] for i in reversed(at)]
        found.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers([*x, *reversed(x)]),
                "y": numbers(y),
                "fill": "toself",
                "fillcolor": faint(colour, band),
                "line": {"width": 0},
                "hoverinfo": "skip",
                "visible": "legendonly" if hidden else True,
                "showlegend": False,
                "legendgroup": line.label,
                "name": line.label,
            }
        )
    style = {"color": colour, "width": 2}
    if line.label in view.labels:
        style["dash"] = view.dash(line.label)
    found.append(
        {
            "type": "scatter",
            "mode": "lines" if len(line.x) > 1 else "markers",
            "name": line.label,
            "legendgroup": line.label,
            "legendrank": view.rank(line.label),
            "x": numbers(line.x),
            "y": numbers(line.middle),
            "line": style,
            "marker": {"color": colour},
            "hovertemplate": hover,
        }
    )
    return found


def crowded(lines: Sequence[Line]) -> bool:
    """Whether bands over each other would show nothing."""
    return len(lines) > TOGETHER


def plotly_layout(x: Scale, y_title: str, y: Span, *, legend: bool) -> dict[str, Any]:
    found = layout(440, legend=legend, xaxis=x.plotly(), yaxis=axis(y_title, y))
    found["legend"] = {"groupclick": "togglegroup", "itemsizing": "constant"}
    return found


def draw(
    view: View,
    lines: Sequence[Line],
    x: Scale,
    y_title: str,
    y: Span,
    common: Line | None = None,
) -> Paper:
    """On paper: one frame for few variants; for many a frame each, the others faint behind.

    common: a line that every frame has for comparison; without one, the baseline's.
    """
    from odyssey.report.figures import paper

    with paper.style():
        if crowded(lines):
            return _frames(view, lines, x, y_title, y, common)
        canvas = paper.paper(paper.COLUMN, 2.5)
        ax = canvas.subplots()
        if common:
            _line(ax, common, paper.SOFT, (0, (4, 2)), band=0.1)
        for line in lines:
            _own(ax, view, line, y, len(lines) == 1)
        x.paper(ax)
        ax.set(xlabel=x.title, ylabel=paper.in_two(y_title), ylim=(y.low, y.high))
        if len(lines) > 1 or common:
            paper.legend(canvas, 2.6)
        return paper.settled(canvas)


def _frames(
    view: View, lines: Sequence[Line], x: Scale, y_title: str, y: Span, common: Line | None
) -> Paper:
    from matplotlib.lines import Line2D

    from odyssey.report.figures import paper

    every, lines = len(lines), lines[:MOST_FRAMES]
    columns = 3 if len(lines) <= 9 else 5
    rows = -(-len(lines) // columns)
    canvas = paper.paper(paper.PAGE, 0.5 + (1.45 if columns == 3 else 1.25) * rows)
    frames = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    shown = common or next((one for one in lines if one.label == view.baseline), None)
    for place, ax in enumerate(frames.flat):
        if place >= len(lines):
            ax.set_visible(False)
            continue
        line = lines[place]
        for other in lines:
            if other is not line and other is not shown:
                ax.plot(other.x, other.middle, color=OTHERS, linewidth=0.5, zorder=1)
        if shown is not None and shown is not line:
            _line(ax, shown, paper.SOFT, (0, (4, 2)), band=0)
        _own(ax, view, line, y, True)
        bold = line.label == view.baseline
        ax.set_title(
            paper.cut(line.label, 30 if columns == 3 else 19),
            loc="left",
            pad=3,
            color=view.colour(line.label),
            fontweight="bold" if bold else "normal",
        )
        # The frame below is missing: this one shows the numbers.
        ax.tick_params(labelbottom=place + columns >= len(lines))
    x.paper(frames[0][0], narrow=columns > 3)  # the others share its axes
    frames[0][0].set_ylim(y.low, y.high)
    if shown is not None:
        dashed = Line2D(
            [], [], color=paper.SOFT, linestyle=(0, (4, 2)), label=paper.cut(shown.label, 40)
        )
        thin = Line2D([], [], color=OTHERS, linewidth=0.5, label="other variants")
        canvas.legend(handles=[dashed, thin], loc="outside upper right", ncols=2, handlelength=2.6)
    left = f"; {every - len(lines)} more variants are on the page" if every > len(lines) else ""
    canvas.supxlabel(x.title + left, fontsize=8)
    canvas.supylabel(y_title, fontsize=8)
    return paper.settled(canvas)


def _own(ax: Axes, view: View, line: Line, y: Span, alone: bool) -> None:
    """A variant's dots and line in its colour; dashes only where others are in the frame."""
    from odyssey.report.palette import LINES

    colour = view.colour(line.label)
    if len(line.dots_x):
        size = 3 if len(line.dots_x) > 60 else 6
        ax.scatter(
            line.dots_x, line.dots_y, s=size, color=colour, alpha=0.35, linewidths=0, zorder=2
        )
    if len(line.lost_x):
        edge = [y.edge(view.analysis.better)] * len(line.lost_x)
        ax.scatter(line.lost_x, edge, s=7, marker="x", color=colour, linewidths=0.5, zorder=2)
    _line(ax, line, colour, (0, ()) if alone else LINES[view.dash(line.label)], band=0.18)


def _line(ax: Axes, line: Line, colour: str, dash: Any, band: float) -> None:
    at = line.banded
    if band and len(at) > 1:
        x, low, high = (np.array([row[i] for i in at]) for row in (line.x, line.low, line.high))
        ax.fill_between(x, low, high, color=colour, alpha=band, linewidth=0, zorder=1.5)
    marker = "o" if len(line.x) == 1 else ""
    ax.plot(
        line.x,
        line.middle,
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=3,
        label=line.label,
        zorder=2.5,
    )
