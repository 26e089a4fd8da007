"""Where the scatter of runs comes from."""

from __future__ import annotations

from odyssey.report.analysis.replicates import WORDS
from odyssey.report.analysis.variance import ALL
from odyssey.report.figures.marks import AnyMark, Axis, Figure, Interval, Panel, Points
from odyssey.report.figures.scales import category_axis
from odyssey.report.figures.view import View

MOST = 8  # variants that have a point of their own


def variance(view: View) -> Figure | None:
    """Shares of the variance of a run by weights, order, split, settings and the remainder.

    None where the runs do not vary in several ways that can be told apart.
    """
    rows = [row for row in view.analysis.variance if not row.of_difference]
    if not rows:
        return None
    whole = next((row for row in rows if row.label == ALL), rows[0])
    factors = list(whole.budget.shares)
    own = [row for row in rows if row is not whole]
    caption = (
        "Share of the variance of a single run, by what its value is drawn from: the method of "
        "moments, with 95% generalized intervals. The remainder is interactions and what nothing "
        "here explains. With few seeds of a kind the intervals are wide."
    )
    marks: list[AnyMark] = []
    if len(own) <= MOST:
        offsets = [0.2 + 0.24 * i / max(len(own) - 1, 1) for i in range(len(own))]
        for row, offset in zip(own, offsets, strict=True):
            marks.append(
                Points(
                    name=row.label,
                    legend=True,
                    rank=view.rank(row.label),
                    x=[row.budget.shares[f].value for f in factors if f in row.budget.shares],
                    y=[i + offset for i, f in enumerate(factors) if f in row.budget.shares],
                    colour=view.colour(row.label),
                    symbol=view.symbol(row.label),
                    size=7,
                    hover="{x:.0%}",
                )
            )
        if own:
            caption += f" Large: {whole.label}; small: single variants, without their intervals."
    shares = [whole.budget.shares[f] for f in factors]
    marks.append(
        Points(
            name=whole.label,
            legend=bool(own),
            rank=0,
            x=[s.value for s in shares],
            y=list(range(len(factors))),
            symbol="square",
            size=10,
            texts=[f" ({s.low:.0%} to {s.high:.0%})" for s in shares],
            hover="{x:.0%}{text}",
            interval=Interval(
                low=[s.low for s in shares],
                high=[s.high for s in shares],
                along="x",
                width=2,
            ),
        )
    )
    panel = Panel(
        marks=marks,
        x=Axis(title="share of the variance of a run", limits=(-0.02, 1.02), form="percent"),
        y=category_axis([WORDS.get(f, f) for f in factors], reverse=True),
    )
    return Figure(
        key="variance",
        title="Where the scatter comes from",
        caption=caption,
        panels=[[panel]],
        legend="above" if own else "",
        height=130 + 46 * len(factors),
    )
