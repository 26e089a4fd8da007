"""What a figure consists of: panels with axes, and marks in them.

A figure is plain data. `figures.plotly` draws it on the page and `figures.mpl` on paper; neither
knows any particular figure, and no figure knows either of them. Coordinates are those of the data
unless a field says otherwise; sizes are in pixels of the page, which paper scales. Numbers that
are not finite are left out. In texts a newline is a place where a line may be broken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

BOTH, PAGE, PAPER = "both", "page", "paper"
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "star", "cross",
    "x", "hexagon", "thin-x",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
HATCHES = ("", "/", "\\", "x", "-", "|", "+", ".")
TOGETHER = 4  # groups whose bands can be seen over each other; on paper more get a frame each


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A named place of an axis.

    note: a remark on it: behind or below the name on the page, on the other side of the frame on
    paper. note_colour: `#rrggbb`, on paper.
    """

    at: float
    name: str
    bold: bool = False
    note: str = ""
    note_colour: str | None = None


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a panel.

    kind: `linear`, `log`, or `categories`: a name at each of `ticks`, which stand at 0, 1, 2, …
    limits: the smaller end and the larger one; None leaves the choice to the renderer.
    reverse: the larger end is at the left or at the bottom.
    ticks: their places and names; empty: round numbers. whole: of these only whole ones.
    form: how round numbers are written: `percent`, `thousands` (50k) or as they are.
    from_zero: the axis begins at zero where `limits` is None. few: fewer ticks than usual.
    """

    title: str = ""
    kind: Literal["linear", "log", "categories"] = "linear"
    limits: tuple[float, float] | None = None
    reverse: bool = False
    ticks: Sequence[Tick] = ()
    whole: bool = False
    form: Literal["", "percent", "thousands"] = ""
    grid: bool = True
    from_zero: bool = False
    few: bool = False


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Error bars of the points, vertices or bars that carry it: the ends, not the distances.

    along: the direction, `x` or `y`. colour: None is that of the mark; `neutral` the renderer's.
    """

    low: Sequence[float]
    high: Sequence[float]
    along: Literal["x", "y"] = "y"
    colour: str | None = None
    width: float = 1.5


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What all marks share.

    name: what it shows, in the legend and beside the pointer. legend: whether it has an entry.
    group: marks of one group are shown and hidden together, and share a frame where a figure is
    split into frames. rank: of the entry in the legend, smallest first.
    colour: `#rrggbb`, for points and bars also one for each; None is the renderer's neutral one.
    hover: the pointer's text, with `{x}`, `{y}` and `{text}` of the point, each with a format of
    d3 as in `{x:.1%}`; None for no text. aside: the text beside it; `{name}` is the mark's name.
    on: where the mark is drawn: `both`, `page` or `paper`.
    """

    name: str = ""
    group: str = ""
    legend: bool = False
    rank: int = 1000
    colour: str | Sequence[str] | None = None
    opacity: float = 1.0
    hover: str | None = "{y}"
    aside: str = "{name}"
    on: Literal["both", "page", "paper"] = "both"


@dataclass(frozen=True, kw_only=True)
class Points(Mark):
    """Markers. symbol: one of SYMBOLS, for all or for each; hollow ones have no filling.

    texts: of each point, for `hover`. runs: for each point the index of its run in the page, which
    a click opens; None where it stands for none.
    """

    x: Sequence[float]
    y: Sequence[float]
    symbol: str | Sequence[str] = "circle"
    hollow: bool = False
    size: float = 6
    texts: Sequence[str] = ()
    runs: Sequence[int | None] | None = None
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Line(Mark):
    """A line through points in their order; with a symbol, markers at its vertices too.

    A line of one point is drawn as a marker.
    """

    x: Sequence[float]
    y: Sequence[float]
    dash: str = "solid"
    width: float = 2
    symbol: str = ""
    size: float = 6
    texts: Sequence[str] = ()
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Band(Mark):
    """The area between two lines, without the places at which either is not finite.

    alone: seen only where its group is by itself: on the page once a double click on the name in
    the legend shows it alone, on paper in the frame of the group.
    """

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    alone: bool = False
    hover: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bars(Mark):
    """Bars from zero, or from the end of the bars before them in the panel where `stacked`.

    at: their places along the axis of categories. texts: of each bar, for `hover`.
    hatch: one of HATCHES. inside: on paper, write the value as a percentage into the bars that
    have the width for it.
    """

    at: Sequence[float]
    values: Sequence[float]
    width: float = 0.7
    horizontal: bool = False
    stacked: bool = False
    hatch: str = ""
    texts: Sequence[str] = ()
    inside: bool = False
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Box(Mark):
    """A vertical box with whiskers (see `quartiles`), and its values as points beside each other.

    every: all values are points on the page; else only those beyond the whiskers. Paper has all.
    runs: as of Points, for each value.
    """

    at: float
    values: Sequence[float]
    width: float = 0.56
    symbol: str = "circle"
    size: float = 5
    every: bool = True
    runs: Sequence[int | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Rule(Mark):
    """A line across the panel: at `x`, or at `y`."""

    x: float | None = None
    y: float | None = None
    dash: str = "solid"
    width: float = 1
    hover: str | None = None


@dataclass(frozen=True, kw_only=True)
class Span(Mark):
    """A shaded stripe across the panel, between two values of x or of y; behind everything."""

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    hover: str | None = None


@dataclass(frozen=True, kw_only=True)
class Segment(Mark):
    """A straight line from one point to another."""

    x: tuple[float, float]
    y: tuple[float, float]
    dash: str = "solid"
    width: float = 2


@dataclass(frozen=True, kw_only=True)
class Label(Mark):
    """A text at a point, or at an x above the frame where y is None."""

    text: str
    x: float
    y: float | None = None
    anchor: Literal["left", "center", "right"] = "center"
    hover: str | None = None


@dataclass(frozen=True, kw_only=True)
class Heat(Mark):
    """Coloured cells: values[i][j] in row i, counted from the top, and column j; nan is empty.

    texts: written into the cells; short: the same for cells too small for them. scale: the values
    of the darkest and of the lightest colour. scale_title, form: of the colour bar, as of an Axis.
    colours: `#rrggbb` of the lower end, the middle and the upper end, instead of the usual ones.
    """

    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]] = ()
    short: Sequence[Sequence[str]] = ()
    colours: tuple[str, str, str] | None = None
    scale: tuple[float, float]
    scale_title: str = ""
    form: Literal["", "percent"] = ""
    hover: str | None = "{x} × {y}: {z}"


AnyMark: TypeAlias = (
    Points | Line | Band | Bars | Box | Rule | Span | Segment | Label | Heat
)  # what a renderer must know


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A frame with its axes and marks; a later mark is drawn over an earlier one."""

    marks: Sequence[AnyMark]
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the report.

    key: its file name. title: without a full stop. caption: sentences: what is shown, how it was
    made, what it cannot say.
    panels: rows of a grid, from the top. heights: of the rows, relative to each other.
    shared: whether the panels of a column have one x axis, at the bottom (`x`), those of a row one
    y axis, at the left (`y`), both (`xy`) or neither.
    legend: where on the page: `right`, `above`, or nowhere; on paper it is above.
    height: in pixels on the page, which paper scales. wide: takes both columns of the page.
    paper_wide: takes both columns of a paper. split: groups of marks that have a frame each on
    paper, where they are more than TOGETHER; common: the group that every frame shows as well.
    """

    key: str
    title: str
    caption: str
    panels: Sequence[Sequence[Panel]]
    heights: Sequence[float] = ()
    shared: Literal["", "x", "y", "xy"] = ""
    legend: Literal["", "right", "above"] = ""
    height: int = 420
    wide: bool = False
    paper_wide: bool = False
    split: Sequence[str] = ()
    common: str = ""

    @property
    def marks(self) -> list[AnyMark]:
        """All marks, panel by panel."""
        return [mark for row in self.panels for panel in row for mark in panel.marks]


@dataclass(frozen=True)
class Quartiles:
    """Where a box is drawn."""

    low: float  # of the lower whisker
    first: float
    median: float
    third: float
    high: float  # of the upper whisker


def quartiles(values: Sequence[float]) -> Quartiles:
    """Of finite values, by Hazen's rule (1914), as Plotly draws them.

    A whisker ends at the last value within 1.5 times the distance of the quartiles.
    """
    import numpy as np

    sample = np.array(values, dtype=float)
    first, middle, third = (float(v) for v in np.percentile(sample, [25, 50, 75], method="hazen"))
    far = 1.5 * (third - first)
    low = float(sample[sample >= first - far].min())
    high = float(sample[sample <= third + far].max())
    return Quartiles(min(low, first), first, middle, third, max(high, third))


def spread(count: int, width: float) -> list[float]:
    """Offsets in ± width that put points beside each other, the same every time."""
    golden = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly at every length
    return [width * (2 * ((i * golden) % 1) - 1) if count > 1 else 0.0 for i in range(count)]
