"""Which class a run's test took for which: `confusion.csv`, `classes.csv` and a figure."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.io import atomic_path, write_bytes
from odyssey.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATRIX, CLASSES = "confusion.csv", "classes.csv"
FIGURE = "confusion.png"
CORNER = "right class \\ answer"  # of the matrix
MOST_CLASSES = 1000  # the matrix has a cell for each pair
MOST_DRAWN = 40
MOST_NUMBERS = 20  # classes up to which the cells of the figure have numbers
MOST_LETTERS = 16  # of a class in the figure


class Confusion:
    """The counts (K, K) of a test: row the right class, column the answer."""

    def __init__(self, names: list[str], device: torch.device | str = "cpu") -> None:
        self.names = names
        size = len(names)
        self.counts = torch.zeros(size * size, dtype=torch.int64, device=device)

    @classmethod
    def of(cls, task: Task) -> Confusion | None:
        """For a task with one class a sequence; None for others, and for very many classes."""
        fits = task.answers == "class" and task.spec.head == "last" and not task.overfit
        if not fits or task.spec.output_size > MOST_CLASSES:
            return None
        return cls([str(name) for name in task.names()], task.device)

    def add(self, logits: Tensor, right: Tensor) -> None:
        """Take a batch: logits (B, K), right answers (B). A negative one is none.

        Of a task of the user's own, whose targets are of another form, nothing is counted.
        """
        fits = right.dim() == 1 and not right.is_floating_point() and logits.dim() == 2
        if not fits or len(right) != len(logits):
            return
        size = len(self.names)
        there = (right >= 0) & (right < size)
        places = (right.long() * size + logits.detach().argmax(1))[there]
        self.counts = self.counts.to(places.device) + torch.bincount(places, minlength=size * size)

    @property
    def matrix(self) -> NDArray[np.int64]:
        """The counts (K, K) as an array."""
        size = len(self.names)
        found: NDArray[np.int64] = self.counts.reshape(size, size).cpu().numpy()
        return found

    def write(self, folder: Path) -> None:
        """Write both tables into the run's folder, and the figure into `figures` there."""
        matrix = self.matrix
        if not matrix.any():
            return
        rows = [[CORNER, *self.names]]
        rows += [[name, *map(str, row)] for name, row in zip(self.names, matrix, strict=True)]
        _write(folder / MATRIX, rows)
        _write(folder / CLASSES, class_table(matrix, self.names))
        if len(self.names) <= MOST_DRAWN:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure

            figure = Figure()
            FigureCanvasAgg(figure)
            draw(matrix, self.names, figure)
            (folder / "figures").mkdir(parents=True, exist_ok=True)
            with atomic_path(folder / "figures" / FIGURE, sync=False) as part:
                with warnings.catch_warnings():  # of names in a script that the font lacks
                    warnings.filterwarnings("ignore", message="Glyph")
                    figure.savefig(part, dpi=120, format="png")


ClassRow = tuple[str, int, float, int, float, float, float]  # as HEAD says
HEAD = ("class", "count", "share", "answered", "precision", "recall", "f1")


def class_rows(matrix: NDArray[np.int64], names: Sequence[str]) -> list[ClassRow]:
    """Of each class how many are of it, their share, how often it is the answer, and how well.

    nan where a figure is not defined: recall of a class that is not there, precision of one that
    is never answered.
    """
    rows: list[ClassRow] = []
    total = max(int(matrix.sum()), 1)
    for k, name in enumerate(names):
        right, there, said = int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum())
        precision = right / said if said else math.nan
        recall = right / there if there else math.nan
        f1 = 2 * right / (said + there) if said + there else math.nan
        rows.append((name, there, there / total, said, precision, recall, f1))
    return rows


def class_table(matrix: NDArray[np.int64], names: Sequence[str]) -> list[list[str]]:
    """`class_rows` as text under its head, empty where a figure is not defined."""
    rows = [[*HEAD]]
    for name, *figures in class_rows(matrix, names):
        rows.append([name, *("" if math.isnan(v) else f"{v:.6g}" for v in figures)])
    return rows


def recalls(folder: Path) -> dict[str, float]:
    """The recall of each class from `classes.csv` of a run's folder; empty where it is not there.

    nan for a class without a test sequence.
    """
    try:
        text = (folder / CLASSES).read_text(encoding="utf-8")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return {row["class"]: float(row["recall"] or math.nan) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # a hand was at it
        return {}


def draw(matrix: NDArray[np.int64], names: list[str], figure: Figure) -> None:
    """Draw the matrix into an empty figure: shares of each row, with the counts where few."""
    size = len(names)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    short = [n if len(n) <= MOST_LETTERS else n[: MOST_LETTERS - 1] + "…" for n in names]
    longest = max(map(len, short))
    cell = 0.55 if size <= MOST_NUMBERS else 0.3
    side, margin = max(cell * size, 1.6), 0.5 + 0.09 * longest
    width, height = side + margin + 0.9, side + margin + 0.5
    figure.set_size_inches(width, height)
    # Margins in inches: matplotlib's own layouts draw everything once more to measure it.
    axes = figure.add_axes(
        (margin / width, margin / height, side / width, side / height), facecolor="white"
    )
    image: Any = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(size), short, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(size), short, fontsize=8, parse_math=False)
    axes.set_xlabel("answer", fontsize=9)
    axes.set_ylabel("right class", fontsize=9)
    axes.set_title("test: share of each class", fontsize=10)
    if size <= MOST_NUMBERS:
        for i in range(size):
            for j in range(size):
                colour = "white" if shares[i, j] > 0.6 else "black"
                axes.text(
                    j, i, str(matrix[i, j]), ha="center", va="center", fontsize=7, color=colour
                )
    bar = figure.add_axes(
        ((margin + side + 0.15) / width, margin / height, 0.12 / width, side / height)
    )
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)


def _write(path: Path, rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    write_bytes(path, out.getvalue().encode("utf-8", "replace"))
