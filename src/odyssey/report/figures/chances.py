"""How probable each variant's mean is better, the same within the margin, or worse: bars."""

from __future__ import annotations

from odyssey.report.figures.marks import Axis, Bars, Figure, Panel
from odyssey.report.figures.scales import category_axis
from odyssey.report.figures.view import View
from odyssey.report.palette import VERDICTS

WIDTH = 0.62  # of a bar; variants are 1 apart


def chances(view: View) -> Figure | None:
    """Stacked bars, most probably better first; None where no variant has such probabilities."""
    rows = [v for v in view.analysis.verdicts if v.decision.chances.known]
    if not rows:
        return None
    rows.sort(key=lambda v: (-v.decision.chances.better, v.decision.chances.worse))
    margin, base = view.analysis.margin, view.baseline
    parts = [("better", VERDICTS["better"], [v.decision.chances.better for v in rows])]
    if margin is not None:
        same = [v.decision.chances.same for v in rows]
        parts.append((f"same within {margin:g}", VERDICTS["same"], same))
    parts.append(("worse", VERDICTS["worse"], [v.decision.chances.worse for v in rows]))
    labels = [v.variant for v in rows]
    bars = [
        Bars(
            name=word,
            legend=True,
            rank=place,
            at=range(len(rows)),
            values=values,
            width=WIDTH,
            horizontal=True,
            stacked=True,
            colour=colour,
            texts=labels,
            hover="{text}: {x:.1%}",
            inside=True,
        )
        for place, (word, colour, values) in enumerate(parts)
    ]
    caption = (
        f"Posterior probability that the mean of a variant is better or worse than that of {base}"
        + ("" if margin is None else f", by more than {margin:g}, or within that")
        + ". They say what to believe of one variant after these runs, under a normal model with a "
        "prior that says nothing; they are neither error rates nor corrected for the number of "
        "variants."
    )
    left = [v.variant for v in view.analysis.verdicts if v not in rows]
    if left:
        caption += (
            f" Left out: {', '.join(left)}. Where runs were lost, a value lies far out or there "
            "are fewer than two values, there is no such model of the mean."
        )
    return Figure(
        key="chances",
        title=f"Better or worse than {base}: probabilities",
        caption=caption,
        panels=[
            [
                Panel(
                    marks=bars,
                    x=Axis(title="posterior probability", limits=(0, 1), form="percent"),
                    y=category_axis(labels, reverse=True),
                )
            ]
        ],
        legend="above",
        height=130 + 28 * len(rows),
    )
