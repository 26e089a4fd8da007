"""Comparisons: timing in alternation, and results as rows, as a table and as a picture.

What is compared is timed in turn, so that a machine whose speed changes changes it for all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One comparison. `ours` and `other` are median seconds, `ratio` is the median of ratios."""

    what: str
    ours: float
    against: str
    other: float
    ratio: float
    low: float  # first quartile of the ratios
    high: float  # third quartile
    pairs: int
    limit: float | None = None  # largest ratio that the project accepts

    def plain(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done its work, which is otherwise not part of the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summarize(
    what: str, against: str, pairs: list[tuple[float, float]], limit: float | None = None
) -> Row:
    """A row from pairs of (ours, other) seconds."""
    ratios = sorted(a / b for a, b in pairs)
    return Row(
        what,
        statistics.median(a for a, _ in pairs),
        against,
        statistics.median(b for _, b in pairs),
        statistics.median(ratios),
        ratios[len(ratios) // 4],
        ratios[-1 - len(ratios) // 4],
        len(pairs),
        limit,
    )


def rounds(
    works: dict[str, Callable[[], None]], *, device: torch.device, count: int, warmup: int = 3
) -> dict[str, list[float]]:
    """Seconds of each of `works` in each of `count` rounds; every second round in reverse order.

    Each is run once right before it is timed, since the state of caches and memory that another
    work leaves can change the time of a short one by half.
    """

    def seconds(work: Callable[[], None]) -> float:
        work()
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    for _ in range(warmup):
        for work in works.values():
            work()
    times: dict[str, list[float]] = {what: [] for what in works}
    for i in range(count):
        for what, work in reversed(works.items()) if i % 2 else works.items():
            times[what].append(seconds(work))
    return times


def compare(
    what: str,
    ours: Callable[[], None],
    against: str,
    other: Callable[[], None],
    *,
    device: torch.device,
    pairs: int = 15,
    warmup: int = 3,
    limit: float | None = None,
) -> Row:
    """Time `ours` and `other` in turn; which is first alternates from pair to pair."""
    works = {"ours": ours, "other": other}
    times = rounds(works, device=device, count=pairs, warmup=warmup)
    return summarize(what, against, list(zip(times["ours"], times["other"], strict=True)), limit)


def table(rows: list[Row]) -> str:
    """The rows as text, times in milliseconds."""
    head = f"{'what':<52}{'ms':>9}  {'against':<24}{'ms':>9}{'ratio':>8}  {'middle half':<13}limit"
    lines = [head, "-" * len(head)]
    for r in rows:
        lines.append(
            f"{r.what:<52}{1e3 * r.ours:>9.2f}  {r.against:<24}{1e3 * r.other:>9.2f}{r.ratio:>8.2f}"
            f"  {f'{r.low:.2f} - {r.high:.2f}':<13}{r.limit or ''}"
        )
    return "\n".join(lines)


# -- the picture ---------------------------------------------------------------------------------

# Colours of Okabe and Ito, which the colour-blind can tell apart; the fastest first.
COLOURS = {
    "compiled": "#0072B2",
    "torch.compile": "#009E73",
    "reference": "#E69F00",
    "torchrecurrent": "#CC79A7",
}
MARKERS = ("o", "s", "^", "D")


def draw(rows: list[Row], path: Path) -> None:
    """Draw each cell's time relative to nn.LSTM's; the path's suffix is the format (png, pdf, svg).

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
    legend = [_marker("o", COLOURS[k], k, filled=k == "compiled") for k in kinds]
    legend += [_marker(MARKERS[i % 4], "0.3", size, filled=True) for i, size in enumerate(sizes)]
    figure.legend(handles=legend, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
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
