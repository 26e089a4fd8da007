"""Figures for a paper: drawn by matplotlib, in the width of one column or of both.

Text stays text (TrueType), a PDF has no date in it, and matplotlib's own settings are left as they
were. Nothing here opens a window or imports pyplot, which looks for a screen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from odyssey.report.figures import marks
from odyssey.report.figures.marks import (
    PAGE,
    TOGETHER,
    AnyMark,
    Axis,
    Band,
    Bars,
    Box,
    Figure,
    Heat,
    Interval,
    Label,
    Line,
    Mark,
    Panel,
    Points,
    Rule,
    Segment,
    Span,
)
from odyssey.report.figures.scales import in_two_lines
from odyssey.report.palette import luminance, text_colour

COLUMN, BOTH_COLUMNS = 3.4, 7.0  # inches: a column of a two-column paper, and both
PIXELS = 160  # of a figure's height on the page, in an inch of paper
MARKER, LINE, ERROR = 0.45, 0.6, 0.7  # points of paper for a pixel of the page
INK, SOFT, GRID = "#1d2127", "#5c6470", "#e4e7eb"
OTHERS = "#c9ced6"  # lines of other groups in the frame of one
MOST_FRAMES = 50
CROWD = 40  # values of a box, from which on its points are smaller and fainter
DPI = 200
FONTS = ("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans")
SYMBOLS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v",
    "pentagon": "p", "star": "*", "cross": "P", "x": "X", "hexagon": "h", "thin-x": "x",
}  # fmt: skip
DASHES: dict[str, tuple[float, tuple[float, ...]]] = {  # (offset, (on, off, …)) in line widths
    "solid": (0, ()),
    "dash": (0, (4, 2)),
    "dot": (0, (1, 1.4)),
    "dashdot": (0, (4, 1.5, 1, 1.5)),
    "longdash": (0, (7, 2)),
    "longdashdot": (0, (7, 1.5, 1, 1.5)),
}


class Paper(Canvas):
    """A figure that is saved in the style it was drawn in, with no date in it."""

    def savefig(self, fname: Any, **options: Any) -> None:
        if isinstance(fname, str | Path) and str(fname).lower().endswith(".pdf"):
            options.setdefault("metadata", {"CreationDate": None})
        with style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            super().savefig(fname, **options)


def draw(figure: Figure) -> Paper:
    """Any figure, ready to be saved."""
    with style():
        if len(figure.split) > TOGETHER:
            return _draw_frames(figure)
        width = BOTH_COLUMNS if figure.paper_wide else COLUMN
        paper = _paper(width, figure.height / PIXELS)
        rows, columns = len(figure.panels), max(map(len, figure.panels))
        grid = paper.subplots(
            rows,
            columns,
            sharex="col" if "x" in figure.shared else False,
            sharey="row" if "y" in figure.shared else False,
            squeeze=False,
            gridspec_kw={"height_ratios": figure.heights or [1] * rows},
        )
        for i, row in enumerate(figure.panels):
            for ax in grid[i][len(row) :]:
                ax.set_visible(False)
            for ax, panel in zip(grid[i], row, strict=False):
                # Inches of a panel, without what stands beside it.
                _draw_panel(ax, panel, (width - 0.7 * columns) / columns)
                if "x" in figure.shared and i < rows - 1:
                    ax.tick_params(labelbottom=False)
                    ax.set_xlabel("")
        if figure.legend:
            _legend(paper, _entries(figure.marks))
        paper.align_ylabels()
        return _settled(paper)


# The sheet


@cache
def _fonts() -> list[str]:
    """The first of FONTS that is installed, then matplotlib's own, which has more signs."""
    there = {font.name for font in fontManager.ttflist}
    return [name for name in FONTS if name in there][:1] + ["DejaVu Sans"]


def style() -> AbstractContextManager[None]:
    """Settings to draw and to save in; matplotlib's own are as before afterwards."""
    return matplotlib.rc_context(
        {
            "font.family": _fonts(),
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.titlesize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": SOFT,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "axes.linewidth": 0.6,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.major.size": 2.5,
            "ytick.major.size": 2.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.2,
            "hatch.linewidth": 0.5,
            "axes.formatter.useoffset": False,
            "text.hinting": "no_hinting",  # letters as wide at every resolution, as in a PDF
            "text.parse_math": False,  # a $ in a label is a dollar
            "pdf.fonttype": 42,  # letters stay letters
            "ps.fonttype": 42,
            "svg.fonttype": "none",
        }
    )


def _paper(width: float, height: float) -> Paper:
    """An empty figure, in inches. To be called within `style()`."""
    paper = Paper(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(paper)
    return paper


def _settled(paper: Paper) -> Paper:
    """The figure with its parts where the layout puts them, so that saving need not do it again."""
    engine = paper.get_layout_engine()
    if engine is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            # A title that is wider than its frame moves as the frame does: twice.
            engine.execute(paper)
            engine.execute(paper)
        paper.set_layout_engine("none")
    return paper


def text_width(text: str) -> float:
    """Of a text of 7 points, in inches, nearly."""
    return max(map(len, text.split("\n"))) * 0.062


LONGEST = 36  # characters of a name along an axis


def cut(text: str, most: int) -> str:
    """A text without its middle, if it is longer than `most` letters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - most // 2 - 1) :]}"


def _broken(label: str) -> str:
    """In two lines, parted at the space or underscore nearest the middle."""
    gaps = [i for i, sign in enumerate(label) if sign in " _"]
    if not gaps:
        return label
    at = min(gaps, key=lambda i: abs(i - len(label) / 2))
    return f"{label[: at + 1].rstrip()}\n{label[at + 1 :]}"


# Panels and axes


@dataclass
class _Frame:
    """What drawing a mark needs to know of its panel.

    width: inches of the frame. solid: dashes are not needed, as only one group has lines.
    frame: whether the panel shows one group of many. ends: of stacked bars, by their place.
    """

    width: float
    solid: bool = False
    frame: bool = False
    crowd: bool = False
    ends: dict[float, float] = field(default_factory=dict)


def _draw_panel(ax: Axes, panel: Panel, width: float) -> None:
    shown = [m for m in panel.marks if m.on != PAGE]
    lines = {m.group or m.name for m in shown if isinstance(m, Line)}
    crowd = any(isinstance(m, Box) and len(m.values) > CROWD for m in shown)
    frame = _Frame(width, solid=len(lines) == 1, crowd=crowd)
    _draw_axes(ax, panel, width)
    for place, mark in enumerate(shown):
        _draw_mark(ax, mark, frame, place)
    if panel.x.from_zero:  # after the marks, which set the other end
        ax.set_xlim(0, None)
    if panel.y.from_zero:
        ax.set_ylim(0, None)


def _draw_mark(ax: Axes, mark: AnyMark, frame: _Frame, place: int) -> None:
    DRAW[type(mark)](ax, mark, frame, 2 + 0.001 * place)


def _draw_axes(ax: Axes, panel: Panel, width: float, narrow: bool = False) -> None:
    _draw_axis(ax, panel.x, "x", width, narrow)
    _draw_axis(ax, panel.y, "y", width, False)
    if any(isinstance(mark, Bars) and mark.horizontal for mark in panel.marks):
        ax.spines["left"].set_visible(False)


def _draw_axis(ax: Axes, axis: Axis, name: str, width: float, narrow: bool) -> None:
    """narrow: with few ticks."""
    is_x = name == "x"
    own = ax.xaxis if is_x else ax.yaxis
    if axis.kind == "log":
        (ax.set_xscale if is_x else ax.set_yscale)("log")
        ax.minorticks_off()
    if axis.kind == "categories" and is_x:
        _name_categories(ax, axis, width)
    elif axis.kind == "categories":
        _name_rows(ax, axis)
    elif axis.ticks:
        kept = axis.ticks[:: -(-len(axis.ticks) // 3) if narrow else 1]
        own.set_ticks([t.at for t in kept], labels=[cut(t.name, 16) for t in kept], minor=False)
    elif is_x or axis.few:
        own.set_major_locator(_few_ticks(3 if narrow else 4 if axis.few else 5, axis.whole))
    if axis.form:
        own.set_major_formatter(PERCENT if axis.form == "percent" else THOUSANDS)
    if axis.limits is not None:
        ends = axis.limits[::-1] if axis.reverse else axis.limits
        (ax.set_xlim if is_x else ax.set_ylim)(*ends)
    elif axis.reverse:
        own.set_inverted(True)
    if not axis.grid:
        ax.grid(axis=name, visible=False)  # type: ignore[arg-type]
    (ax.set_xlabel if is_x else ax.set_ylabel)(in_two_lines(axis.title))


def _name_categories(ax: Axes, axis: Axis, width: float) -> None:
    """Names along x, on two lines or slanted where they would overlap; their notes above."""
    space = width / max(1, len(axis.ticks))
    names = [t.name if text_width(t.name) <= space else _broken(t.name) for t in axis.ticks]
    slanted = any(text_width(name) > space for name in names)
    if slanted:
        names = [cut(t.name, LONGEST) for t in axis.ticks]
    ax.set_xticks(
        [t.at for t in axis.ticks],
        names,
        rotation=35 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else None,
    )
    _embolden(ax.xaxis, axis)
    for tick in axis.ticks:
        if tick.note:
            _write_above(ax, tick.at, tick.note.replace(" ", "\n"), space, tick.note_colour or SOFT)


def _name_rows(ax: Axes, axis: Axis) -> None:
    """Names along y; their notes at the right."""
    ax.set_yticks([t.at for t in axis.ticks], [cut(t.name, LONGEST) for t in axis.ticks])
    ax.tick_params(axis="y", length=0)
    _embolden(ax.yaxis, axis)
    for tick in axis.ticks:
        if tick.note:
            ax.text(
                1.02,
                tick.at,
                tick.note,
                transform=ax.get_yaxis_transform(),
                va="center_baseline",
                fontsize=7,
                color=text_colour(tick.note_colour or SOFT),
            )


def _embolden(own: Any, axis: Axis) -> None:
    for drawn, tick in zip(own.get_major_ticks(len(axis.ticks)), axis.ticks, strict=True):
        drawn.label1.set_fontweight("bold" if tick.bold else "normal")


def _write_above(ax: Axes, x: float, text: str, space: float, colour: str) -> None:
    """A text above the frame, upright where it has less space than half an inch."""
    ax.text(
        x,
        1.02,
        text if space > 0.5 else text.replace("\n", " "),
        rotation=0 if space > 0.5 else 90,
        transform=ax.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=6.5,
        color=text_colour(colour),
    )


def _few_ticks(most: int, whole: bool = False) -> MaxNLocator:
    """Ticks that do not depend on the size of the axes, which depends on them."""
    return MaxNLocator(most, integer=whole, steps=[1, 2, 2.5, 5, 10])


PERCENT = FuncFormatter(lambda value, place: f"{100 * value:.3g}%")
THOUSANDS = FuncFormatter(
    lambda value, place: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
)


# Marks


def _colour(mark: Mark) -> str:
    return mark.colour if isinstance(mark.colour, str) else SOFT


def _colours(mark: Mark, count: int) -> list[str]:
    if mark.colour is None or isinstance(mark.colour, str):
        return [_colour(mark)] * count
    return list(mark.colour)


def _draw_points(ax: Axes, mark: Points, frame: _Frame, order: float) -> None:
    colours = _colours(mark, len(mark.x))
    if mark.interval:
        own = isinstance(mark.colour, str) or mark.interval.colour
        ends = [mark.interval.colour or _colour(mark)] * len(mark.x) if own else colours
        _draw_interval(ax, mark.interval, mark.x, mark.y, ends, order)
    single = isinstance(mark.symbol, str)
    symbols = [str(mark.symbol)] * len(mark.x) if single else list(mark.symbol)
    # Points on paper are fewer than its letters; those of one symbol are one artist.
    for symbol in dict.fromkeys(symbols):
        at = [i for i, s in enumerate(symbols) if s == symbol and _finite(mark.x[i], mark.y[i])]
        if not at:
            continue
        own_colours = [colours[i] for i in at]
        one = own_colours[0] if len(set(own_colours)) == 1 else own_colours
        thin = symbol == "thin-x"
        faces: dict[str, Any] = {"color": one, "linewidths": 0.6 if thin else 0}
        if mark.hollow and not thin:
            faces = {"facecolors": "white", "edgecolors": one, "linewidths": 0.9}
        ax.scatter(
            [mark.x[i] for i in at],
            [mark.y[i] for i in at],
            s=(MARKER * mark.size) ** 2,
            marker=SYMBOLS[symbol],
            alpha=1 if thin else mark.opacity,
            zorder=order,
            **faces,
        )


def _draw_line(ax: Axes, mark: Line, frame: _Frame, order: float) -> None:
    colour = _colour(mark)
    if mark.interval:
        ends = [mark.interval.colour or colour] * len(mark.x)
        _draw_interval(ax, mark.interval, mark.x, mark.y, ends, order)
    marker = SYMBOLS[mark.symbol] if mark.symbol else "o" if len(mark.x) == 1 else ""
    ax.plot(
        mark.x,
        mark.y,
        color=colour,
        alpha=mark.opacity,
        linewidth=LINE * mark.width,
        linestyle=DASHES["solid" if frame.solid else mark.dash],
        marker=marker,
        markersize=MARKER * mark.size + 0.4,
        markeredgewidth=0,
        zorder=order,
    )


def _draw_band(ax: Axes, mark: Band, frame: _Frame, order: float) -> None:
    x, low, high = (np.array(row, dtype=float) for row in (mark.x, mark.low, mark.high))
    at = np.isfinite(low) & np.isfinite(high)
    if at.sum() < 2 or (mark.alone and not frame.frame):
        return
    ax.fill_between(
        x[at], low[at], high[at], color=_colour(mark), alpha=mark.opacity, linewidth=0, zorder=order
    )


def _draw_bars(ax: Axes, mark: Bars, frame: _Frame, order: float) -> None:
    colours = _colours(mark, len(mark.at))
    draw = ax.barh if mark.horizontal else ax.bar
    for place, (at, value) in enumerate(zip(mark.at, mark.values, strict=True)):
        if not math.isfinite(value):
            continue
        start = frame.ends.get(at, 0.0) if mark.stacked else 0.0
        frame.ends[at] = start + value
        edges: dict[str, Any] = {}
        if mark.stacked:  # white between them, so that they can be told apart without colours
            edges = {"edgecolor": "white", "linewidth": 0.5}
        if mark.hatch:
            edges["hatch"] = 3 * mark.hatch
        face = (colours[place], mark.opacity)
        draw(at, value, mark.width, start, color=face, zorder=order, **edges)
        if mark.inside and value >= (0.05 if frame.width > COLUMN else 0.1):
            ink = INK if luminance(colours[place]) > 0.4 else "white"
            x, y = (start + value / 2, at) if mark.horizontal else (at, start + value / 2)
            ax.text(x, y, f"{value:.0%}", ha="center", va="center", fontsize=6, color=ink,
                    zorder=order)  # fmt: skip
    if mark.interval:
        ends = [mark.interval.colour or SOFT] * len(mark.at)
        along, across = (mark.values, mark.at) if mark.horizontal else (mark.at, mark.values)
        _draw_interval(ax, mark.interval, along, across, ends, order + 0.0005)


def _draw_interval(
    ax: Axes,
    interval: Interval,
    x: Sequence[float],
    y: Sequence[float],
    colours: Sequence[str],
    order: float,
) -> None:
    across = y if interval.along == "x" else x
    rows = zip(across, interval.low, interval.high, colours, strict=True)
    draw = ax.hlines if interval.along == "x" else ax.vlines
    for at, low, high, colour in rows:
        if _finite(at, low, high) and low < high:
            draw(at, low, high, color=colour, linewidth=ERROR * interval.width, zorder=order)


def _draw_box(ax: Axes, mark: Box, frame: _Frame, order: float) -> None:
    # By hand: Axes.boxplot imports pyplot, which looks for a screen.
    box, colour, half, at = marks.quartiles(mark.values), _colour(mark), mark.width / 2, mark.at
    thin: dict[str, Any] = {"color": colour, "linewidth": 0.9, "zorder": order}
    ax.bar(at, box.third - box.first, mark.width, box.first, color=(colour, 0.16), zorder=order)
    ax.hlines([box.first, box.third], at - half, at + half, **thin)
    ax.vlines([at - half, at + half], box.first, box.third, **thin)
    ax.vlines([at, at], [box.low, box.third], [box.first, box.high], **thin)
    ax.hlines([box.low, box.high], at - half / 2, at + half / 2, **thin)
    ax.hlines(box.median, at - half, at + half, color=colour, linewidth=1.8, zorder=order)
    points = Points(
        x=[at + by for by in marks.spread(len(mark.values), 0.68 * half)],
        y=mark.values,
        colour=colour,
        symbol=mark.symbol,
        size=(0.75 if frame.crowd else 1.2) * mark.size,
        opacity=0.5 if frame.crowd else mark.opacity,
    )
    _draw_points(ax, points, frame, order + 0.0005)


def _draw_rule(ax: Axes, mark: Rule, frame: _Frame, order: float) -> None:
    at = mark.x if mark.x is not None else mark.y
    draw: Any = ax.axvline if mark.x is not None else ax.axhline
    width = ERROR * mark.width
    draw(at, color=_colour(mark), linewidth=width, linestyle=DASHES[mark.dash], zorder=order)


def _draw_span(ax: Axes, mark: Span, frame: _Frame, order: float) -> None:
    ends = mark.x if mark.x is not None else mark.y
    assert ends is not None
    draw: Any = ax.axvspan if mark.x is not None else ax.axhspan
    draw(*ends, color=_colour(mark), alpha=mark.opacity, linewidth=0, zorder=0.5)


def _draw_segment(ax: Axes, mark: Segment, frame: _Frame, order: float) -> None:
    width = 1.3 * LINE * mark.width
    ax.plot(mark.x, mark.y, color=_colour(mark), linewidth=width, linestyle=DASHES[mark.dash],
            zorder=order)  # fmt: skip


def _draw_label(ax: Axes, mark: Label, frame: _Frame, order: float) -> None:
    if mark.y is None:
        space = frame.width / max(1, len(ax.get_xticks()))
        _write_above(ax, mark.x, mark.text, space, _colour(mark))
        return
    ax.text(mark.x, mark.y, mark.text, ha=mark.anchor, va="center", clip_on=True, fontsize=6.5,
            color=text_colour(_colour(mark)), zorder=order)  # fmt: skip


def _draw_heat(ax: Axes, mark: Heat, frame: _Frame, order: float) -> None:
    low, high = mark.scale
    top = high if high > low else low + 1
    values = np.array(mark.values, dtype=float)
    colours: Any = matplotlib.colormaps["cividis"]
    if mark.colours:
        colours = LinearSegmentedColormap.from_list("own", list(mark.colours))
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=top, aspect="auto", zorder=order)
    longest = max((text_width(t) for row in mark.texts for t in row if t), default=0.0)
    small = mark.short and longest > frame.width / max(1, len(mark.columns))
    for i, row in enumerate(mark.short if small else mark.texts):
        for j, text in enumerate(row):
            if text:
                shade = to_hex(colours(image.norm(values[i][j])))
                ink = INK if math.isnan(values[i][j]) or luminance(shade) > 0.3 else "white"
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color=ink, zorder=order)
    names = [cut(name, LONGEST) for name in mark.columns]
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(mark.rows)), [cut(name, LONGEST) for name in mark.rows])
    ax.set_ylim(len(mark.rows) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    form = PERCENT if mark.form == "percent" else None
    bar = ax.figure.colorbar(image, ax=ax, format=form, ticks=_few_ticks(4), aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    bar.set_label(mark.scale_title)


DRAW: dict[type, Callable[[Axes, Any, _Frame, float], None]] = {
    Points: _draw_points,
    Line: _draw_line,
    Band: _draw_band,
    Bars: _draw_bars,
    Box: _draw_box,
    Rule: _draw_rule,
    Span: _draw_span,
    Segment: _draw_segment,
    Label: _draw_label,
    Heat: _draw_heat,
}


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


# Legends


def _entries(shown: Sequence[AnyMark]) -> list[AnyMark]:
    """The marks with an entry of the legend, one for each name."""
    found = {m.name: m for m in reversed(shown) if m.legend and m.on != PAGE}
    return sorted(reversed(found.values()), key=lambda m: m.rank)


def _handle(mark: AnyMark, solid: bool) -> Line2D | Patch:
    """The sample beside a name."""
    colour, name = _colour(mark), cut(mark.name, 30)
    if isinstance(mark, Bars | Band | Box):
        hatch = 3 * mark.hatch if isinstance(mark, Bars) and mark.hatch else None
        return Patch(color=colour, label=name, hatch=hatch)
    symbol = mark.symbol if isinstance(mark, Points | Line) else ""
    if not isinstance(symbol, str):
        symbol = symbol[0] if symbol else "circle"
    hollow = isinstance(mark, Points) and mark.hollow
    width = getattr(mark, "width", 2)
    dash = "solid" if solid or not isinstance(mark, Line | Rule | Segment) else mark.dash
    return Line2D(
        [],
        [],
        color=colour,
        linewidth=0 if isinstance(mark, Points) else LINE * width,
        linestyle=DASHES[dash],
        marker=SYMBOLS[symbol] if symbol else "",
        markersize=4,
        markerfacecolor="white" if hollow else colour,
        markeredgewidth=0.9 if hollow else 0,
        label=name,
    )


def _legend(paper: Paper, entries: Sequence[AnyMark]) -> None:
    """Above the frame, in as many columns as fit; further rows make the figure higher."""
    lines = any(isinstance(m, Line) for m in entries)
    solid = len({m.group or m.name for m in entries if isinstance(m, Line)}) == 1
    handles = [_handle(m, solid) for m in entries]
    names = [str(handle.get_label()) for handle in handles]
    length = 2.6 if lines else 1.0
    space = paper.get_figwidth() / (max(map(text_width, names), default=0.0) + 0.2 + 0.12 * length)
    columns = max(1, min(len(names), int(space), 5))
    rows = -(-len(names) // columns)
    paper.set_figheight(paper.get_figheight() + 0.15 * (rows - 1))
    paper.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        handlelength=length,
        handleheight=1,
        handletextpad=0.6 if lines else 0.4,
        columnspacing=1.4,
    )


# A frame for each of many groups


def _draw_frames(figure: Figure) -> Paper:
    """Each group of `split` in a frame of its own, the lines of the others faint behind it."""
    panel = figure.panels[0][0]
    shown = [m for m in panel.marks if m.on != PAGE]
    groups = figure.split[:MOST_FRAMES]
    columns = 3 if len(groups) <= 9 else 5
    rows = -(-len(groups) // columns)
    paper = _paper(BOTH_COLUMNS, 0.5 + (1.45 if columns == 3 else 1.25) * rows)
    frames = paper.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    width = (BOTH_COLUMNS - 0.7) / columns
    bare = replace(panel, x=replace(panel.x, title=""), y=replace(panel.y, title=""))
    for place, ax in enumerate(frames.flat):
        if place >= len(groups):
            ax.set_visible(False)
            continue
        if place == 0:  # the others share its axes
            _draw_axes(ax, bare, width, narrow=columns > 3)
        _draw_group(ax, shown, groups[place], figure, width)
        own = next((m for m in shown if m.group == groups[place]), None)
        ax.set_title(
            cut(groups[place], 30 if columns == 3 else 19),
            loc="left",
            pad=3,
            color=text_colour(_colour(own)) if own else INK,
            fontweight="bold" if groups[place] == figure.common else "normal",
        )
        # Where no frame is below, this one shows the numbers.
        ax.tick_params(labelbottom=place + columns >= len(groups))
    handles = [Line2D([], [], color=OTHERS, linewidth=0.5, label="other variants")]
    if figure.common:
        name = cut(figure.common, 40)
        handles.insert(0, Line2D([], [], color=SOFT, linestyle=DASHES["dash"], label=name))
    paper.legend(handles=handles, loc="outside upper right", ncols=2, handlelength=2.6)
    left = len(figure.split) - len(groups)
    more = f"; {left} more variants are on the page" if left else ""
    paper.supxlabel(panel.x.title + more, fontsize=8)
    paper.supylabel(panel.y.title, fontsize=8)
    return _settled(paper)


def _draw_group(
    ax: Axes, shown: Sequence[AnyMark], group: str, figure: Figure, width: float
) -> None:
    """One frame: the marks of its group and of none, the common line, the others' lines."""
    frame = _Frame(width, solid=True, frame=True)
    for place, mark in enumerate(shown):
        if not mark.group or mark.group == group:
            _draw_mark(ax, mark, frame, place)
        elif isinstance(mark, Line) and mark.group == figure.common:
            common = replace(mark, colour=SOFT, dash="dash", symbol="", interval=None)
            _draw_line(ax, common, _Frame(width), 1.9)
        elif isinstance(mark, Line):
            ax.plot(mark.x, mark.y, color=OTHERS, linewidth=0.5, zorder=1)
