"""Searched settings: the value against each of them, which of them matter, and which together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.analysis.analyse import OVERALL, VARIANT
from odyssey.report.analysis.names import axis_of_setting, name_of_setting
from odyssey.report.analysis.result import Outcome, Summary
from odyssey.report.fanova.axes import Axis as Searched
from odyssey.report.fanova.decomposition import WIDE, Decomposition
from odyssey.report.figures.curves import ALONE, Curve, curve_marks
from odyssey.report.figures.marks import (
    TOGETHER,
    AnyMark,
    Axis,
    Bars,
    Figure,
    Heat,
    Label,
    Panel,
    Tick,
    spread,
)
from odyssey.report.figures.scales import Extent, category_axis, extent, number_axis
from odyssey.report.figures.view import View
from odyssey.report.io.runs import ReportRun

WEAK = 0.3  # R² out of sample, below which a model's curves and shares are not shown
ALL = "all variants"
FEW_VALUES = 8  # of a whole number, up to which its trials are put beside each other
# Values of a setting such as momentum, of which 1 - x is on a log scale, to be named at its axis.
NEAR_ONE = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
# Tol's bright scheme: settings are no variants, and have none of their colours' meaning.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#7b5a3a", "#5b6abf")
PAIRS, REST = "#8f98a6", "#c5cbd3"
TOO_LITTLE = "model explains too little"
CANNOT_TELL = "cannot tell: too few trials"
LOST = "lost or not"
MANY = 6  # rows of bars that fit into a column of a paper


def strong(found: Decomposition | None) -> bool:
    """Whether a model explains enough to be shown."""
    return found is not None and found.r2 >= WEAK  # False where it is nan


# The value against a setting


@dataclass(frozen=True)
class Setting:
    """A searched setting as an axis: logarithmic where it was searched so."""

    searched: Searched

    @property
    def key(self) -> str:
        return self.searched.name

    @property
    def choices(self) -> list[str]:
        return [choice_name(v) for v in self.searched.choices]

    @property
    def beside(self) -> float:
        """How far apart trials of one value are put; 0 where values hardly repeat."""
        if self.searched.kind == "choice":
            return 0.25
        few = self.searched.kind == "linear" and (self.searched.size or math.inf) <= FEW_VALUES
        return 0.1 if few else 0.0

    def texts(self, places: Sequence[float]) -> list[str]:
        """The values at places of the axis, where the places are other numbers; else none."""
        if self.searched.kind == "choice":
            names = self.choices
            return [names[min(max(round(x), 0), len(names) - 1)] for x in places]
        if self.searched.kind == "one_minus_log":
            return [f"{1 - x:.6g}" for x in places]
        return [str(round(x)) for x in places] if self.beside else []

    @property
    def hover(self) -> str:
        return "{text}: {y}" if self.texts([0.5]) else "{x}: {y}"

    def place(self, value: Any) -> float:
        """Where a value stands along the axis; nan if it is none of the axis."""
        if self.searched.kind == "choice":
            text = choice_name(value)
            return float(self.choices.index(text)) if text in self.choices else math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        x = 1 - value if self.searched.kind == "one_minus_log" else float(value)
        return math.nan if self.axis.kind == "log" and x <= 0 else x

    def of(self, run: ReportRun) -> float:
        value = self.searched.value_in(run.config)
        return self.place(tuple(value) if isinstance(value, list) else value)

    @property
    def axis(self) -> Axis:
        searched, title = self.searched, axis_of_setting(self.searched.name)
        if searched.kind == "choice":
            return category_axis(self.choices, title=title)
        near_one = searched.kind == "one_minus_log"
        log = near_one or searched.kind == "log"
        axis = number_axis(title, searched.low, searched.high, log=log, whole=searched.integer)
        if not near_one:
            return axis
        assert axis.limits is not None
        low, high = axis.limits
        ticks = [Tick(at=round(1 - v, 6), name=f"{v:g}") for v in NEAR_ONE if low <= 1 - v <= high]
        return Axis(title=title, kind="log", limits=axis.limits, ticks=ticks, reverse=True)


def choice_name(value: Any) -> str:
    """A value of a choice in few characters: `norm, 5`, `none`."""
    if isinstance(value, list | tuple):
        return ", ".join(map(choice_name, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def marginals(view: View) -> list[Figure]:
    """The value against each setting, all others averaged: Greff et al., figure 4."""
    if not view.searched:
        return []
    found = view.analysis.importance.values()
    axes = {a.name: a for d in found for a in d.axes if a.name != VARIANT}
    made = [_marginal(view, Setting(axis)) for axis in axes.values()]
    return [figure for figure in made if figure]


@dataclass(frozen=True)
class _Trials:
    """A variant's trials along a setting, and the curve of its model if that is shown."""

    label: str
    curve: Curve | None
    kept: Sequence[tuple[float, Outcome]]  # places and runs with a value
    lost: Sequence[tuple[float, Outcome]]


def _marginal(view: View, setting: Setting) -> Figure | None:
    rows = [_trials(view, setting, summary) for summary in view.summaries]
    # The bulk of the trials holds the curves, which are their means.
    here = extent([o.valid for _, o in row.kept] for row in rows)
    if here is None:
        return None
    overall = _curve(ALL, setting, view.analysis.importance.get(OVERALL))
    crowd = len(rows) > TOGETHER
    shown = [mark for row in rows for mark in _trial_marks(view, setting, row, here)]
    for curve in [*(row.curve for row in rows), overall]:
        if curve:
            texts = setting.texts(curve.x)
            alone = crowd and curve is not overall
            more: dict[str, Any] = {"opacity": 0.1, "alone": alone, "texts": texts}
            shown += curve_marks(view, curve, hover=setting.hover, **more)
    labels = [row.label for row in rows]
    return Figure(
        key=f"marginal-{setting.key.replace(',', '-')}",
        title=f"Effect of the {name_of_setting(setting.key)}",
        caption=_caption_of_marginal(rows, overall is not None) + here.remark,
        panels=[[Panel(marks=shown, x=setting.axis, y=here.axis(view.value_title("valid")))]],
        legend="right" if len(rows) > 1 else "",
        height=440,
        split=labels,
        common=ALL if overall else view.baseline if view.baseline in labels else "",
    )


def _trials(view: View, setting: Setting, summary: Summary) -> _Trials:
    label = summary.variant.label
    placed = [(setting.of(o.run), o) for o in summary.outcomes]
    placed = [(x, o) for x, o in placed if math.isfinite(x)]
    offsets = spread(len(placed), setting.beside)
    placed = [(x + by, o) for (x, o), by in zip(placed, offsets, strict=True)]
    return _Trials(
        label,
        _curve(label, setting, view.analysis.importance.get(label)),
        [(x, o) for x, o in placed if o.finite],
        [(x, o) for x, o in placed if not o.finite],
    )


def _curve(label: str, setting: Setting, found: Decomposition | None) -> Curve | None:
    curve = found.curves.get(setting.key) if found and strong(found) else None
    if curve is None:
        return None
    places = [setting.place(x) for x in curve.x]
    rows = zip(places, curve.mean, curve.low, curve.high, strict=True)
    kept = sorted(tuple(map(float, row)) for row in rows if math.isfinite(row[0]))
    if not kept:
        return None
    x, middle, low, high = (list(row) for row in zip(*kept, strict=True))
    return Curve(label, x, middle, low, high)


def _trial_marks(view: View, setting: Setting, row: _Trials, here: Extent) -> list[AnyMark]:
    """Points; they have the entry of the legend where there is no curve."""
    found: list[AnyMark] = []
    legend = row.curve is None
    if row.kept:
        x, outcomes = (list(one) for one in zip(*row.kept, strict=True))
        more: dict[str, Any] = {"group": row.label, "legend": legend, "symbol": "circle", "size": 4}
        more |= {"opacity": 0.4, "texts": setting.texts(x), "hover": setting.hover}
        found.append(view.points(row.label, x, [o.valid for o in outcomes], outcomes, **more))
    if row.lost:
        x, outcomes = (list(one) for one in zip(*row.lost, strict=True))
        more = {"group": row.label, "legend": legend and not row.kept, "size": 6, "opacity": 0.7}
        edge = here.edge(view.analysis.better)
        found.append(view.lost(row.label, x, edge, outcomes, **more))
    return found


def _caption_of_marginal(rows: Sequence[_Trials], overall: bool) -> str:
    text = "Each point is a trial"
    if any(row.lost for row in rows):
        text += "; × diverged or failed, at the worse end"
    if not any(row.curve for row in rows) and not overall:
        return f"{text}. No model explains these trials well enough (R² below {WEAK}) for a curve."
    text += (
        ". Curves: the value that the model (polynomials or a random forest) expects there, "
        "averaged over all other settings that were searched; bands: 95% of the functions that fit "
        "the trials, or of the trees. They are no limits for single runs"
    )
    text += ". Grey: all variants together." if overall else "."
    text += ALONE if len(rows) > TOGETHER else ""
    weak = [row.label for row in rows if row.curve is None]
    if weak:
        text += f" Without a curve, as its model explains too little: {', '.join(weak)}."
    return text


# Which settings matter


def importance(view: View) -> Figure | None:
    """Shares of the variance by setting, pairs and the rest, stacked: Greff et al., figure 5.

    None where no model explains enough. Where the trials cannot tell the shares, it says so.
    """
    found = view.analysis.importance
    order = [OVERALL, *(s.variant.label for s in view.summaries)]
    rows = [(label or ALL, found[label]) for label in order if label in found]
    whole = found.get(OVERALL) or (next(iter(found.values())) if len(found) == 1 else None)
    if whole is not None and whole.lost is not None:
        rows.append((LOST, whole.lost))
    if not view.searched or not any(_estimated(d) for _, d in rows):
        return None
    caption = (
        "Share of the variance of the validation value that each setting explains alone, that "
        "pairs explain beyond that, and the rest: functional ANOVA (Hutter et al. 2014) of "
        "polynomials or a random forest, whichever predicts better, over the ranges searched and "
        "on the scale searched; the table has the intervals. R²: how much of trials it has not "
        "seen the model predicts; what it misses is in no share. A setting is unimportant only "
        "within the range it was given."
    )
    if rows[-1][0] == LOST:
        caption += f" “{LOST}” is about which trials diverged or failed, the others about the rest."
    unsure = [label for label, d in rows if _estimated(d) and not _shared(d)]
    if unsure:
        caption += f" No bars where an interval is wider than {WIDE:.0%}: {', '.join(unsure)}."
    without = [label for label, d in rows if not _estimated(d)]
    if without:
        caption += f" No shares where R² is below {WEAK}: {', '.join(without)}."
    remarks = [
        Label(text=CANNOT_TELL if _estimated(d) else TOO_LITTLE, x=0.01, y=i, anchor="left")
        for i, (_, d) in enumerate(rows)
        if not _shared(d)
    ]
    panel = Panel(
        marks=[*_stacks([d for _, d in rows]), *remarks],
        x=Axis(title="share of the variance", limits=(0, 1), form="percent"),
        y=category_axis(
            [label for label, _ in rows], notes=[_r2(d) for _, d in rows], reverse=True
        ),
    )
    return Figure(
        key="importance",
        title="Which settings matter",
        caption=caption,
        panels=[[panel]],
        legend="above",
        height=150 + 30 * len(rows),
        paper_wide=len(rows) > MANY,
    )


def _estimated(found: Decomposition) -> bool:
    """Whether it has shares, of a model that explains enough."""
    return strong(found) and math.isfinite(found.rest.value)


def _shared(found: Decomposition) -> bool:
    """Whether it has shares with intervals that tell something."""
    return _estimated(found) and found.told


def _stacks(rows: Sequence[Decomposition]) -> list[Bars]:
    """A colour for each setting, one for all pairs, one for the rest."""
    keys = list(dict.fromkeys(key for d in rows for key in d.singles))
    made = []
    for place, key in enumerate(keys):
        shares = [d.singles[key].value if _shared(d) and key in d.singles else math.nan
                  for d in rows]  # fmt: skip
        colour = COLOURS[place % len(COLOURS)]
        made.append(_stack(name_of_setting(key), colour, shares, [_limits(d, key) for d in rows]))
    pairs = [d.all_pairs.value if _shared(d) else math.nan for d in rows]
    made.append(_stack("pairs of settings", PAIRS, pairs, [_largest_pairs(d) for d in rows]))
    rest = [d.rest.value if _shared(d) else math.nan for d in rows]
    made.append(_stack("three and more", REST, rest, [""] * len(rows)))
    return made


def _stack(name: str, colour: str, shares: Sequence[float], texts: Sequence[str]) -> Bars:
    return Bars(
        name=name,
        legend=True,
        at=range(len(shares)),
        values=shares,
        horizontal=True,
        stacked=True,
        colour=colour,
        texts=texts,
        hover="{x:.1%}{text}",
        inside=True,
    )


def _limits(found: Decomposition, key: str) -> str:
    if not _shared(found) or key not in found.singles:
        return ""
    share = found.singles[key]
    if not math.isfinite(share.low):
        return ""
    of_outcome = found.of_outcome(share.value)
    return f" ({share.low:.0%} to {share.high:.0%}; {of_outcome:.0%} of the outcome's variance)"


def _largest_pairs(found: Decomposition) -> str:
    """The three largest, a line each."""
    known = [(i.value, pair) for pair, i in found.pairs.items() if math.isfinite(i.value)]
    best = sorted(known, key=lambda one: -one[0])[:3]
    named = [f"\n{name_of_setting(a)} × {name_of_setting(b)}: {v:.1%}" for v, (a, b) in best]
    return "".join(named)


def _r2(found: Decomposition) -> str:
    if math.isnan(found.r2):
        return "R² unknown"
    return "R² below 0" if found.r2 < 0 else f"R² {found.r2:.2f}"


# Which settings matter together


def pairs(view: View) -> Figure | None:
    """A heat map of the share of each pair: Greff et al., figure 6.

    Over all variants, or of the only one; None where its model explains or tells too little.
    """
    found = view.analysis.importance
    whole = found.get(OVERALL) or (next(iter(found.values())) if len(found) == 1 else None)
    if not view.searched or whole is None or not _shared(whole) or len(whole.singles) < 2:
        return None
    names, rows = _triangle(whole)
    finite = [v for row in rows for v in row if math.isfinite(v)]
    if not finite:
        return None
    over = ", over all variants; the variant is one of the settings." if OVERALL in found else "."
    heat = Heat(
        columns=names[:-1],
        rows=names[1:],
        values=rows,
        texts=[["" if math.isnan(v) else f"{v:.1%}" for v in row] for row in rows],
        scale=(0, max(finite)),
        scale_title="share of the variance",
        form="percent",
        hover="{x} × {y}: {z:.1%}",
        aside="",
    )
    panel = Panel(marks=[heat], x=Axis(grid=False), y=Axis(grid=False, reverse=True))
    return Figure(
        key="pairs",
        title="Which settings matter together",
        caption=(
            "Share of the variance of the validation value that two settings explain together, "
            f"beyond what either explains alone{over} The model's R², for trials it has not seen, "
            f"is {whole.r2:.2f}."
        ),
        panels=[[panel]],
        height=130 + 52 * len(names),
    )


def _triangle(found: Decomposition) -> tuple[list[str], list[list[float]]]:
    """Names, and shares below the diagonal: rows from the second name, columns to the last but one.

    Cells above the diagonal are nan.
    """
    keys = list(found.singles)
    share = {frozenset(pair): interval.value for pair, interval in found.pairs.items()}
    rows = [
        [share.get(frozenset((a, b)), math.nan) if j <= i else math.nan
         for j, b in enumerate(keys[:-1])]
        for i, a in enumerate(keys[1:])
    ]  # fmt: skip
    return [name_of_setting(key) for key in keys], rows
