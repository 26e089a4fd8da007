"""Figures of one run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from odyssey.io import atomic_path
from odyssey.training.run_dir import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(folder: RunFolder, monitor: str) -> None:
    """`figures/learning_curves.png`: loss, the monitored metric and the gradient norm by update."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    if draw_curves(folder, monitor, figure):
        folder.figures.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder.figures / "learning_curves.png", sync=False) as part:
            figure.savefig(part, dpi=120, format="png")


def draw_curves(folder: RunFolder, monitor: str, figure: Figure) -> bool:
    """Draw the curves of `metrics.csv` into an empty figure; False where there are none."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for row in folder.read_metrics()[0]:
        if math.isfinite(row.value):
            steps, values = curves.setdefault(row.name, ([], []))
            steps.append(row.step)
            values.append(row.value)
    panels = [
        ("train/loss", "training loss", "#0072B2", ""),
        (f"valid/{monitor}", f"validation {monitor}", "#D55E00", "o"),
        ("train/grad_norm", "gradient norm before clipping", "#009E73", ""),
    ]
    panels = [p for p in panels if p[0] in curves]
    if not panels:
        return False
    width, height = 4 * len(panels), 3
    figure.set_size_inches(width, height)
    # Fixed margins, in inches: matplotlib's own layouts draw everything once more to measure it.
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.15 / width,
        bottom=0.5 / height,
        top=1 - 0.35 / height,
        wspace=0.7 / (4 - 0.7),
    )
    for i, (name, title, colour, marker) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        axes.plot(*curves[name], color=colour, marker=marker, markersize=3, linewidth=1)
        axes.set_title(title, fontsize=10, y=1.0)  # a place of its own needs no measuring either
        axes.set_xlabel("updates", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3)
    return True
