"""Which settings matter together: Greff et al., figure 6."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from odyssey.report.analysis.analyse import OVERALL
from odyssey.report.analysis.names import name_of_setting
from odyssey.report.fanova.decomposition import Decomposition
from odyssey.report.figure import Figure
from odyssey.report.figures.common import View, axis, layout, number
from odyssey.report.figures.marginals import strong

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

Rows = list[list[float]]


def pairs(view: View) -> Figure | None:
    """A heat map of the share of each pair, over all variants, or of the only one."""
    found = view.analysis.importance
    whole = found.get(OVERALL) or (next(iter(found.values())) if len(found) == 1 else None)
    if whole is None or not strong(whole) or len(whole.singles) < 2:
        return None
    names, rows = _rows(whole)
    if not any(math.isfinite(v) for row in rows for v in row):
        return None
    most = max(v for row in rows for v in row if math.isfinite(v))
    short = [[number(v, 3) for v in row] for row in rows]
    texts = [["" if math.isnan(v) else f"{v:.1%}" for v in row] for row in rows]
    several = OVERALL in found
    return Figure(
        key="pairs",
        title="Which settings matter together",
        caption=(
            "Share of the variance of the validation value that two settings explain together, "
            "beyond what either explains alone"
            + (", over all variants; the variant is one of the settings." if several else ".")
            + f" The forest's out-of-bag R² is {whole.r2:.2f}."
        ),
        traces=[
            {
                "type": "heatmap",
                "x": names[:-1],
                "y": names[1:],
                "z": short,
                "text": texts,
                "texttemplate": "%{text}",
                "colorscale": "Cividis",
                "zmin": 0,
                "zmax": number(most),
                "xgap": 2,
                "ygap": 2,
                "hoverongaps": False,
                "colorbar": {"title": {"text": "share"}, "tickformat": ".1%", "thickness": 12},
                "hovertemplate": "%{x} × %{y}: %{z:.1%}<extra></extra>",
            }
        ],
        layout=layout(
            130 + 52 * len(names),
            xaxis=axis(showgrid=False),
            yaxis=axis(showgrid=False, autorange="reversed"),
        ),
        draw=partial(_draw, names, rows, most),
    )


def _rows(found: Decomposition) -> tuple[list[str], Rows]:
    """The triangle below the diagonal: from the second setting down, to the last but one across."""
    keys = list(found.singles)
    share = {frozenset(pair): interval.value for pair, interval in found.pairs.items()}
    rows = [
        [share.get(frozenset((a, b)), math.nan) if j <= i else math.nan
         for j, b in enumerate(keys[:-1])]
        for i, a in enumerate(keys[1:])
    ]  # fmt: skip
    return [name_of_setting(key) for key in keys], rows


def _draw(names: list[str], rows: Rows, most: float) -> Paper:
    from odyssey.report.figures import paper

    with paper.style():
        canvas = paper.paper(paper.COLUMN, 0.8 + 0.36 * len(names))
        ax = canvas.subplots()
        image = ax.imshow(rows, cmap="cividis", vmin=0, vmax=most or 1, aspect="auto")
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if math.isfinite(value):
                    ink = paper.INK if value > 0.55 * most else "white"
                    ax.text(j, i, f"{value:.1%}", ha="center", va="center", fontsize=7, color=ink)
        names = [paper.cut(name, 22) for name in names]
        ax.set_xticks(range(len(names) - 1), names[:-1], rotation=30, ha="right",
                      rotation_mode="anchor")  # fmt: skip
        ax.set_yticks(range(len(names) - 1), names[1:])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        bar = canvas.colorbar(
            image, ax=ax, format=paper.percent, ticks=paper.few_ticks(4), aspect=24, pad=0.02
        )
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
        bar.set_label("share of the variance")
        return paper.settled(canvas)
