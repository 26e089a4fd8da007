"""Every variant against every other: a heat map of the differences, with the words."""

from __future__ import annotations

import math

import numpy as np

from odyssey.report.figures.marks import Axis, Figure, Heat, Panel
from odyssey.report.figures.view import View

# Light enough for dark words: better, no difference, worse; those of the verdicts, paler.
GOOD, MIDDLE, BAD = "#79c974", "#eef0f3", "#e09a7e"
WORDS = {"promising": "better", "no difference found": "", "cannot tell": "?"}
SIGNS = {"better": "+", "worse": "−", "same": "=", "?": "?"}
SHOWN = 0.9  # of the differences that the colours span; the rest have those of the ends
FEW = 4  # variants whose cells have room for words in a column of a paper


def all_pairs(view: View) -> Figure | None:
    """Row against column, best first; None for fewer than three variants."""
    found = view.analysis.all_pairs
    if found is None or not found.decisions:
        return None
    labels = list(found.labels)
    means = {s.variant.label: s.mean.value for s in view.summaries}
    worst = math.copysign(math.inf, view.analysis.worst)
    values = [[_difference(means, a, b, worst) for b in labels] for a in labels]
    sizes = [abs(v) for row in values for v in row if math.isfinite(v)]
    end = float(np.quantile(sizes, SHOWN)) if sizes else 0.0
    end = end or max(sizes, default=0.0) or 1.0
    lower = view.analysis.better == "lower"
    words = [[_word(found.word(a, b)) for b in labels] for a in labels]
    heat = Heat(
        columns=labels,
        rows=labels,
        values=[[max(-end, min(end, v)) if not math.isnan(v) else v for v in r] for r in values],
        texts=words,
        short=[[SIGNS.get(word, "") for word in row] for row in words],
        scale=(-end, end),
        scale_title=f"difference in {view.analysis.metric.unit}",
        colours=(GOOD, MIDDLE, BAD) if lower else (BAD, MIDDLE, GOOD),
        hover="{y} against {x}: {z:.3g} {text}",
        aside="",
    )
    caption = (
        "Each row against each column: the difference of their means, row minus column, as a "
        "colour, and the word that all pairs together allow (Holm over "
        f"{len(found.decisions):,} pairs, a family of its own): + better, − worse, = the same "
        "within the margin, ? cannot tell, nothing: no difference found. Colours end at the "
        f"largest tenth of the differences. {found.sentence()}"
    )
    return Figure(
        key="all-pairs",
        title="All pairs of variants",
        caption=caption,
        panels=[[Panel(marks=[heat], x=Axis(grid=False), y=Axis(grid=False, reverse=True))]],
        height=150 + 34 * len(labels),
        wide=len(labels) > FEW,
        paper_wide=len(labels) > FEW,
    )


def _difference(means: dict[str, float], one: str, other: str, worst: float) -> float:
    """Of the means; of one without any, infinite to its side. nan of a variant with itself."""
    a, b = means[one], means[other]
    if one == other or (math.isnan(a) and math.isnan(b)):
        return math.nan
    if math.isnan(a):
        return worst
    return -worst if math.isnan(b) else a - b


def _word(word: str) -> str:
    return WORDS.get(word, word)
