"""Which settings matter: shares of the variance by functional ANOVA, Greff et al., figure 5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from odyssey.report.analysis.analyse import OVERALL
from odyssey.report.analysis.names import name_of_setting
from odyssey.report.fanova.decomposition import Decomposition
from odyssey.report.figure import Figure
from odyssey.report.figures.common import View, axis, layout, numbers
from odyssey.report.figures.marginals import ALL, WEAK, strong

if TYPE_CHECKING:
    from odyssey.report.figures.paper import Paper

# Tol's bright scheme: settings are no variants, and have none of their colours' meaning.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#7b5a3a", "#5b6abf")
TOO_LITTLE = "forest explains too little"
PAIRS, REST = "#8f98a6", "#c5cbd3"


@dataclass(frozen=True)
class Segment:
    """One colour of the stacked bars: a share for each row, nan where there is none."""

    name: str
    colour: str
    shares: Sequence[float]
    texts: Sequence[str]  # for the pointer


def importance(view: View) -> Figure | None:
    """Stacked bars: each setting alone, all pairs, and what takes three settings or more."""
    found = view.analysis.importance
    order = [OVERALL, *(s.variant.label for s in view.summaries)]
    rows = [(label or ALL, found[label]) for label in order if label in found]
    if not any(_shared(d) for _, d in rows):
        return None
    segments = _segments(rows)
    without = [label for label, d in rows if not _shared(d)]
    caption = (
        "Share of the variance of the validation value that each setting explains alone, that "
        "pairs explain beyond that, and the rest: functional ANOVA of a random forest (Hutter et "
        "al. 2014), over the ranges searched and on the scale searched. R²: how much of trials it "
        "has not seen the forest predicts; what it misses is in no share. A setting is "
        "unimportant only within the range it was given."
    )
    if without:
        caption += f" No shares where R² is below {WEAK}: {', '.join(without)}."
    return Figure(
        key="importance",
        title="Which settings matter",
        caption=caption,
        traces=[_trace(segment, len(rows)) for segment in segments],
        layout=_layout(rows),
        draw=partial(_draw, view, rows, segments),
    )


def _shared(found: Decomposition) -> bool:
    """Whether it has shares that may be shown."""
    return strong(found) and math.isfinite(found.rest.value)


def _segments(rows: Sequence[tuple[str, Decomposition]]) -> list[Segment]:
    keys = list(dict.fromkeys(key for _, d in rows for key in d.singles))
    made = []
    for place, key in enumerate(keys):
        shares = [d.singles[key].value if _shared(d) and key in d.singles else math.nan
                  for _, d in rows]  # fmt: skip
        texts = [_limits(d, key) for _, d in rows]
        made.append(Segment(name_of_setting(key), COLOURS[place % len(COLOURS)], shares, texts))
    pairs = [sum(i.value for i in d.pairs.values()) if _shared(d) else math.nan for _, d in rows]
    made.append(Segment("pairs of settings", PAIRS, pairs, [_largest(d) for _, d in rows]))
    rest = [d.rest.value if _shared(d) else math.nan for _, d in rows]
    made.append(Segment("three and more", REST, rest, [""] * len(rows)))
    return made


def _limits(found: Decomposition, key: str) -> str:
    if not _shared(found) or key not in found.singles:
        return ""
    share = found.singles[key]
    return f" ({share.low:.0%} to {share.high:.0%})" if math.isfinite(share.low) else ""


def _largest(found: Decomposition) -> str:
    """The three largest pairs, for the pointer."""
    known = [(i.value, pair) for pair, i in found.pairs.items() if math.isfinite(i.value)]
    best = sorted(known, key=lambda one: -one[0])[:3]
    named = [f"<br>{name_of_setting(a)} × {name_of_setting(b)}: {v:.1%}" for v, (a, b) in best]
    return "".join(named)


def _trace(segment: Segment, rows: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": segment.name,
        "x": numbers(segment.shares),
        "y": list(range(rows)),
        "width": 0.7,
        "marker": {"color": segment.colour, "line": {"width": 0}},
        "text": list(segment.texts),
        "textposition": "none",
        "hovertemplate": "%{x:.1%}%{text}<extra>%{fullData.name}</extra>",
    }


def _layout(rows: Sequence[tuple[str, Decomposition]]) -> dict[str, Any]:
    found = layout(
        150 + 30 * len(rows),
        legend=True,
        barmode="stack",
        xaxis=axis("share of the variance", range=[0, 1], tickformat=".0%"),
        yaxis=axis(
            tickvals=list(range(len(rows))),
            ticktext=[f"{label} · {_r2(d)}" for label, d in rows],
            range=[len(rows) - 0.4, -0.6],
            showgrid=False,
        ),
    )
    found["legend"] = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"}
    found["annotations"] = [
        {"x": 0.01, "y": i, "xanchor": "left", "showarrow": False, "text": TOO_LITTLE}
        for i, (_, d) in enumerate(rows)
        if not _shared(d)
    ]  # fmt: skip
    return found


def _r2(found: Decomposition) -> str:
    if math.isnan(found.r2):
        return "R² unknown"
    return "R² below 0" if found.r2 < 0 else f"R² {found.r2:.2f}"


def _draw(
    view: View, rows: Sequence[tuple[str, Decomposition]], segments: Sequence[Segment]
) -> Paper:
    from odyssey.report.figures import paper

    wide = paper.PAGE if len(rows) > 6 else paper.COLUMN
    with paper.style():
        canvas = paper.paper(wide, 0.75 + 0.24 * len(rows))
        ax = canvas.subplots()
        left = [0.0] * len(rows)
        for segment in segments:
            shares = [0.0 if math.isnan(s) else s for s in segment.shares]
            # White between segments: they can be told apart without their colours.
            ax.barh(range(len(rows)), shares, 0.72, left, color=segment.colour, label=segment.name,
                    edgecolor="white", linewidth=0.5)  # fmt: skip
            for i, share in enumerate(shares):
                if share >= (0.05 if wide == paper.PAGE else 0.1):
                    ink = paper.INK if segment.colour in (REST, "#ccbb44", "#66ccee") else "white"
                    ax.text(left[i] + share / 2, i, f"{share:.0%}", ha="center", va="center",
                            fontsize=6, color=ink)  # fmt: skip
                left[i] += share
        for i, (_, found) in enumerate(rows):
            if not _shared(found):
                ax.text(0.01, i, TOO_LITTLE, va="center", fontsize=6.5,
                        color=paper.SOFT)  # fmt: skip
        ax.set_yticks(range(len(rows)), [f"{paper.cut(label, 24)}  {_r2(d)}" for label, d in rows])
        ax.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6), xlabel="share of the variance")
        ax.xaxis.set_major_formatter(paper.percent)
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        paper.legend(canvas, 1, handleheight=1)
        return paper.settled(canvas)
