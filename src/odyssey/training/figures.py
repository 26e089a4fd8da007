"""Pictures of one run."""

from __future__ import annotations

import math

from odyssey.training.folder import RunFolder


def learning_curves(folder: RunFolder, monitor: str) -> None:
    """`figures/learning_curves.png`: loss, the monitored metric and the gradient norm by update."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves: dict[str, tuple[list[int], list[float]]] = {}
    for row in folder.rows():
        value = float(row["value"])
        if math.isfinite(value):
            steps, values = curves.setdefault(row["name"], ([], []))
            steps.append(int(row["step"]))
            values.append(value)
    wanted = (
        ("train/loss", "training loss", "#0072B2", ""),
        (f"valid/{monitor}", f"validation {monitor}", "#D55E00", "o"),
        ("train/grad_norm", "gradient norm before clipping", "#009E73", ""),
    )
    shown = [w for w in wanted if w[0] in curves]
    if not shown:
        return
    figure = Figure(figsize=(4 * len(shown), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (name, title, colour, marker) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), i + 1)
        axes.plot(*curves[name], color=colour, marker=marker, markersize=3, linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("updates")
        axes.grid(alpha=0.3)
    folder.figures.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder.figures / "learning_curves.png", dpi=120)
