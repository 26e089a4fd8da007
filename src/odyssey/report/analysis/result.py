"""What an analysis hands to the figures, the page and the files: plain values, no formatting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odyssey.errors import UserError
from odyssey.report.io.runs import ReportRun, ReportStudy
from odyssey.report.stats.samples import Interval

if TYPE_CHECKING:
    from odyssey.report.fanova.decomposition import Decomposition
    from odyssey.report.stats.estimates import Expected


SEARCH = "search"  # the trials of a variant have different settings
SEEDS = "seeds"  # a variant is one configuration, repeated with other seeds
SINGLE = "single"  # one run a variant


@dataclass(frozen=True)
class Variant:
    """What is compared: all runs that share the compared settings."""

    label: str  # "cifg", or "gru bptt.length=25"
    settings: Mapping[str, str]  # {"cell": "gru", "bptt.length": "25"}
    cell: str  # chooses the colour
    runs: Sequence[ReportRun]  # every one, of whatever state


@dataclass
class Comparison:
    """Runs that may be compared: one task with its settings, one data set, one metric to choose."""

    key: str  # short and stable, for files: "music-jsb"
    title: str  # "music on jsb"
    task: str
    data: str
    data_hash: str
    monitor: str
    mode: str  # "min" or "max", of the monitor
    kind: str  # SEARCH, SEEDS or SINGLE
    studies: list[ReportStudy]
    variants: list[Variant]  # in the plan's order
    baseline: str  # a variant's label
    searched: list[str]  # keys
    shared_draws: bool  # trial n of every variant had the same settings
    notes: list[str] = field(default_factory=list)  # sentences for the reader
    apart: list[str] = field(default_factory=list)  # what was set apart, and why

    @property
    def runs(self) -> list[ReportRun]:
        return [run for variant in self.variants for run in variant.runs]


@dataclass(frozen=True)
class Outcome:
    """One run in the analysis. Worst values are +inf where smaller is better, else -inf."""

    run: ReportRun
    valid: float
    test: float
    top: bool  # among the best share of its variant by validation

    @property
    def finite(self) -> bool:
        return math.isfinite(self.valid)


@dataclass(frozen=True)
class Summary:
    """A variant in numbers. Intervals are nan where there are too few runs."""

    variant: Variant
    outcomes: Sequence[Outcome]  # finished, diverged and failed runs, in the order of trials
    chosen: Sequence[Outcome]  # what is tested: the top share of a search, all seeds otherwise
    counts: Mapping[str, int]  # runs by state, every state
    best: Outcome | None  # by validation
    params: tuple[float, float]  # least and most, over the chosen
    mean: Interval  # of the chosen, test value (valid where there is no test)
    median: Interval
    iqm: Interval
    all_median: Interval  # of all outcomes, validation, the diverged as worst
    all_iqm: Interval
    diverged: Interval  # share of the runs that ended, with a Wilson interval
    failed: Interval
    expected: Expected | None  # best validation value after n trials
    seconds: float  # median training time of the finished


@dataclass(frozen=True)
class Verdict:
    """A variant against the baseline. Differences are variant minus baseline."""

    variant: str
    baseline: str
    n: int
    n_baseline: int
    difference: Interval  # of the means of the chosen, in the metric's unit
    welch_p: float
    bonferroni_p: float
    holm_p: float  # of the test that decides, corrected over all variants
    brunner_p: float
    hedges_g: Interval
    improvement: Interval  # P(variant better than baseline); of a search over all its trials
    equivalence_p: float  # of two one-sided tests, nan without a margin
    equivalence_holm_p: float
    smallest_margin: float  # the margin at which the two would be shown to be the same
    word: str  # "better", "worse", "same", "no difference found", "cannot tell"
    sentence: str  # the verdict in words
    test: str = "welch"  # which decides: "welch", or "brunner_munzel" where a run has no value
    note: str = ""
    paired: Any = None  # odyssey.report.stats.tests.Paired where the draws are shared


@dataclass
class Analysis:
    """A comparison by one metric."""

    comparison: Comparison
    metric: str  # "nats_per_frame"
    better: str  # "lower" or "higher"
    part: str  # "test", or "valid" where the runs have no test value
    share: float  # of the trials that are "the best"; 1 for seeds
    margin: float | None
    summaries: list[Summary]  # in the order of variants
    verdicts: list[Verdict]
    alpha: float = 0.05  # level of significance
    importance: dict[str, Decomposition] = field(default_factory=dict)  # by variant, "" = overall
    notes: list[str] = field(default_factory=list)

    @property
    def worst(self) -> float:
        return math.inf if self.better == "lower" else -math.inf


@dataclass(frozen=True)
class Options:
    """How the comparison is made. Raises UserError for what is out of range."""

    baseline: str | None = None  # a variant's label
    margin: float | None = None  # within which variants count as the same, in the metric's unit
    share: float = 0.1  # of a variant's trials that are its best, as Greff et al.
    alpha: float = 0.05
    draws: int = 2000  # of the bootstrap
    seed: int = 0  # of the bootstrap and the forests
    trees: int = 64  # of a forest

    def __post_init__(self) -> None:
        wrong = []
        if self.margin is not None and not (0 < self.margin < math.inf):
            wrong.append(
                f"--margin {self.margin:g} is out of range: type a difference above 0 that would "
                "not matter to you, in the metric's unit, such as 0.05"
            )
        if not 0 < self.share <= 1:
            wrong.append(
                f"--share {self.share:g} is out of range: type the share of the trials that are "
                "compared, above 0 and at most 1, such as 0.1"
            )
        if not 1e-9 <= self.alpha < 0.5:
            wrong.append(
                f"--alpha {self.alpha:g} is out of range: type a level of significance from 1e-9 "
                "to below 0.5, such as 0.05"
            )
        if not 0 <= self.seed < 2**32:
            wrong.append(
                f"--seed {self.seed} is out of range: type 0 or a number up to {2**32 - 1}"
            )
        if self.draws < 100:
            wrong.append(f"--draws {self.draws} is too few for an interval: type 100 or more")
        if wrong:
            raise UserError(*wrong)
