"""The rows of `compiled` as a picture: each cell's time over nn.LSTM's, by what ran it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from odyssey.benchmark.timing import Row

# Colours that the colour-blind can tell apart (Okabe and Ito), the fastest first.
COLOURS = {
    "compiled": "#0072B2",
    "torch.compile": "#009E73",
    "reference": "#E69F00",
    "torchrecurrent": "#CC79A7",
}
MARKERS = ("o", "s", "^", "D")


def draw(rows: list[Row], path: Path) -> None:
    """Write the picture, in the form that the path's ending says (png, pdf, svg).

    Raises OSError where it cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    points = []  # (cell, what ran it, size, ratio)
    for row in rows:
        name, _, rest = row.what.partition(" ")
        kind, _, size = rest.partition("  ")
        if row.against == "torch.nn.LSTM" and kind in COLOURS:
            points.append((name, kind, size.strip(), row.ratio))
    names = list(dict.fromkeys(p[0] for p in points))
    sizes = list(dict.fromkeys(p[2] for p in points))
    figure = Figure(figsize=(8, 1.6 + 0.27 * len(names)), layout="constrained")
    axes: Any = figure.add_subplot()
    for name, kind, size, ratio in points:
        point = _marker(MARKERS[sizes.index(size) % 4], COLOURS[kind], filled=kind == "compiled")
        point.set_data([ratio], [len(names) - 1 - names.index(name)])
        axes.add_line(point)
    axes.axvline(1.0, color="0.3", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 5, 10, 20]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(names)), reversed(names))
    axes.autoscale_view()
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="both", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("time, forward and backward, divided by that of nn.LSTM of the same size")
    kinds = [k for k in COLOURS if any(p[1] == k for p in points)]
    shown = [_marker("o", COLOURS[k], k, filled=k == "compiled") for k in kinds]
    shown += [_marker(MARKERS[i % 4], "0.3", size, filled=True) for i, size in enumerate(sizes)]
    figure.legend(handles=shown, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _marker(shape: str, colour: str, label: str | None = None, *, filled: bool) -> Any:
    from matplotlib.lines import Line2D

    face = colour if filled else "none"
    return Line2D(
        [],
        [],
        color=colour,
        label=label,
        marker=shape,
        markersize=5.5,
        markerfacecolor=face,
        linestyle="",
    )
