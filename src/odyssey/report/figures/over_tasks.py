"""Several tasks at once: mean ranks, and performance profiles."""

from __future__ import annotations

import math

import numpy as np

from odyssey.report.analysis.over_tasks import OverTasks
from odyssey.report.figures.curves import ALONE, Curve, curve_marks
from odyssey.report.figures.marks import (
    TOGETHER,
    AnyMark,
    Axis,
    Figure,
    Interval,
    Panel,
    Points,
    Rule,
)
from odyssey.report.figures.scales import category_axis, number_axis
from odyssey.report.figures.view import View

FULL = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "pentagon",
    "star",
    "hexagon",
)
ROOM = 0.55  # of a row, for the points of the tasks below that of the mean
LOG_FROM = 5  # the largest ratio over the smallest, from which on their axis is logarithmic


def over_tasks_figures(over: OverTasks) -> list[Figure]:
    """The figures that the tasks allow."""
    made = [_ranks(over), _profiles(over)]
    return [figure for figure in made if figure is not None]


def _ranks(over: OverTasks) -> Figure:
    view, count = View(over.analyses[0], {}), len(over.labels)
    named, pad = len(over.tasks) <= len(FULL), 0.1 + 0.05 * count
    shown: list[AnyMark] = []
    for task, title in enumerate(over.tasks):
        shown.append(
            Points(
                name=title,
                legend=named,
                rank=task,
                x=[over.ranks[label][task] for label in over.labels],
                y=[place + ROOM * (task + 1) / (len(over.tasks) + 1) for place in range(count)],
                symbol=FULL[task] if named else "circle",
                hollow=True,
                size=8,
                hover="rank {x}",
            )
        )
    for place, label in enumerate(over.labels):
        rank = over.mean_rank[label]
        limits = Interval(low=[rank.low], high=[rank.high], along="x", width=2)
        shown.append(
            Points(
                name=label,
                x=[rank.value],
                y=[place],
                colour=view.colour(label),
                symbol=view.symbol(label),
                size=11,
                interval=limits if math.isfinite(rank.low) else None,
                hover="mean rank {x:.3g}",
            )
        )
    caption = (
        "Filled: the mean rank over the tasks, each of one vote; 1 is the best. Hollow: the rank "
        "in each task, by the share of runs lost and then by the mean."
    )
    if math.isfinite(over.mean_rank[over.labels[0]].low):
        caption += (
            " Intervals: 95%, of one variant by itself, by drawing the runs within each task anew. "
            "They know of chance in the runs, and not in the choice of tasks."
        )
    return Figure(
        key="ranks",
        title="Ranks over all tasks",
        caption=caption,
        panels=[
            [
                Panel(
                    marks=shown,
                    x=Axis(
                        title="rank; lower is better", limits=(1 - pad, count + pad), whole=True
                    ),
                    y=category_axis(over.labels, bold=over.baseline, reverse=True),
                )
            ]
        ],
        legend="above" if named else "",
        height=150 + 40 * count,
    )


def _profiles(over: OverTasks) -> Figure | None:
    """The share of runs that are at most so many times the baseline's; None without ratios."""
    known = [label for label in over.labels if label in over.profiles]
    if not known or len(over.profiles[known[0]].at) < 3:
        return None
    view = View(over.analyses[0], {})
    low, high = _ends(over, known)
    shown: list[AnyMark] = [Rule(x=1, dash="dot")]
    for label in known:
        found = over.profiles[label]
        x = np.concatenate([[low], np.repeat(found.at[1:], 2), [high]])
        rows = [np.repeat(row, 2) for row in (found.share, found.low, found.high)]
        inside = (x >= low) & (x <= high)
        share, lower, upper = (row[inside].tolist() for row in rows)
        curve = Curve(label, x[inside].tolist(), share, lower, upper)
        alone = len(known) > TOGETHER and label != over.baseline
        shown += curve_marks(view, curve, hover="{y:.0%} at most {x:.3g} times", alone=alone)
    title = f"times the mean of {over.baseline}; lower is better"
    axis = number_axis(title, low, high, log=high / low > LOG_FROM)
    caption = (
        "The share of runs whose value is at most so many times the geometric mean of "
        f"{over.baseline} in the same task (turned over where higher is better); each task has one "
        "weight, and a lost run never arrives. A line that lies above another everywhere is "
        "better. Bands: 95%, at each ratio by itself, of the variant's runs."
    )
    return Figure(
        key="profiles",
        title="Performance profiles",
        caption=caption + (ALONE if len(known) > TOGETHER else ""),
        panels=[
            [
                Panel(
                    marks=shown,
                    x=axis,
                    y=Axis(title="share of runs", limits=(-0.02, 1.02), form="percent"),
                )
            ]
        ],
        legend="right",
        height=440,
        split=known,
        common=over.baseline if over.baseline in known else "",
    )


def _ends(over: OverTasks, known: list[str]) -> tuple[float, float]:
    """The ratios that are shown: all, or the middle 98% where a few are far out."""
    at = over.profiles[known[0]].at[1:]
    low, high = float(at.min()), float(at.max())
    middle = np.quantile(np.log(at), [0.01, 0.5, 0.99])
    if math.log(high / low) > 4 * (middle[2] - middle[0]) > 0:
        low, high = (float(v) for v in np.exp(middle[[0, 2]]))
    return min(low, 1.0), max(high, 1.0)
