"""The types of a comparison and of its analysis: plain values, without formatting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from odyssey.report.analysis.decisions import SEARCH, SEEDS, SINGLE, Decision
from odyssey.report.analysis.names import better_direction
from odyssey.report.io.runs import ReportRun, ReportStudy, find_metric
from odyssey.report.stats.samples import Interval
from odyssey.tasks.metric import Metric

if TYPE_CHECKING:
    from odyssey.report.analysis.all_pairs import AllPairs
    from odyssey.report.analysis.factors import Factors
    from odyssey.report.fanova.decomposition import Decomposition
    from odyssey.report.stats.components import VarianceRow
    from odyssey.report.stats.estimates import Tuning
    from odyssey.report.stats.items import ItemsError
    from odyssey.report.stats.tests import Paired

__all__ = ["SEARCH", "SEEDS", "SINGLE", "Analysis", "Comparison", "Outcome", "Summary", "Variant"]


@dataclass(frozen=True)
class Variant:
    """Runs that share the values of all scientific parameters."""

    label: str  # "cifg", "gru 25" or "gru 64 units 25 steps"
    settings: Mapping[str, str]  # scientific parameters: {"cell": "gru", "bptt.length": "25"}
    cell: str
    runs: Sequence[ReportRun]  # in any state


@dataclass
class Comparison:
    """Runs that may be compared: of one task with its settings, one data set and one monitor."""

    key: str  # short, for file names: "music-jsb"
    title: str  # "music on jsb"
    task: str
    data: str
    data_hash: str
    monitor: str
    mode: str  # direction of the monitor: "min" or "max"
    kind: str  # design: SEARCH, SEEDS or SINGLE
    studies: list[ReportStudy]
    variants: list[Variant]  # in the plan's order
    baseline: str  # label of a variant
    searched: list[str]  # keys of the nuisance parameters
    shared_draws: bool  # whether trial n of every variant had the same settings
    notes: list[str] = field(default_factory=list)  # sentences for the reader
    apart: list[str] = field(default_factory=list)  # sentences on runs compared elsewhere, or not

    @property
    def runs(self) -> list[ReportRun]:
        """The runs of all variants."""
        return [run for variant in self.variants for run in variant.runs]

    def metric(self, name: str) -> Metric:
        """Direction, label and unit of a metric, as these runs record them."""
        found = find_metric(self.runs, name)
        mode: Literal["min", "max"] = "max" if self.mode == "max" else "min"
        return replace(found, mode=mode) if name == self.monitor else found


@dataclass(frozen=True)
class Outcome:
    """Result of one run. Of a diverged or failed one it is the worst: inf, or -inf under max."""

    run: ReportRun
    valid: float
    test: float  # or validation, where the analysis compares that
    top: bool  # whether it is compared: among the best share of a search, by validation
    chosen_by: (
        float  # what a search chooses by: the monitor's value, smaller is better, inf if lost
    )

    @property
    def finite(self) -> bool:
        """Whether the run has a validation value."""
        return math.isfinite(self.valid)


@dataclass(frozen=True)
class Summary:
    """Statistics of one variant. Intervals are nan where there are too few runs."""

    variant: Variant
    outcomes: Sequence[Outcome]  # of runs that ended, in the order of trials
    chosen: Sequence[Outcome]  # compared: the best share of a search, otherwise all
    counts: Mapping[str, int]  # runs by state; every state is there
    best: Outcome | None  # by validation
    params: tuple[float, float]  # smallest and largest number of parameters of the chosen
    mean: Interval  # of the chosen; these three are of test values where the runs have them
    median: Interval
    iqm: Interval
    all_median: Interval  # of validation values of all outcomes
    all_iqm: Interval
    diverged: Interval  # share of the runs that ended, with Wilson's interval
    failed: Interval
    tuning: Tuning | None  # of a search: the best validation value of n trials
    seconds: float  # median training time of finished runs


@dataclass(frozen=True)
class Verdict:
    """A variant against the baseline. Differences are variant minus baseline."""

    variant: str
    baseline: str
    n: int  # runs compared
    n_baseline: int
    decision: Decision  # the word, and what it rests on
    welch_p: float  # of the runs compared; for a search this is the paper's test, which errs
    bonferroni_p: float
    brunner_p: float
    hedges_g: Interval
    improvement: Interval  # P(variant better than baseline); of a search over all its trials
    sentence: str  # the verdict in full
    note: str = ""
    preliminary: str = ""  # why the verdict is one before the plan's end, or of a plan that grew
    exploratory: str = ""  # what of it was chosen after the data
    paired: Paired | None = None  # where trials of both variants share settings

    @property
    def conclusion(self) -> str:
        """ "better", "promising" (better in a search), "worse", "same", "no difference found" or
        "cannot tell".
        """
        return self.decision.conclusion


@dataclass
class Analysis:
    """A comparison by one metric."""

    comparison: Comparison
    metric: Metric
    part: str  # compared values: "test", or "valid" where not all runs have test values
    share: float  # of the trials that are compared; 1 unless it is a search
    margin: float | None  # of equivalence
    summaries: list[Summary]  # in the order of variants
    verdicts: list[Verdict]
    alpha: float = 0.05  # level of significance
    late: dict[str, str] = field(default_factory=dict)  # part of the plan -> how it was left
    all_pairs: AllPairs | None = None  # of three or more variants
    importance: dict[str, Decomposition] = field(default_factory=dict)  # by variant; "" is overall
    factors: Factors | None = None  # where the variants are a grid of two or more factors
    notes: list[str] = field(default_factory=list)  # sentences for the reader
    items: dict[str, ItemsError] = field(default_factory=dict)  # by variant: of the test items
    variance: list[VarianceRow] = field(default_factory=list)  # where the scatter comes from

    @property
    def better(self) -> str:
        """Which values are better: "lower" or "higher"."""
        return better_direction(self.metric)

    @property
    def worst(self) -> float:
        """The value of a run that diverged or failed."""
        return math.inf if self.better == "lower" else -math.inf
