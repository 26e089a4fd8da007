"""What a figure is made from: an analysis, with the colours, markers and places of its parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.analysis.names import axis_of_metric
from odyssey.report.analysis.result import SEARCH, Analysis, Outcome, Summary, Verdict
from odyssey.report.figures.marks import Points
from odyssey.report.io.runs import ReportRun
from odyssey.report.palette import colour_of, dash_of, symbol_of


@dataclass(frozen=True)
class View:
    """An analysis, and where its runs are in the page.

    run_index: the index of a run in the page by its study and name.
    """

    analysis: Analysis
    run_index: Mapping[tuple[str, str], int]

    @property
    def labels(self) -> list[str]:
        """Of all variants, in the order of the page: better ones first, worse ones last."""
        return [s.variant.label for s in self.analysis.summaries]

    @property
    def _planned(self) -> list[str]:
        """The same in the order of the plan: each has one colour, whatever the metric."""
        return [v.label for v in self.analysis.comparison.variants]

    @property
    def summaries(self) -> list[Summary]:
        """Of the variants that have a run that ended."""
        return [s for s in self.analysis.summaries if s.outcomes]

    @property
    def baseline(self) -> str:
        return self.analysis.comparison.baseline

    @property
    def searched(self) -> bool:
        """Whether the runs of a variant are trials of a search, with different settings."""
        return self.analysis.comparison.kind == SEARCH

    def colour(self, label: str) -> str:
        """`#rrggbb` of a variant."""
        return colour_of(label, self._planned)

    def symbol(self, label: str) -> str:
        """Marker of a variant, one of `marks.SYMBOLS`."""
        return symbol_of(label, self._planned)

    def dash(self, label: str) -> str:
        """Dash of a variant's lines, one of `marks.DASHES`."""
        return dash_of(label, self._planned)

    def rank(self, label: str) -> int:
        """Place in a legend: in the order of the page; what is no variant comes last."""
        return 1 + (self.labels.index(label) if label in self.labels else len(self.labels))

    def index(self, run: ReportRun) -> int | None:
        """Where the run is in the page; None if it is not there."""
        return self.run_index.get((run.study, run.name))

    def indices(self, outcomes: Sequence[Outcome]) -> list[int | None]:
        return [self.index(o.run) for o in outcomes]

    def verdict(self, label: str) -> Verdict | None:
        return next((v for v in self.analysis.verdicts if v.variant == label), None)

    def word(self, label: str) -> str:
        """`better`, `worse`, …; `baseline`; nothing where no verdict was made."""
        if label == self.baseline:
            return "baseline" if self.analysis.verdicts else ""
        verdict = self.verdict(label)
        return verdict.conclusion if verdict else ""

    def value_title(self, part: str | None = None) -> str:
        """Title of an axis of values: `nats per frame, test; lower is better`."""
        analysis = self.analysis
        return axis_of_metric(analysis.metric, part or analysis.part)

    def points(
        self,
        label: str,
        x: Sequence[float],
        y: Sequence[float],
        outcomes: Sequence[Outcome],
        **more: Any,
    ) -> Points:
        """A variant's runs as points in its colour and marker; a click on one opens the run.

        The page adds the run's name and its seed to the pointer's text. more: further fields of
        Points.
        """
        fields: dict[str, Any] = {
            "name": label,
            "rank": self.rank(label),
            "colour": self.colour(label),
            "symbol": self.symbol(label),
            "opacity": 0.75,
        }
        return Points(x=x, y=y, runs=self.indices(outcomes), **(fields | more))

    def lost(
        self,
        label: str,
        x: Sequence[float],
        edge: float,
        outcomes: Sequence[Outcome],
        **more: Any,
    ) -> Points:
        """A variant's runs without a value as crosses at `edge`, the worse end of the axis."""
        fields: dict[str, Any] = {"symbol": "thin-x", "size": 7, "hover": "{text}"}
        texts = [o.run.state for o in outcomes]
        return self.points(label, x, [edge] * len(x), outcomes, texts=texts, **(fields | more))


def split_lost(
    outcomes: Sequence[Outcome], values: Sequence[float]
) -> tuple[list[tuple[Outcome, float]], list[Outcome]]:
    """The runs with a finite value, with it; and the others."""
    pairs = list(zip(outcomes, values, strict=True))
    return (
        [(o, v) for o, v in pairs if math.isfinite(v)],
        [o for o, v in pairs if not math.isfinite(v)],
    )
