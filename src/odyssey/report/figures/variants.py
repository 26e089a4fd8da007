"""Variants beside each other: differences with verdicts, boxes of values, shares that diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from odyssey.report.analysis.notes import format_percent
from odyssey.report.analysis.result import SEARCH, SEEDS, Outcome, Summary, Verdict
from odyssey.report.figures.marks import (
    AnyMark,
    Axis,
    Bars,
    Box,
    Figure,
    Interval,
    Label,
    Panel,
    Points,
    Rule,
    Segment,
    Span,
    spread,
)
from odyssey.report.figures.scales import Extent, category_axis, extent
from odyssey.report.figures.view import View, split_lost
from odyssey.report.palette import colour_of_verdict

FEW = 5  # values, below which quartiles mean little and no box is drawn
MOST_POINTS = 2500  # of all boxes of a figure, up to which each value is a point on the page
MANY = 5  # boxes that fit into a column of a paper
WIDTH = 0.56  # of a box or bar; variants are 1 apart
DECIDED = ("better", "promising", "worse", "same")
WORDS = {"no difference found": "no diff.\nfound", "cannot tell": "cannot\ntell"}
ENDED = ("finished", "diverged", "failed")


def differences(view: View) -> Figure | None:
    """Difference of each variant to the baseline, with its interval and the verdict.

    None where no verdict has a difference.
    """
    verdicts = view.analysis.verdicts
    rows = [v for v in verdicts if math.isfinite(v.decision.difference.value)]
    here = _extent_of_differences(view, rows)
    if here is None:
        return None
    margin = view.analysis.margin
    caption = (
        f"Difference of the means of the chosen runs to {view.baseline}. The intervals hold for "
        f"all variants at once, with {1 - view.analysis.alpha:.0%}: where the values decide, they "
        "lie on the side of the word."
    )
    if margin is not None:
        caption += f" Band: differences of at most {margin:g}, which count as the same."
    without = [v.variant for v in view.analysis.verdicts if v not in rows]
    if without:
        caption += f" Without a mean, and left out: {', '.join(without)}."
    if not all(math.isfinite(v.decision.difference.low) for v in rows):
        caption += " A point without an interval: too few runs for one."
    shown: list[AnyMark] = []
    if margin is not None:
        shown.append(Span(x=(-margin, margin), colour=colour_of_verdict("same"), opacity=0.14))
    shown.append(Rule(x=0))
    better = "left" if view.analysis.better == "lower" else "right"
    part = {"valid": "validation"}.get(view.analysis.part, view.analysis.part)
    unit = view.analysis.metric.unit
    return Figure(
        key="differences",
        title=f"Difference to {view.baseline}",
        caption=caption + here.remark,
        panels=[
            [
                Panel(
                    marks=[*shown, *(_difference(row, i) for i, row in enumerate(rows))],
                    x=here.axis(f"difference in {unit}, {part}; better is to the {better}"),
                    y=category_axis(
                        [v.variant for v in rows],
                        notes=[v.conclusion for v in rows],
                        note_colours=[colour_of_verdict(v.conclusion) for v in rows],
                        reverse=True,
                    ),
                )
            ]
        ],
        height=110 + 34 * len(rows),
        wide=True,
    )


def _extent_of_differences(view: View, rows: Sequence[Verdict]) -> Extent | None:
    """Holds zero, the margin and the intervals, but for those that are far wider than others."""
    if not rows:
        return None
    margin = view.analysis.margin or 0.0
    groups = [[d.low, d.value, d.high] for d in (v.decision.difference for v in rows)]
    found = extent([*groups, [-margin, 0.0, margin]])
    if found is None:
        return None
    low, high = min(found.low, -1.1 * margin), max(found.high, 1.1 * margin)
    outside = sum(not low <= v.decision.difference.value <= high for v in rows)
    return Extent(low, high, outside)


def _difference(row: Verdict, place: int) -> Points:
    """A point in the colour of the verdict, hollow where nothing was shown."""
    d = row.decision.difference
    return Points(
        name=row.variant,
        x=[d.value],
        y=[place],
        colour=colour_of_verdict(row.conclusion),
        hollow=row.conclusion not in DECIDED,
        size=10,
        interval=Interval(low=[d.low], high=[d.high], along="x", width=2),
        texts=[f"{d.value:+.3g} ({d.low:+.3g} to {d.high:+.3g})\n{row.conclusion}"],
        hover="{text}",
    )


@dataclass(frozen=True)
class Group:
    """The values of one variant; those of lost runs are not finite."""

    label: str
    place: int  # along the axis
    outcomes: Sequence[Outcome]
    values: Sequence[float]

    @property
    def kept(self) -> list[tuple[Outcome, float]]:
        return split_lost(self.outcomes, self.values)[0]

    @property
    def lost(self) -> list[Outcome]:
        return split_lost(self.outcomes, self.values)[1]


def top(view: View) -> Figure | None:
    """The chosen runs by test value, the verdicts, and their sizes: Greff et al., figure 3.

    None where no chosen run has a value.
    """
    groups = [
        Group(s.variant.label, place, s.chosen, [o.test for o in s.chosen])
        for place, s in enumerate(view.summaries)
    ]
    here = extent(g.values for g in groups)
    if here is None:
        return None
    base = [v for g in groups if g.label == view.baseline for _, v in g.kept]
    shown: list[AnyMark] = []
    if base:
        shown.append(Rule(name="median of the baseline", y=median(base), dash="dash"))
    shown += _boxes(view, groups, here)
    for group in groups:
        if word := view.word(group.label):
            colour, text = colour_of_verdict(word), WORDS.get(word, word)
            shown.append(Label(text=text, x=group.place, colour=colour))
    names = category_axis([g.label for g in groups], bold=view.baseline)
    panels = [[Panel(marks=shown, x=names, y=here.axis(view.value_title()))]]
    sizes = _sizes(view)
    if sizes is not None:
        few = Axis(title="parameters", form="thousands", from_zero=True, few=True)
        panels.append([Panel(marks=[sizes], x=names, y=few)])
    return Figure(
        key="top",
        title=_title_of_top(view),
        caption=_caption_of_top(view, groups) + here.remark,
        panels=panels,
        heights=[2.8, 1] if sizes is not None else [1],
        shared="x",
        height=520 if sizes is not None else 420,
        wide=True,
        paper_wide=len(groups) > MANY,
    )


def _title_of_top(view: View) -> str:
    if view.searched:
        return f"The best {format_percent(view.analysis.share)} of the trials of each variant"
    if view.analysis.comparison.kind == SEEDS:
        return "All seeds of each variant"
    return "The run of each variant"


def _caption_of_top(view: View, groups: Sequence[Group]) -> str:
    kind = view.analysis.comparison.kind
    part = {"valid": "Validation"}.get(view.analysis.part, view.analysis.part.capitalize())
    if kind == SEARCH:
        text = f"{part} values of the trials that were best by validation; each point is a run."
    else:
        text = f"{part} values; each point is a run."
    if any(len(g.kept) >= FEW for g in groups):
        text += " Boxes span the quartiles, whiskers 1.5 times their distance at most."
    if any(0 < len(g.kept) < FEW for g in groups):
        text += f" Of fewer than {FEW} runs the points and their median are shown, not a box."
    if any(g.label == view.baseline and g.kept for g in groups):
        text += f" Dashed: the median of the baseline, {view.baseline}."
    if view.analysis.verdicts:
        text += " Above: the verdict against it."
    if any(g.lost for g in groups):
        text += " ×: diverged or failed, at the worse end."
    text += " Below: trainable parameters of these runs, median and range."
    if kind == SEARCH:
        text += " The chosen trials differ in their settings: they are not repetitions of one run."
    return text


def _sizes(view: View) -> Bars | None:
    """The median number of parameters of the chosen runs, with its range; None if none is known."""
    rows = []
    for summary in view.summaries:
        known = [o.run.params for o in summary.chosen if o.run.params is not None]
        nan = math.nan
        rows.append((median(known), *summary.params) if known else (nan, nan, nan))
    if all(math.isnan(row[0]) for row in rows):
        return None
    labels = [s.variant.label for s in view.summaries]
    return Bars(
        name="parameters",
        at=range(len(rows)),
        values=[row[0] for row in rows],
        width=WIDTH,
        colour=[view.colour(label) for label in labels],
        opacity=0.55,
        interval=Interval(low=[row[1] for row in rows], high=[row[2] for row in rows], width=1),
        texts=labels,
        hover="{y:,} parameters",
        aside="{text}",
    )


def trials(view: View) -> Figure | None:
    """All trials of each variant by validation value; None where no trial has one."""
    groups = [
        Group(s.variant.label, place, s.outcomes, [o.valid for o in s.outcomes])
        for place, s in enumerate(view.summaries)
    ]
    here = extent(g.values for g in groups)
    if here is None or not view.searched:
        return None
    caption = "Best validation value of every run that ended; each point is a run."
    if any(len(g.kept) >= FEW for g in groups):
        caption += " Boxes span the quartiles, whiskers 1.5 times their distance at most."
    if sum(len(g.kept) for g in groups) > MOST_POINTS:
        caption += " Of so many, only points beyond the whiskers are drawn on the page."
    if any(g.lost for g in groups):
        caption += (
            " ×: diverged or failed, at the worse end and not in the boxes; their number stands "
            "by the name."
        )
    caption += " How much of a box is the variant's doing depends on the ranges searched."
    names = category_axis(
        [g.label for g in groups], bold=view.baseline, notes=[_count_lost(g) for g in groups]
    )
    panel = Panel(marks=_boxes(view, groups, here), x=names, y=here.axis(view.value_title("valid")))
    return Figure(
        key="all",
        title="All trials of each variant",
        caption=caption + here.remark,
        panels=[[panel]],
        wide=True,
        paper_wide=len(groups) > MANY,
    )


def _count_lost(group: Group) -> str:
    """`12 diverged`, `3 lost`; nothing where all runs finished."""
    if not group.lost:
        return ""
    states = {o.run.state for o in group.lost}
    return f"{len(group.lost)} {states.pop() if len(states) == 1 else 'lost'}"


def _boxes(view: View, groups: Sequence[Group], here: Extent) -> list[AnyMark]:
    """A box for each variant, or points with their median where they are few; × for the lost."""
    every = sum(len(g.kept) for g in groups) <= MOST_POINTS
    found: list[AnyMark] = []
    for group in groups:
        label, kept = group.label, group.kept
        outcomes, values = [o for o, _ in kept], [v for _, v in kept]
        if len(kept) >= FEW:
            found.append(
                Box(
                    name=label,
                    at=group.place,
                    values=values,
                    width=WIDTH,
                    colour=view.colour(label),
                    symbol=view.symbol(label),
                    opacity=0.75,
                    every=every,
                    runs=view.indices(outcomes),
                )
            )
        elif kept:
            middle = median(values)
            line = Segment(
                name=f"{label}, median",
                x=(group.place - WIDTH / 2, group.place + WIDTH / 2),
                y=(middle, middle),
                colour=view.colour(label),
                hover="median {y}",
                aside="",
            )
            x = [group.place + by for by in spread(len(values), WIDTH / 4)]
            found += [line, view.points(label, x, values, outcomes, size=8, opacity=0.9)]
        if group.lost:
            x = [group.place + by for by in spread(len(group.lost), WIDTH / 2)]
            found.append(view.lost(label, x, here.edge(view.analysis.better), group.lost))
    return found


def divergence(view: View) -> Figure | None:
    """How often the runs of each variant diverge or fail; None where all of a few finished."""
    rows = [s for s in view.summaries if math.isfinite(s.diverged.value)]
    lost = any(s.counts.get(state) for s in rows for state in ("diverged", "failed"))
    if not rows or not (lost or any(_ended(s) >= 5 for s in rows)):
        return None
    failed = any(s.counts.get("failed") for s in rows)
    caption = (
        "Share of the runs that ended by a loss that was not finite, with Wilson's 95% interval, "
        "and how many of how many."
    )
    if failed:
        caption += " Hollow: the share that failed for another reason."
    if view.analysis.comparison.searched:
        caption += " It depends on the ranges searched: a wider one for the learning rate, more."
    limits = [i.high for s in rows for i in (s.diverged, s.failed) if math.isfinite(i.high)]
    end = min(1.02, 1.08 * max(limits, default=1))
    panel = Panel(
        marks=[_shares(view, rows, state) for state in ("diverged", "failed")[: 1 + failed]],
        x=Axis(title="share of the runs that ended", limits=(-0.03 * end, end), form="percent"),
        y=category_axis(
            [s.variant.label for s in rows], notes=[_count(s) for s in rows], reverse=True
        ),
    )
    return Figure(
        key="divergence",
        title="How often runs diverge",
        caption=caption,
        panels=[[panel]],
        legend="right" if failed else "",
        height=110 + 30 * len(rows),
    )


def _ended(summary: Summary) -> int:
    return sum(summary.counts.get(state, 0) for state in ENDED)


def _count(summary: Summary, state: str = "diverged") -> str:
    return f"{summary.counts.get(state, 0)} of {_ended(summary)}"


def _shares(view: View, rows: Sequence[Summary], state: str) -> Points:
    """The shares of one state; those of failed runs are hollow, a little below."""
    failed = state == "failed"
    shares = [s.failed if failed else s.diverged for s in rows]
    labels = [s.variant.label for s in rows]
    return Points(
        name=state,
        legend=True,
        x=[s.value for s in shares],
        y=[i + 0.25 * failed for i in range(len(rows))],
        colour=[view.colour(label) for label in labels],
        symbol=[view.symbol(label) for label in labels],
        hollow=failed,
        size=10,
        interval=Interval(low=[s.low for s in shares], high=[s.high for s in shares], along="x"),
        texts=[f"{s.variant.label}: {_count(s, state)}" for s in rows],
        hover="{text}, {x:.1%}",
    )
