"""Figures of one run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from odyssey.io import atomic_path
from odyssey.training.run_dir import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = tuple[list[int], list[float]]  # updates and values

# Colour and marker of each line.
LOOKS = {
    "training": ("#0072B2", ""),
    "validation": ("#D55E00", "o"),
    "gradient norm": ("#009E73", ""),
}
LARGEST = 700.0  # nats whose exponential is still a number


def learning_curves(folder: RunFolder, monitor: str) -> None:
    """`figures/learning_curves.png`: see `draw_curves`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    if draw_curves(folder, monitor, figure):
        folder.figures.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder.figures / "learning_curves.png", sync=False) as part:
            figure.savefig(part, dpi=120, format="png")


def draw_curves(folder: RunFolder, monitor: str, figure: Figure) -> bool:
    """Draw the curves of `metrics.csv` into an empty figure; False where there are none.

    One panel for each unit, by update: the training loss beside the validation metric that is the
    same quantity, in its unit; the monitored metric; the gradient norm.
    """
    curves: dict[str, Curve] = {}
    for row in folder.read_metrics()[0]:
        if math.isfinite(row.value):
            steps, values = curves.setdefault(row.name, ([], []))
            steps.append(row.step)
            values.append(row.value)
    panels = _panels(curves, monitor)
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
    for i, (title, lines) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        for name, (steps, values) in lines.items():
            colour, marker = LOOKS[name]
            axes.plot(
                steps, values, color=colour, marker=marker, markersize=3, linewidth=1, label=name
            )
        if len(lines) > 1:
            axes.legend(fontsize=8, loc="upper right")
        axes.set_title(title, fontsize=10, y=1.0)  # a place of its own needs no measuring either
        axes.set_xlabel("updates", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=6)
        axes.grid(alpha=0.3)
    return True


def _panels(curves: dict[str, Curve], monitor: str) -> list[tuple[str, dict[str, Curve]]]:
    """Each panel's title and its lines by name."""
    valid = [k.removeprefix("valid/") for k in curves if k.startswith("valid/")]
    # The training loss is in nats, or the mean squared error.
    compared = next((k for k in (monitor, *valid) if k in valid and _of_loss(k)), "")
    loss: dict[str, Curve] = {}
    if "train/loss" in curves:
        steps, values = curves["train/loss"]
        convert = _of_loss(compared)
        loss["training"] = (steps, [convert(v) for v in values] if convert else values)
    if compared:
        loss["validation"] = curves[f"valid/{compared}"]
    panels = [(compared.replace("_", " ") or "training loss", loss)] if loss else []
    if monitor in valid and monitor != compared:
        panels.append((monitor.replace("_", " "), {"validation": curves[f"valid/{monitor}"]}))
    if "train/grad_norm" in curves:
        norm = {"gradient norm": curves["train/grad_norm"]}
        panels.append(("gradient norm before clipping", norm))
    return panels


def _of_loss(metric: str) -> Callable[[float], float] | None:
    """The metric's value for a training loss; None for a metric that is another quantity."""
    if metric == "bits_per_char":
        return lambda nats: nats / math.log(2)
    if metric == "perplexity":
        return lambda nats: math.exp(min(nats, LARGEST))
    return (lambda loss: loss) if metric == "mse" or metric.startswith("nats") else None
