"""What a value costs: against parameters, training time and the length of truncated BPTT."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from odyssey.report.analysis.names import axis_of_setting, name_of_setting
from odyssey.report.analysis.result import Outcome, Summary
from odyssey.report.figures.marks import AnyMark, Axis, Figure, Interval, Line, Panel, spread
from odyssey.report.figures.scales import category_axis, extent, number_axis
from odyssey.report.figures.view import View
from odyssey.report.io.runs import ReportRun
from odyssey.report.palette import colour_of, dash_of, symbol_of

LOG_RATIO = 5  # largest to smallest, from which on the axis is logarithmic
KEY = "bptt.length"
WHOLE = math.inf  # the length of a sequence that is not cut


def params(view: View) -> Figure | None:
    """The value of each run against its trainable parameters; None where all have as many."""
    return _against(
        view,
        "params",
        "Value and size",
        "trainable parameters",
        lambda run: math.nan if run.params is None else float(run.params),
    )


def time(view: View) -> Figure | None:
    """The value of each run against its seconds in training."""
    devices = sorted({run.device for run in view.analysis.comparison.runs if run.device})
    on = f" Trained on {', '.join(devices)}." if devices else ""
    warning = " Seconds depend on the machine and on what else it did."
    title, x_title = "Value and training time", "seconds in training"
    return _against(view, "time", title, x_title, lambda run: run.seconds, on + warning)


def _against(
    view: View,
    key: str,
    title: str,
    x_title: str,
    of: Callable[[ReportRun], float],
    remark: str = "",
) -> Figure | None:
    points = [
        (s.variant.label, of(o.run), o)
        for s in view.summaries
        for o in s.outcomes
        if math.isfinite(o.test)
    ]
    points = [p for p in points if math.isfinite(p[1]) and p[1] > 0]
    along = [x for _, x, _ in points]
    here = extent([o.test for label, _, o in points if label == one] for one in view.labels)
    if here is None or len(set(along)) < 2:
        return None
    caption = "Each point is a run that finished"
    caption += "; full colour: the chosen ones, faint: the other trials." if view.searched else "."
    shown: list[AnyMark] = []
    for label in dict.fromkeys(label for label, _, _ in points):
        for chosen in (False, True):
            some = [(x, o) for one, x, o in points if one == label and o.top == chosen]
            if some:
                outcomes = [o for _, o in some]
                shown.append(
                    view.points(
                        label,
                        [x for x, _ in some],
                        [o.test for o in outcomes],
                        outcomes,
                        group=label,
                        legend=chosen,
                        size=8 if chosen else 5,
                        opacity=0.9 if chosen else 0.3,
                        hover="{x}: {y}",
                    )
                )
    log = max(along) / min(along) >= LOG_RATIO
    x = number_axis(x_title, min(along), max(along), log=log)
    return Figure(
        key=key,
        title=title,
        caption=caption + remark + here.remark,
        panels=[[Panel(marks=shown, x=x, y=here.axis(view.value_title()))]],
        legend="right",
        height=440,
    )


Rows = list[tuple[float, Summary]]  # truncation lengths, and the variants that have them


def truncation(view: View) -> Figure | None:
    """The mean value against the truncation length, a line for each cell.

    None where the lengths do not vary between variants, and where they are one of two factors of a
    grid, which have a figure of their own; searched lengths are in the marginals.
    """
    factors = view.analysis.factors
    if factors is not None and len(factors.grid.factors) == 2:
        if any(KEY in factor.keys for factor in factors.grid.factors):
            return None
    found: dict[str, Rows] = {}
    joined = _settings_with_length(view.summaries)
    for summary in view.summaries:
        length = _length(summary)
        settings = summary.variant.settings.items()
        others = {k: v for k, v in settings if k not in (KEY, "cell", *joined)}
        if not math.isnan(length):
            words = [summary.variant.cell, *(f"{k}={v}" for k, v in others.items())]
            found.setdefault(" ".join(filter(None, words)), []).append((length, summary))
    lengths = sorted({length for rows in found.values() for length, _ in rows})
    here = extent([o.test for o in s.chosen] for rows in found.values() for _, s in rows)
    if len(lengths) < 2 or here is None:
        return None
    for rows in found.values():
        rows.sort(key=lambda row: row[0])
    every = [s for rows in found.values() for _, s in rows]
    intervals = any(math.isfinite(s.mean.low) for s in every)
    caption = "Mean value of each truncation length, by cell; points: runs."
    if intervals:
        caption += " Bars: 95% intervals of the mean."
    if joined:
        caption += f" With the length goes {' and '.join(map(name_of_setting, joined))}."
    if view.searched:
        caption += " The runs are the best of a search, with different settings."
    elif not intervals:
        caption += " One run each: how far seeds scatter is not known."
    if any(not o.finite for s in every for o in s.chosen):
        caption += " Runs that diverged or failed are not in the means."
    shown: list[AnyMark] = []
    for group in found:
        shown += _line_of_lengths(view, group, found, lengths)
    return Figure(
        key="truncation",
        title="What truncation length buys",
        caption=caption + here.remark,
        panels=[[Panel(marks=shown, x=_length_axis(lengths), y=here.axis(view.value_title()))]],
        legend="right" if len(found) > 1 else "",
    )


def _length_axis(lengths: Sequence[float]) -> Axis:
    return category_axis([_length_name(n) for n in lengths], title=axis_of_setting(KEY))


def _settings_with_length(summaries: Sequence[Summary]) -> list[str]:
    """Compared settings of which every length has one value: they belong to the length."""
    values: dict[str, dict[float, set[str]]] = {}
    for summary in summaries:
        for key, value in summary.variant.settings.items():
            if key not in (KEY, "cell"):
                values.setdefault(key, {}).setdefault(_length(summary), set()).add(value)
    several = {k: v for k, v in values.items() if len(set().union(*v.values())) > 1}
    return [k for k, v in several.items() if all(len(here) == 1 for here in v.values())]


def _length(summary: Summary) -> float:
    """Truncation length of the variant's runs; nan where they differ, or do not say."""
    found = {repr(v): v for o in summary.outcomes if (v := o.run.config.get(KEY, ())) != ()}
    if len(found) != 1:
        return math.nan
    value = next(iter(found.values()))
    if value is None:
        return WHOLE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _length_name(length: float) -> str:
    return "whole" if length == WHOLE else f"{length:.0f}"


def _line_of_lengths(
    view: View, group: str, found: dict[str, Rows], lengths: Sequence[float]
) -> list[AnyMark]:
    """One line with its runs. Lines stand side by side, so that no interval covers another."""
    order, rows = list(found), found[group]
    colour = colour_of(group, order) if group else None
    symbol, dash = (f(group, order) if group else "" for f in (symbol_of, dash_of))
    step = min(0.12, 0.6 / len(order))
    offset = (order.index(group) - (len(order) - 1) / 2) * step
    places = [lengths.index(length) + offset for length, _ in rows]
    means = [s.mean for _, s in rows]
    shown: list[AnyMark] = [
        Line(
            name=group or "mean",
            group=group,
            legend=True,
            rank=order.index(group),
            x=places,
            y=[m.value for m in means],
            colour=colour,
            dash=dash or "solid",
            symbol=symbol or "circle",
            size=8,
            interval=Interval(low=[m.low for m in means], high=[m.high for m in means]),
            texts=[_length_name(length) for length, _ in rows],
            hover="length {text}: mean {y}",
        )
    ]
    for place, (_, summary) in zip(places, rows, strict=True):
        kept: list[Outcome] = [o for o in summary.chosen if math.isfinite(o.test)]
        if kept:
            x = [place + by for by in spread(len(kept), 0.06)]
            values, label = [o.test for o in kept], summary.variant.label
            more = {"group": group, "colour": colour, "size": 5, "opacity": 0.5}
            shown.append(view.points(label, x, values, kept, **more))
    return shown
