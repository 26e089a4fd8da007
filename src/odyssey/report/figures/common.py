"""What all figures share: colours, names, numbers cut to four digits, places in the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.analysis.names import axis_of_metric
from odyssey.report.analysis.result import Analysis, Outcome, Summary, Verdict
from odyssey.report.figures.ranges import Span
from odyssey.report.io.runs import Run
from odyssey.report.palette import colour_of, dash_of, symbol_of

NEUTRAL = "#808890"  # of what belongs to no variant; seen on white and on black
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FEW = 5  # values, below which a box would pretend to know quartiles


@dataclass(frozen=True)
class View:
    """An analysis and where its runs are in the page."""

    analysis: Analysis
    run_index: Mapping[tuple[str, str], int]

    @property
    def labels(self) -> list[str]:
        return [v.label for v in self.analysis.comparison.variants]

    @property
    def summaries(self) -> list[Summary]:
        """Of the variants that have any run with an end."""
        return [s for s in self.analysis.summaries if s.outcomes]

    @property
    def baseline(self) -> str:
        return self.analysis.comparison.baseline

    def colour(self, label: str) -> str:
        return colour_of(label, self.labels)

    def symbol(self, label: str) -> str:
        return symbol_of(label, self.labels)

    def dash(self, label: str) -> str:
        return dash_of(label, self.labels)

    def rank(self, label: str) -> int:
        """Its place in a legend: as in the plan, after them what is no variant."""
        return 1 + (self.labels.index(label) if label in self.labels else len(self.labels))

    def index(self, run: Run) -> int | None:
        return self.run_index.get((run.study, run.name))

    def verdict(self, label: str) -> Verdict | None:
        return next((v for v in self.analysis.verdicts if v.variant == label), None)

    def word(self, label: str) -> str:
        """`better`, `worse`, …; `baseline`; nothing where no verdict was made."""
        if label == self.baseline:
            return "baseline" if self.analysis.verdicts else ""
        verdict = self.verdict(label)
        return verdict.word if verdict else ""

    def values_name(self, part: str | None = None) -> str:
        """What the axis of values says: `nats per frame, test; lower is better`."""
        analysis = self.analysis
        return axis_of_metric(analysis.metric, part or analysis.part, analysis.better)


def number(value: float | None, digits: int = 4) -> float | None:
    """A number with few digits, for JSON; None for one that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def numbers(values: Iterable[float | None], digits: int = 4) -> list[float | None]:
    return [number(v, digits) for v in values]


def faint(colour: str, opacity: float) -> str:
    """`rgba(…)` for Plotly."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def axis(title: str = "", span: Span | None = None, **more: Any) -> dict[str, Any]:
    """An axis of a Plotly layout."""
    found: dict[str, Any] = {"automargin": True, "zeroline": False}
    if title:
        found["title"] = {"text": title}
    if span:
        found["range"] = span.limits
    return found | more


def labelled(view: View, labels: Sequence[str], title: str = "") -> dict[str, Any]:
    """A Plotly axis with a variant at each whole number from 0, the baseline in bold."""
    names = [f"<b>{label}</b>" if label == view.baseline else label for label in labels]
    return axis(
        title,
        tickvals=list(range(len(labels))),
        ticktext=names,
        range=[-0.6, len(labels) - 0.4],
        showgrid=False,
    )


def layout(height: int = 420, *, legend: bool = False, **more: Any) -> dict[str, Any]:
    """A Plotly layout without colours: the page's theme gives them."""
    margin = {"l": 60, "r": 16, "t": 24, "b": 48}
    return {"height": height, "showlegend": legend, "margin": margin, **more}


def spread(count: int, width: float) -> list[float]:
    """Offsets that put points beside each other, the same every time: 0 ± width."""
    golden = (math.sqrt(5) - 1) / 2  # its multiples are spread evenly at every length
    return [width * (2 * ((i * golden) % 1) - 1) if count > 1 else 0.0 for i in range(count)]


def dots(
    view: View,
    label: str,
    x: Sequence[float],
    y: Sequence[float],
    of: Sequence[Outcome],
    *,
    size: int = 6,
    opacity: float = 0.75,
    symbol: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A Plotly trace in which each point is a run."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "legendrank": view.rank(label),
        "x": numbers(x),
        "y": numbers(y),
        "customdata": [view.index(o.run) for o in of],
        "marker": {
            "color": view.colour(label),
            "symbol": symbol or view.symbol(label),
            "size": size,
            "opacity": opacity,
        },
        "hovertemplate": "%{y}<extra>%{fullData.name}</extra>",
        **more,
    }


def short(value: float) -> str:
    """A tick's number: `0.01`, `200`, `50k`, `10⁻⁵`, `2·10⁻⁵`."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        digits, _, power = f"{value:e}".partition("e")
        ten = "10" + str(int(power)).translate(POWERS)
        return ten if float(digits) == 1 else f"{float(digits):g}·{ten}"
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if size >= 1e4 else f"{value:g}"
