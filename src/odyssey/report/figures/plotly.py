"""Figures for the page: Plotly's traces and layout, as plain data for its JavaScript.

The layout names no colour of text or ground and no font: the page's theme has them. Numbers are
cut to four digits, which makes the page of thousands of runs a third smaller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.figures.marks import (
    PAPER,
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
    Tick,
)
from odyssey.report.figures.scales import in_two_lines

NEUTRAL = "#808890"  # visible on white and on black
CROWD = 12  # labels above a frame, from which on they are upright
GAP = 0.08  # between panels, of the figure's height or width
MARGIN = {"l": 60, "r": 16, "t": 24, "b": 48}
ABOVE, UPRIGHT = 44, 96  # pixels over a frame with labels above it
Trace = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """A figure as Plotly takes it. A point's `customdata` is the index of its run in the page."""

    traces: list[Trace]
    layout: dict[str, Any]


def render(figure: Figure) -> Rendered:
    """Traces and layout of any figure; JSON can hold them."""
    rows = [list(row) for row in figure.panels]
    traces: list[Trace] = []
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    layout = _layout(figure)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            x, y = _axis_names(figure, i, j)
            _add_axes(layout, figure, i, j, panel)
            for mark in panel.marks:
                if mark.on == PAPER:
                    continue
                if isinstance(mark, Rule | Span):
                    shapes.append(_shape(mark, x, y))
                elif isinstance(mark, Label):
                    notes.append(_annotation(mark, x, y, _crowded(panel)))
                else:
                    traces += [trace | _axes_of(x, y) for trace in RENDER[type(mark)](mark)]
    if any(isinstance(m, Bars) and m.stacked for m in figure.marks):
        layout["barmode"] = "stack"
    if shapes:
        layout["shapes"] = shapes
    if notes:
        layout["annotations"] = notes
    return Rendered(traces, layout)


def number(value: float | None, digits: int = 4) -> float | None:
    """A number with few digits; None for one that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def numbers(values: Iterable[float | None], digits: int = 4) -> list[float | None]:
    return [number(v, digits) for v in values]


def faint(colour: str, opacity: float) -> str:
    """`#rrggbb` as `rgba(…)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


# Marks


def _common(mark: Mark) -> Trace:
    """What every trace has."""
    found: Trace = {"name": mark.name, "showlegend": mark.legend}
    if mark.legend:
        found["legendrank"] = mark.rank
    if mark.group:
        found["legendgroup"] = mark.group
    if mark.hover is None:
        found["hoverinfo"] = "skip"
    else:
        aside = _template(mark.aside)
        found["hovertemplate"] = f"{_template(mark.hover)}<extra>{aside}</extra>"
    return found


def _template(text: str) -> str:
    """`{x:.1%}` and `{name}` as Plotly writes them."""
    text = re.sub(r"\{(\w+(?::[^}]*)?)\}", r"%{\1}", text)
    return text.replace("%{name}", "%{fullData.name}").replace("\n", "<br>")


def _points(mark: Points) -> list[Trace]:
    found = _common(mark) | {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(mark.x),
        "y": numbers(mark.y),
        "marker": {
            "color": _colours(mark),
            "symbol": _symbols(mark.symbol, mark.hollow),
            "size": mark.size,
            "opacity": mark.opacity,
        },
    }
    return [found | _texts(mark.texts) | _runs(mark.runs) | _errors(mark)]


def _line(mark: Line) -> list[Trace]:
    colour = _colour(mark)
    mode = "lines+markers" if mark.symbol else "lines" if len(mark.x) > 1 else "markers"
    marker: dict[str, Any] = {"color": colour}
    if mark.symbol:
        marker |= {"symbol": _symbols(mark.symbol), "size": mark.size}
    found = _common(mark) | {
        "type": "scatter",
        "mode": mode,
        "x": numbers(mark.x),
        "y": numbers(mark.y),
        "line": {"color": colour, "width": mark.width, "dash": mark.dash},
        "marker": marker,
    }
    if mark.opacity < 1:
        found["opacity"] = mark.opacity
    return [found | _texts(mark.texts) | _errors(mark)]


def _band(mark: Band) -> list[Trace]:
    ends = zip(mark.x, mark.low, mark.high, strict=True)
    kept = [(x, a, b) for x, a, b in ends if math.isfinite(a) and math.isfinite(b)]
    if len(kept) < 2:
        return []
    x, low, high = (list(row) for row in zip(*kept, strict=True))
    found = _common(mark) | {
        "type": "scatter",
        "mode": "lines",
        "x": numbers([*x, *reversed(x)]),
        "y": numbers([*low, *reversed(high)]),
        "fill": "toself",
        "fillcolor": faint(_colour(mark), mark.opacity),
        "line": {"width": 0},
        "visible": "legendonly" if mark.alone else True,
    }
    return [found]


def _bars(mark: Bars) -> list[Trace]:
    lengths, at = ("x", "y") if mark.horizontal else ("y", "x")
    colours = _colours(mark)
    if mark.opacity < 1:
        one = isinstance(colours, str)
        colours = (
            faint(str(colours), mark.opacity) if one else [faint(c, mark.opacity) for c in colours]
        )
    marker: dict[str, Any] = {"color": colours, "line": {"width": 0}}
    if mark.hatch:
        marker["pattern"] = {"shape": mark.hatch, "fillmode": "overlay", "size": 6}
    found = _common(mark) | {
        "type": "bar",
        "orientation": "h" if mark.horizontal else "v",
        lengths: numbers(mark.values),
        at: numbers(mark.at),
        "width": mark.width,
        "marker": marker,
    }
    if mark.texts:
        found |= _texts(mark.texts) | {"textposition": "none"}
    return [found | _errors(mark)]


def _box(mark: Box) -> list[Trace]:
    colour = _colour(mark)
    found = _common(mark) | {
        "type": "box",
        "x0": number(mark.at),
        "y": numbers(mark.values),
        "width": mark.width,
        "boxpoints": "all" if mark.every else "outliers",
        "jitter": 0.7,
        "pointpos": 0,
        "fillcolor": faint(colour, 0.18),
        "line": {"color": colour, "width": 1.5},
        "marker": {
            "color": colour,
            "symbol": _symbols(mark.symbol),
            "size": mark.size,
            "opacity": mark.opacity,
        },
    }
    return [found | _runs(mark.runs)]


def _segment(mark: Segment) -> list[Trace]:
    line = {"color": _colour(mark), "width": mark.width, "dash": mark.dash}
    found = _common(mark) | {
        "type": "scatter",
        "mode": "lines",
        "x": numbers(mark.x),
        "y": numbers(mark.y),
        "line": line,
    }
    return [found]


def _heat(mark: Heat) -> list[Trace]:
    low, high = mark.scale
    bar: dict[str, Any] = {"thickness": 12}
    if mark.scale_title:
        bar["title"] = {"text": mark.scale_title, "side": "right"}
    if mark.form == "percent":
        bar["tickformat"] = ".1%"
    found = _common(mark) | {
        "type": "heatmap",
        "x": list(mark.columns),
        "y": list(mark.rows),
        "z": [numbers(row, 4) for row in mark.values],
        "colorscale": _scale(mark.colours) if mark.colours else "Cividis",
        "zmin": number(low),
        "zmax": number(high),
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "colorbar": bar,
    }
    if mark.texts:
        found |= {"text": [list(row) for row in mark.texts], "texttemplate": "%{text}"}
    if mark.short:
        found["meta"] = {"short": [list(row) for row in mark.short]}
    return [found]


def _scale(colours: Sequence[str]) -> list[list[Any]]:
    return [[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)]


RENDER: dict[type, Callable[[Any], list[Trace]]] = {
    Points: _points,
    Line: _line,
    Band: _band,
    Bars: _bars,
    Box: _box,
    Segment: _segment,
    Heat: _heat,
}


def _shape(mark: Rule | Span, x: str, y: str) -> dict[str, Any]:
    """A rule or a stripe, as long as the frame is high or wide."""
    at = mark.x if mark.x is not None else mark.y
    if at is None:
        raise ValueError(f"a {type(mark).__name__} needs x or y")
    low, high = at if isinstance(at, tuple) else (at, at)
    upright = mark.x is not None
    along, across = ("x", "y") if upright else ("y", "x")
    found: dict[str, Any] = {
        "xref": x if upright else f"{x} domain",
        "yref": f"{y} domain" if upright else y,
        f"{along}0": number(low, 5),
        f"{along}1": number(high, 5),
        f"{across}0": 0,
        f"{across}1": 1,
    }
    if mark.name:
        found["name"] = mark.name
    if isinstance(mark, Span):
        fill = faint(_colour(mark), mark.opacity)
        return found | {
            "type": "rect", "fillcolor": fill, "line": {"width": 0}, "layer": "below",
        }  # fmt: skip
    line = {"color": _colour(mark), "width": mark.width, "dash": mark.dash}
    return found | {"type": "line", "line": line, "layer": "below"}


def _annotation(mark: Label, x: str, y: str, upright: bool) -> dict[str, Any]:
    above = mark.y is None
    found: dict[str, Any] = {
        "x": number(mark.x, 5),
        "xref": x,
        "xanchor": mark.anchor,
        "y": 1.01 if mark.y is None else number(mark.y, 5),
        "yref": f"{y} domain" if above else y,
        "showarrow": False,
        "text": mark.text.replace("\n", "<br>"),
    }
    if above:
        found["yanchor"] = "bottom"
    if mark.colour is not None:  # not for text, which would be too pale on one of the grounds
        found["font"] = {"size": 11}
    if above and upright:
        found["textangle"] = -90
    return found


def _colour(mark: Mark) -> str:
    return mark.colour if isinstance(mark.colour, str) else NEUTRAL


def _colours(mark: Mark) -> str | list[str]:
    """One colour, or that of each point."""
    if mark.colour is None or isinstance(mark.colour, str):
        return mark.colour or NEUTRAL
    return list(mark.colour)


def _symbols(symbol: str | Sequence[str], hollow: bool = False) -> str | list[str]:
    if not isinstance(symbol, str):
        return [str(_symbols(one, hollow)) for one in symbol]
    if symbol == "thin-x":
        return "x-thin-open"
    return f"{symbol}-open" if hollow else symbol


def _texts(texts: Sequence[str]) -> Trace:
    return {"text": [text.replace("\n", "<br>") for text in texts]} if texts else {}


def _runs(runs: Sequence[int | None] | None) -> Trace:
    return {} if runs is None else {"customdata": list(runs)}


def _errors(mark: Points | Line | Bars) -> Trace:
    """The mark's interval: distances from its values, as Plotly has them."""
    interval = mark.interval
    if interval is None:
        return {}
    if isinstance(mark, Bars):
        values = mark.values
    else:
        values = mark.x if interval.along == "x" else mark.y
    return {f"error_{interval.along}": _error(interval, values, _interval_colour(mark))}


def _interval_colour(mark: Points | Line | Bars) -> str:
    """Its own, or the mark's; bars and marks of several colours have neutral ones."""
    assert mark.interval is not None
    if mark.interval.colour:
        return mark.interval.colour
    return NEUTRAL if isinstance(mark, Bars) else _colour(mark)


def _error(interval: Interval, values: Sequence[float], colour: str) -> dict[str, Any]:
    rows = list(zip(values, interval.low, interval.high, strict=True))
    return {
        "type": "data",
        "array": numbers(high - value for value, _, high in rows),
        "arrayminus": numbers(value - low for value, low, _ in rows),
        "color": colour,
        "thickness": interval.width,
        "width": round(2.5 * interval.width),
    }


# Layout


def _layout(figure: Figure) -> dict[str, Any]:
    margin = dict(MARGIN)
    above = [p for p in figure.panels[0] if any(_is_above(m) for m in p.marks)]
    if above:
        margin["t"] = UPRIGHT if any(map(_crowded, above)) else ABOVE
    found = {"height": figure.height, "showlegend": bool(figure.legend), "margin": margin}
    if figure.legend == "above":
        place = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"}
        found["legend"] = place
    elif figure.legend:
        found["legend"] = {"groupclick": "togglegroup", "itemsizing": "constant"}
    return found


def _is_above(mark: AnyMark) -> bool:
    return isinstance(mark, Label) and mark.y is None


def _crowded(panel: Panel) -> bool:
    return sum(map(_is_above, panel.marks)) > CROWD


def _axis_names(figure: Figure, i: int, j: int) -> tuple[str, str]:
    """Of the panel in row i and column j: `x`, `y2`."""
    columns = max(map(len, figure.panels))
    x = j if "x" in figure.shared else i * columns + j
    y = i if "y" in figure.shared else i * columns + j
    return (f"x{x + 1}" if x else "x", f"y{y + 1}" if y else "y")


def _axes_of(x: str, y: str) -> Trace:
    """The axes of a trace; the first ones need not be named."""
    return ({} if x == "x" else {"xaxis": x}) | ({} if y == "y" else {"yaxis": y})


def _add_axes(layout: dict[str, Any], figure: Figure, i: int, j: int, panel: Panel) -> None:
    """The panel's axes. A shared one is that of the last row, or of the first column."""
    (x, y), rows, columns = _axis_names(figure, i, j), len(figure.panels), len(figure.panels[i])
    several = rows > 1 or columns > 1
    # The names of a heat map stay names, where they are numbers too.
    named = {"type": "category"} if any(isinstance(m, Heat) for m in panel.marks) else {}
    if "x" not in figure.shared or i == rows - 1:
        found = _axis(panel.x, is_x=True) | named
        if several:
            left, right = _domains([1] * columns)[j]
            found |= {"domain": [left, right], "anchor": y}
        layout[f"xaxis{x[1:]}"] = found
    if "y" not in figure.shared or j == 0:
        found = _axis(panel.y, is_x=False) | named
        if several:
            # The first row is at the top, and Plotly counts from the bottom.
            low, high = _domains((figure.heights or [1] * rows)[::-1])[rows - 1 - i]
            found |= {"domain": [low, high], "anchor": x}
        layout[f"yaxis{y[1:]}"] = found


def _domains(sizes: Sequence[float]) -> list[tuple[float, float]]:
    """Parts of 0 to 1 with gaps between them."""
    unit = (1 - GAP * (len(sizes) - 1)) / sum(sizes)
    found, at = [], 0.0
    for size in sizes:
        found.append((round(at, 4), round(min(1.0, at + size * unit), 4)))
        at += size * unit + GAP
    return found


def _axis(axis: Axis, *, is_x: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"automargin": True, "zeroline": False}
    if axis.title:
        found["title"] = {"text": in_two_lines(axis.title).replace("\n", "<br>")}
    if axis.limits is not None:
        low, high = axis.limits
        if axis.kind == "log":
            ends = [round(math.log10(low), 5), round(math.log10(high), 5)]
        else:
            ends = [float(f"{low:.5g}"), float(f"{high:.5g}")]
        found["range"] = ends[::-1] if axis.reverse else ends
        if axis.whole and not axis.ticks:
            found["dtick"] = max(1, round((high - low) / 8))
    elif axis.reverse:
        found["autorange"] = "reversed"
    if axis.kind == "log":
        found["type"] = "log"
    if axis.ticks:
        found |= {
            "tickvals": [t.at for t in axis.ticks],
            "ticktext": [_tick(t, is_x) for t in axis.ticks],
        }
    if axis.form == "percent":
        found |= {"tickformat": ".0%", "ticklabeloverflow": "allow"}  # 100% at the very end
    if axis.from_zero:
        found["rangemode"] = "tozero"
    if axis.few:
        found["nticks"] = 4
    if not axis.grid:
        found["showgrid"] = False
    return found


def _tick(tick: Tick, is_x: bool) -> str:
    name = f"<b>{tick.name}</b>" if tick.bold else tick.name
    return f"{name}{'<br>' if is_x else ' · '}{tick.note}" if tick.note else name
