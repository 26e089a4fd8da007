"""What both figures of boxes share: a box for each variant, or its points where they are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.report.analysis.result import Outcome
from odyssey.report.figures.common import FEW, View, dots, faint, numbers, spread
from odyssey.report.figures.ranges import Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 0.56  # of a box; variants are 1 apart
POINTS = 2500  # of all boxes together, up to which each is drawn as a point


@dataclass(frozen=True)
class Group:
    """The values of one variant. Lost runs have no finite value."""

    label: str
    place: int  # along the axis
    outcomes: Sequence[Outcome]
    values: Sequence[float]

    @property
    def finite(self) -> list[tuple[Outcome, float]]:
        pairs = zip(self.outcomes, self.values, strict=True)
        return [(o, v) for o, v in pairs if math.isfinite(v)]

    @property
    def lost(self) -> list[Outcome]:
        pairs = zip(self.outcomes, self.values, strict=True)
        return [o for o, v in pairs if not math.isfinite(v)]


def traces(view: View, groups: Sequence[Group], view_span: Span) -> list[dict[str, Any]]:
    """Plotly: a box with its points, or points and a median; × for the lost at the worse end."""
    every = sum(len(g.finite) for g in groups) <= POINTS
    found: list[dict[str, Any]] = []
    for group in groups:
        if len(group.finite) >= FEW:
            found.append(_box(view, group, every))
        elif group.finite:
            found += _points(view, group)
        if group.lost:
            found.append(_rug(view, group, view_span))
    return found


def _box(view: View, group: Group, every: bool) -> dict[str, Any]:
    colour = view.colour(group.label)
    return {
        "type": "box",
        "name": group.label,
        "x0": group.place,
        "y": numbers(v for _, v in group.finite),
        "customdata": [view.index(o.run) for o, _ in group.finite],
        "width": WIDTH,
        "boxpoints": "all" if every else "outliers",
        "jitter": 0.7,
        "pointpos": 0,
        "fillcolor": faint(colour, 0.18),
        "line": {"color": colour, "width": 1.5},
        "marker": {
            "color": colour,
            "symbol": view.symbol(group.label),
            "size": 5,
            "opacity": 0.75,
        },
        "hovertemplate": "%{y}<extra>%{fullData.name}</extra>",
    }


def _points(view: View, group: Group) -> list[dict[str, Any]]:
    values = [v for _, v in group.finite]
    offsets = spread(len(values), WIDTH / 4)
    middle = float(np.median(values))
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": f"{group.label}, median",
        "x": [group.place - WIDTH / 2, group.place + WIDTH / 2],
        "y": numbers([middle, middle]),
        "line": {"color": view.colour(group.label), "width": 2},
        "hovertemplate": "median %{y}<extra></extra>",
    }
    x = [group.place + offset for offset in offsets]
    points = dots(view, group.label, x, values, [o for o, _ in group.finite], size=8, opacity=0.9)
    return [line, points]


def _rug(view: View, group: Group, view_span: Span) -> dict[str, Any]:
    x = [group.place + offset for offset in spread(len(group.lost), WIDTH / 2)]
    y = [view_span.edge(view.analysis.better)] * len(x)
    rug = dots(view, group.label, x, y, group.lost, size=7, symbol="x-thin-open")
    rug["text"] = [o.run.state for o in group.lost]
    return rug | {"hovertemplate": "%{text}<extra>%{fullData.name}</extra>"}


def draw(ax: Axes, view: View, groups: Sequence[Group], view_span: Span) -> None:
    """The same on paper."""
    from odyssey.report.palette import MARKERS

    crowd = max((len(g.finite) for g in groups), default=0)
    for group in groups:
        colour = view.colour(group.label)
        values = [v for _, v in group.finite]
        few = len(values) < FEW
        if few and values:
            ends = group.place - WIDTH / 2, group.place + WIDTH / 2
            ax.hlines(float(np.median(values)), *ends, color=colour, linewidth=1.6)
        elif values:
            _paper_box(ax, group.place, values, colour)
        offsets = spread(len(values), WIDTH * (0.25 if few else 0.38))
        ax.scatter(
            [group.place + offset for offset in offsets],
            values,
            s=14 if few else (9 if crowd <= 40 else 3),
            marker=MARKERS[view.symbol(group.label)],
            color=colour,
            alpha=0.9 if few else (0.75 if crowd <= 40 else 0.4),
            linewidths=0,
            zorder=3,
        )
        if group.lost:
            x = [group.place + offset for offset in spread(len(group.lost), WIDTH / 2)]
            y = [view_span.edge(view.analysis.better)] * len(x)
            ax.scatter(x, y, s=9, marker="x", color=colour, linewidths=0.6, zorder=3)
    ax.set_xlim(-0.6, max(g.place for g in groups) + 0.6)
    ax.set_ylim(view_span.low, view_span.high)


def _paper_box(ax: Axes, place: int, values: Sequence[float], colour: str) -> None:
    # By hand: Axes.boxplot imports pyplot, which looks for a screen.
    low, first, middle, third, high = box_of(values)
    half = WIDTH / 2
    thin: dict[str, Any] = {"color": colour, "linewidth": 0.9}
    ax.bar(place, third - first, WIDTH, first, color=(colour, 0.16))
    ax.hlines([first, third], place - half, place + half, **thin)
    ax.vlines([place - half, place + half], first, third, **thin)
    ax.vlines([place, place], [low, third], [first, high], **thin)
    ax.hlines([low, high], place - half / 2, place + half / 2, **thin)
    ax.hlines(middle, place - half, place + half, color=colour, linewidth=1.8)


def box_of(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Lower whisker, quartiles, upper whisker, as Plotly has them.

    Quartiles by Hazen's rule, Plotly's `linear`; whiskers end at the last value within 1.5 times
    their distance.
    """
    sample = np.array(values, dtype=float)
    first, middle, third = np.percentile(sample, [25, 50, 75], method="hazen")
    far = 1.5 * (third - first)
    low = sample[sample >= first - far].min()
    high = sample[sample <= third + far].max()
    return (
        float(min(low, first)),
        float(first),
        float(middle),
        float(third),
        float(max(high, third)),
    )
