"""Error rates, coverage and power, counted over simulated studies."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from odyssey.report.analysis.decisions import BETTER, PROMISING, SAME, SEARCH, WORSE, decide
from odyssey.report.analysis.options import Options
from odyssey.report.calibration.landscapes import Setting, Study
from odyssey.report.stats.selection import top_share
from odyssey.report.stats.tests import holm, welch

CHUNK = 20  # studies of a task for a process
Statistic = Callable[[np.random.Generator], bool]  # whether one simulated interval holds the truth


@dataclass(frozen=True)
class Rate:
    """A share of studies, with its Monte-Carlo error."""

    hits: float
    studies: int

    @property
    def value(self) -> float:
        return self.hits / self.studies if self.studies else math.nan

    @property
    def error(self) -> float:
        """The standard error of the share, from the sampling of studies."""
        p = (self.hits + 1) / (self.studies + 2)
        return math.sqrt(p * (1 - p) / self.studies) if self.studies else math.nan

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.hits + other.hits, self.studies + other.studies)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class Rates:
    """What became of the studies of one setting."""

    wrong: Rate  # with a false "better" or "worse" of any variant
    paper: Rate  # the same, of Welch's test on the runs compared, after Holm
    found: Rate  # with the first variant "better"
    found_by_paper: Rate
    same: Rate  # with the first variant "the same"
    held: Rate  # with limits that hold the true differences of all variants

    def __add__(self, other: Rates) -> Rates:
        return Rates(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))


def _fields(rates: Rates) -> list[Rate]:
    return [rates.wrong, rates.paper, rates.found, rates.found_by_paper, rates.same, rates.held]


def measure(
    setting: Setting,
    studies: int,
    *,
    seed: int = 0,
    margin: float | None = None,
    limits: bool = False,
    draws: int = 1000,
    processes: int | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Rates:
    """The rates over so many simulated studies; the same seed gives the same ones.

    margin: of equivalence; the first variant then differs by exactly that, where its shift does.
    limits: whether to count how often the intervals hold. tell: called with studies done.
    """
    options = Options(margin=margin, draws=draws)
    tasks = [
        (setting, options, limits, seed, start, min(CHUNK, studies - start))
        for start in range(0, studies, CHUNK)
    ]
    total = Rates(*[Rate(0, 0)] * 6)
    for part in run_all(_measure, tasks, processes):
        total = total + part
        tell(part.wrong.studies)
    return total


def run_all(work: Callable, tasks: Sequence, processes: int | None) -> Iterator:
    """The results of `work` for each task, in their order, in so many processes."""
    count = processes or os.cpu_count() or 1
    if count == 1:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(count) as pool:
        yield from pool.map(work, tasks)


def _measure(task: tuple[Setting, Options, bool, int, int, int]) -> Rates:
    setting, options, limits, seed, start, count = task
    total = Rates(*[Rate(0, 0)] * 6)
    for number in range(start, start + count):
        total = total + _one(setting, replace(options, seed=number), limits, seed)
    return total


def _one(setting: Setting, options: Options, limits: bool, seed: int) -> Rates:
    random = np.random.default_rng([seed, options.seed, *setting.name.encode()])
    study = setting.draw(random)
    baseline, first, *_ = study
    decisions = decide(study, baseline, setting.design, options, limits=limits)
    words = {label: d.conclusion for label, d in decisions.items()}
    null = [label for label in words if label != first or setting.shift == 0]
    paper = paper_words(study, baseline, setting, options.alpha)
    truth = {label: -setting.shift if label == first else 0.0 for label in words}
    held = all(
        d.difference.low <= truth[label] <= d.difference.high
        for label, d in decisions.items()
        if not math.isnan(d.difference.low)
    )
    return Rates(
        Rate(any(words[label] in (BETTER, PROMISING, WORSE) for label in null), 1),
        Rate(any(paper[label] in (BETTER, WORSE) for label in null), 1),
        Rate(words[first] in (BETTER, PROMISING), 1),
        Rate(paper[first] == BETTER, 1),
        Rate(words[first] == SAME, 1),
        Rate(held, int(limits)) if limits else Rate(0, 0),
    )


def measure_detectable(
    setting: Setting,
    studies: int,
    *,
    seed: int = 0,
    processes: int | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Rate:
    """How often a study finds the difference that another like it would have found, it said.

    The first study has none; where its first variant is told no size, it is not counted.
    """
    tasks = [
        (setting, seed, start, min(CHUNK, studies - start)) for start in range(0, studies, CHUNK)
    ]
    total, done = Rate(0, 0), 0
    for (_, _, _, count), part in zip(tasks, run_all(_count_found, tasks, processes), strict=True):
        total, done = total + part, done + count
        tell(done)
    return total


def _count_found(task: tuple[Setting, int, int, int]) -> Rate:
    setting, seed, start, count = task
    total = Rate(0, 0)
    for number in range(start, start + count):
        random = np.random.default_rng([seed, number, *setting.name.encode()])
        options = Options(draws=1000, seed=number)
        study = setting.draw(random)
        baseline, first, *_ = study
        size = decide(study, baseline, setting.design, options)[first].detectable
        if math.isfinite(size):
            another = replace(setting, shift=size).draw(random)
            decision = decide(another, baseline, setting.design, options, limits=False)[first]
            total = total + Rate(int(decision.conclusion in (BETTER, PROMISING)), 1)
    return total


def paper_words(study: Study, baseline: str, setting: Setting, alpha: float) -> dict[str, str]:
    """The words of Welch's test with Holm's correction on the runs compared, as in the paper."""
    kept = {}
    for label, sample in study.items():
        values = sample.test
        if setting.design.kind == SEARCH:
            values = values[top_share(sample.chosen_by, "lower", setting.design.share)]
        kept[label] = values[np.isfinite(values)]
    others = [label for label in study if label != baseline]
    tests = {label: welch(kept[label], kept[baseline]) for label in others}
    corrected = holm([tests[label].p for label in others])
    return {
        label: (BETTER if tests[label].difference.value < 0 else WORSE) if p <= alpha else ""
        for label, p in zip(others, corrected, strict=True)
    }


def coverage(statistic: Statistic, studies: int, seed: int = 0) -> Rate:
    """How often the intervals of a statistic hold the truth."""
    random = np.random.default_rng([seed, studies])
    return Rate(sum(bool(statistic(random)) for _ in range(studies)), studies)
