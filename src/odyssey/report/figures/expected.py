"""How good a search of n trials is expected to be: Dodge et al. 2019."""

from __future__ import annotations

import math
from functools import partial

from odyssey.report.figure import Figure
from odyssey.report.figures import lines
from odyssey.report.figures.common import View
from odyssey.report.figures.ranges import span

LOG_FROM = 30  # trials, from which on their axis is logarithmic


def expected(view: View) -> Figure | None:
    """Expected best validation value against the number of trials, by variant."""
    found, without = [], []
    for summary in view.summaries:
        known = summary.expected
        if known is None:
            continue
        pairs = zip(known.counts, known.mean, known.low, known.high, strict=True)
        kept = [tuple(map(float, row)) for row in pairs if math.isfinite(row[1])]
        if kept:
            counts, middle, low, high = (list(row) for row in zip(*kept, strict=True))
            found.append(lines.Line(summary.variant.label, counts, middle, low, high))
        else:
            without.append(summary.variant.label)
    here = span(line.middle for line in found)
    if here is None or max(len(line.x) for line in found) < 2:
        return None
    most = max(line.x[-1] for line in found)
    x = lines.scale("trials of a variant", [1, most], log=most > LOG_FROM)
    caption = (
        "Expected best validation value of so many trials, drawn from those that were done (Dodge "
        "et al. 2019). Bands: 95%, by bootstrap over trials; too narrow near the right end, since "
        "no resample holds a better trial than the best one. It says what a smaller search would "
        "have found, nothing of a larger one."
    )
    if without:
        caption += f" Without a finite expectation, and left out: {', '.join(without)}."
    y_title = view.values_name("valid")
    hover = "%{x} trials: %{y}<extra>%{fullData.name}</extra>"
    crowd = lines.crowded(found)
    made = []
    for line in found:
        made += lines.traces(view, line, hover=hover, hidden=crowd and line.label != view.baseline)
    caption += lines.ALONE if crowd else ""
    return Figure(
        key="expected",
        title="Expected best value after so many trials",
        caption=caption + (" Far-off starts of curves are cut." if here.outside else ""),
        traces=made,
        layout=lines.plotly_layout(x, y_title, here, legend=len(found) > 1),
        draw=partial(lines.draw, view, found, x, y_title, here),
    )
