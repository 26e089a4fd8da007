"""Matplotlib for a paper: sizes, fonts, and a canvas that saves text as text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, MaxNLocator

COLUMN, PAGE = 3.4, 7.0  # inches: a column of a two-column paper, and both
INK, SOFT, LINE = "#1d2127", "#5c6470", "#e4e7eb"
FONTS = ("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans")


@cache
def _fonts() -> list[str]:
    """Those that are here, then matplotlib's own, which has the signs that others lack."""
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
            "grid.color": LINE,
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.2,
            "hatch.linewidth": 0.5,
            "axes.formatter.useoffset": False,
            "text.parse_math": False,  # a $ in a label is a dollar
            "pdf.fonttype": 42,  # letters stay letters
            "ps.fonttype": 42,
            "svg.fonttype": "none",
        }
    )


class Paper(Figure):
    """A figure that is saved in the style it was drawn in, with no date in it."""

    def savefig(self, fname: Any, **options: Any) -> None:
        if isinstance(fname, str | Path) and str(fname).lower().endswith(".pdf"):
            options.setdefault("metadata", {"CreationDate": None})
        with style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            super().savefig(fname, **options)


def paper(width: float, height: float) -> Paper:
    """An empty figure, in inches. To be called within `style()`."""
    figure = Paper(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def name_ticks(ax: Axes, labels: Sequence[str], baseline: str = "", room: float = 0) -> None:
    """Variants along x, the baseline in bold: on two lines or slanted where they would overlap.

    room: inches for each label.
    """
    shown = [label if width(label) <= room else _broken(label) for label in labels]
    slanted = any(width(line) > room for label in shown for line in label.split("\n"))
    if slanted:
        shown = [cut(label, 24) for label in labels]
    ax.set_xticks(
        range(len(labels)),
        shown,
        rotation=35 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else None,
    )
    ax.grid(axis="x", visible=False)
    for text, label in zip(ax.get_xticklabels(), labels, strict=True):
        if label == baseline:
            text.set_fontweight("bold")


def width(label: str) -> float:
    """Of a label of 7 points, in inches, nearly."""
    return len(label) * 0.062


def cut(label: str, most: int) -> str:
    """A label without its middle, if it is longer than `most` letters."""
    if len(label) <= most:
        return label
    return f"{label[: most // 2]}…{label[len(label) - (most - most // 2 - 1) :]}"


def legend(figure: Paper, handle: float, **options: Any) -> None:
    """Above the frame, in as many columns as there is room for; more rows make a higher figure.

    handle: length of the sample beside each name, in letters.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    labels = [cut(label, 30) for label in labels]
    room = figure.get_figwidth() / (max(map(width, labels), default=0.0) + 0.2 + 0.12 * handle)
    columns = max(1, min(len(labels), int(room), 5))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.15 * (rows - 1))
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, handlelength=handle, **options
    )


def _broken(label: str) -> str:
    """In two lines, parted at the space or underscore nearest the middle."""
    gaps = [i for i, sign in enumerate(label) if sign in " _"]
    if not gaps:
        return label
    at = min(gaps, key=lambda i: abs(i - len(label) / 2))
    return f"{label[: at + 1].rstrip()}\n{label[at + 1 :]}"


def settled(figure: Paper) -> Paper:
    """The figure with its parts where the layout puts them, so that saving need not do it again."""
    engine = figure.get_layout_engine()
    if engine is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


def in_two(name: str) -> str:
    """A long name of an axis on two lines, parted at its semicolon."""
    return name.replace("; ", "\n") if len(name) > 36 else name


def few_ticks(most: int, whole: bool = False) -> MaxNLocator:
    """Ticks that do not depend on the size of the axes, which depends on them."""
    return MaxNLocator(most, integer=whole, steps=[1, 2, 2.5, 5, 10])


thousands = FuncFormatter(
    lambda value, place: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
)
percent = FuncFormatter(lambda value, place: f"{100 * value:.3g}%")
