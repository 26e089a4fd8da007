"""The figure of a run's curves: one panel for each unit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from odyssey.training.figures import draw_curves
from odyssey.training.run_dir import RunFolder

LN2 = math.log(2)
LOSS = [2.0, 1.5]


def drawn(path: Path, monitor: str, *metrics: str) -> dict[str, dict[str, list[float]]]:
    """Title -> label of each line -> its values."""
    folder = RunFolder(path)
    path.mkdir(exist_ok=True)
    folder.rewind_metrics(-1)
    for step, loss in enumerate(LOSS, 1):
        values = {"train/loss": loss, "train/grad_norm": 0.5}
        folder.log(step, step / 2, values | {f"valid/{name}": 3.0 for name in metrics})
    figure = Figure()
    assert draw_curves(folder, monitor, figure)
    return {
        axes.get_title(): {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}
        for axes in figure.axes
    }


@pytest.mark.parametrize(
    ("monitor", "metrics", "loss"),
    [
        ("bits_per_char", ["bits_per_char", "nats_per_char"], [2 / LN2, 1.5 / LN2]),
        ("perplexity", ["perplexity", "nats_per_word"], [math.exp(2), math.exp(1.5)]),
        ("nats_per_frame", ["nats_per_frame"], LOSS),
        ("mse", ["mse"], LOSS),
    ],
)
def test_the_loss_is_in_the_monitored_unit(
    tmp_path: Path, monitor: str, metrics: list[str], loss: list[float]
) -> None:
    panels = drawn(tmp_path, monitor, *metrics)
    first = monitor.replace("_", " ")
    assert list(panels) == [first, "gradient norm before clipping"]
    assert panels[first] == {"training": pytest.approx(loss), "validation": [3.0, 3.0]}


def test_another_quantity_has_a_panel_of_its_own(tmp_path: Path) -> None:
    panels = drawn(tmp_path / "a", "accuracy", "accuracy", "nats")
    assert list(panels) == ["nats", "accuracy", "gradient norm before clipping"]
    assert panels["nats"] == {"training": LOSS, "validation": [3.0, 3.0]}
    assert list(panels["accuracy"]) == ["validation"]
    panels = drawn(tmp_path / "b", "rmse", "rmse", "mae")
    assert list(panels) == ["training loss", "rmse", "gradient norm before clipping"]
    assert panels["training loss"] == {"training": LOSS}
