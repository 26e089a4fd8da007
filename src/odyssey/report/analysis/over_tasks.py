"""Variants over several comparisons at once, each of them a task with one vote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from odyssey.report.analysis.compare_pairs import rank_key
from odyssey.report.analysis.decisions import SEARCH, SINGLE
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.replicates import crossed_kinds
from odyssey.report.analysis.result import Analysis, Comparison, Summary
from odyssey.report.analysis.verdicts import TO_COME
from odyssey.report.stats.over_tasks import (
    LEAST_RUNS,
    LEAST_TRIALS,
    Friedman,
    Runs,
    Task,
    friedman,
    mean_ranks,
    rank_rows,
    sign_test,
)
from odyssey.report.stats.ratios import Aggregates, Profile, aggregate, profile
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.tests import holm
from odyssey.study.formatting import several

FEW_TASKS = 5  # below which they tell nothing of tasks in general
MOST_NAMED = 4  # labels in a sentence
MOST_RANKED = 10  # of those with a rank
MOST_POINTS = 200  # of a profile


@dataclass(frozen=True)
class Wins:
    """In how many tasks a variant ranks before the baseline, and behind it; of the rest neither."""

    wins: int
    ties: int
    losses: int
    p: float  # of the sign test, uncorrected
    holm_p: float


@dataclass
class OverTasks:
    """What several tasks say together. Mappings are by label; lists of numbers are by task."""

    analyses: list[Analysis]  # of each task's own metric
    labels: list[str]  # of the variants that every task has, best mean rank first
    baseline: str
    ranks: Mapping[str, list[float]]  # in each task: 1 is the best
    mean_rank: Mapping[str, Interval]
    friedman: Friedman
    wins: Mapping[str, Wins]  # of all but the baseline
    ratios: Mapping[str, Aggregates]  # to the baseline's cost; empty where there are none
    profiles: Mapping[str, Profile]  # from a ratio of 0 on; empty where there are none
    alpha: float
    notes: list[str] = field(default_factory=list)  # what is left out, and why

    @property
    def tasks(self) -> list[str]:
        """Titles of the comparisons."""
        return [a.comparison.title for a in self.analyses]

    def mean(self, task: int, label: str) -> Interval:
        """The mean of a variant in a task, in the task's own metric."""
        summaries = self.analyses[task].summaries
        return next(s.mean for s in summaries if s.variant.label == label)

    def order(self) -> str:
        """The mean ranks as a sentence."""
        named = [f"{label} {_rank(self.mean_rank[label])}" for label in self.labels[:MOST_RANKED]]
        more = len(self.labels) - len(named)
        rest = f" and {more} more" if more > 0 else ""
        return f"Mean rank over {several(len(self.analyses), 'task')}: {', '.join(named)}{rest}."

    def agreement(self) -> str:
        """What Friedman's test can say at so few tasks."""
        f, tasks, count = self.friedman, len(self.analyses), len(self.labels)
        tested = (
            f"Friedman's test over {tasks} tasks of {count} variants has p = {f.p:.2g}, of which "
            f"the smallest possible is {f.smallest:.2g}"
        )
        if f.smallest > self.alpha:
            return f"Cannot tell whether the tasks agree on an order: {tested}."
        agree = "agree on an order" if f.p <= self.alpha else "do not show an order they agree on"
        said = f"These tasks {agree}: {tested}."
        if tasks < FEW_TASKS:
            said += f" What other tasks would say, fewer than {FEW_TASKS} cannot tell."
        return said

    def votes(self) -> str:
        """What the sign test of wins can say."""
        tasks = len(self.analyses)
        smallest = 2.0 ** (1 - tasks) * len(self.wins)
        if smallest > self.alpha:
            return (
                f"Wins over {self.baseline} cannot be told from chance: in all of {tasks} tasks, "
                f"the sign test of {several(len(self.wins), 'variant')} has p = "
                f"{min(1.0, smallest):.2g} after Holm at the least."
            )
        sure = [f"{label} ({w.wins} to {w.losses})" for label, w in self.wins.items()
                if w.holm_p <= self.alpha]  # fmt: skip
        if not sure:
            return f"No variant wins or loses against {self.baseline} in more tasks than by chance."
        return f"Against {self.baseline} more tasks are won or lost than by chance: " + (
            ", ".join(sure) + "."
        )

    def sentences(self) -> list[str]:
        return [self.order(), self.agreement(), self.votes()]


def _rank(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.value:.3g}"
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def over_tasks(
    analysed: Sequence[tuple[Comparison, Sequence[Analysis]]], options: Options
) -> OverTasks | None:
    """The variants that two or more comparisons share, by the metric that chose in each.

    None where no two comparisons share two variants with a result.
    """
    every = [a for comparison, here in analysed if (a := _own(comparison, here)) is not None]
    analyses, notes = _sharing(_repeated(every))
    if len(analyses) < 2:
        return None
    labels = _common(analyses)
    notes += _left_out(every) + _to_come(analyses, labels)
    left = [label for a in analyses for label in _labels(a) if label not in labels]
    if left:
        named = list(dict.fromkeys(left))
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        notes.append(
            f"Not in every task, and left out here: {', '.join(named[:MOST_NAMED])}{more}."
        )
    baseline = _baseline(analyses, labels)
    summaries = [[_summary(a, label) for label in labels] for a in analyses]
    keys = np.array(
        [[rank_key(s, a.better) for s in row] for a, row in zip(analyses, summaries, strict=True)]
    )
    ranks = rank_rows(keys[..., 0], keys[..., 1])
    tasks = [_task(a, row, options) for a, row in zip(analyses, summaries, strict=True)]
    means = mean_ranks(tasks, ranks, draws=options.draws, seed=options.seed)
    if math.isnan(means[0].low):
        notes.append(_without_limits(analyses, summaries, tasks))
    ratios, profiles, why = _ratios(analyses, summaries, tasks, labels.index(baseline), options)
    notes += [why] if why else []
    best = sorted(range(len(labels)), key=lambda i: means[i].value)
    named_ranks = {label: [float(v) for v in ranks[:, i]] for i, label in enumerate(labels)}
    return OverTasks(
        analyses=analyses,
        labels=[labels[i] for i in best],
        baseline=baseline,
        ranks=named_ranks,
        mean_rank=dict(zip(labels, means, strict=True)),
        friedman=friedman(ranks, options.seed),
        wins=_wins(named_ranks, baseline),
        ratios=dict(zip(labels, ratios, strict=True)) if ratios else {},
        profiles=dict(zip(labels, profiles, strict=True)) if profiles else {},
        alpha=options.alpha,
        notes=notes,
    )


# --- which tasks, which variants ---


def _own(comparison: Comparison, analyses: Sequence[Analysis]) -> Analysis | None:
    """The analysis by the metric that chose the checkpoints, else the first; None without one."""
    return next(
        (a for a in analyses if a.metric.name == comparison.monitor), next(iter(analyses), None)
    )


def _labels(analysis: Analysis) -> list[str]:
    return [s.variant.label for s in analysis.summaries if s.outcomes]


def _common(analyses: Sequence[Analysis]) -> list[str]:
    first, *others = (_labels(a) for a in analyses)
    return [label for label in first if all(label in other for other in others)]


def _repeated(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Those with more than one run of a variant, if there are any: a few runs made by hand, with
    other data say, are no task beside a study.
    """
    found = [a for a in analyses if a.comparison.kind != SINGLE]
    return found or list(analyses)


def _left_out(analyses: Sequence[Analysis]) -> list[str]:
    single = [a.comparison.title for a in analyses if a.comparison.kind == SINGLE]
    if len(single) == len(analyses):
        return []
    return [f"{title} has one run of each variant, and is left out here." for title in single]


def _to_come(analyses: Sequence[Analysis], labels: Sequence[str]) -> list[str]:
    """A note where a run of these variants, or a trial, has not ended."""
    variants = [v for a in analyses for v in a.comparison.variants if v.label in labels]
    studies = {study.name: study for a in analyses for study in a.comparison.studies}
    left = sum(run.state in TO_COME for v in variants for run in v.runs)
    left += sum(study.to_come for study in studies.values())
    return [f"Preliminary: {several(left, 'run')} to come."] if left else []


def _sharing(analyses: Sequence[Analysis]) -> tuple[list[Analysis], list[str]]:
    """Comparisons that share two variants or more, without those that share the fewest."""
    kept, notes = list(analyses), []
    while len(kept) > 1 and len(_common(kept)) < 2:
        shared = [sum(len(_common([a, b])) for b in kept if b is not a) for a in kept]
        least = len(kept) - 1 - shared[::-1].index(min(shared))  # the last of them
        gone = kept.pop(least)
        notes.append(f"{gone.comparison.title} shares too few variants, and is left out here.")
    return kept, notes


def _baseline(analyses: Sequence[Analysis], labels: Sequence[str]) -> str:
    """That of the first comparison whose baseline every task has; else the first variant."""
    own = [a.comparison.baseline for a in analyses]
    return next((label for label in own if label in labels), labels[0])


def _summary(analysis: Analysis, label: str) -> Summary:
    return next(s for s in analysis.summaries if s.variant.label == label)


# --- numbers ---


def _task(analysis: Analysis, summaries: Sequence[Summary], options: Options) -> Task:
    sign = 1.0 if analysis.better == "lower" else -1.0
    search = analysis.comparison.kind == SEARCH
    runs = [
        Runs(
            sign * np.array([o.test for o in s.outcomes], dtype=float),
            np.array([o.chosen_by for o in s.outcomes], dtype=float) if search else None,
        )
        for s in summaries
    ]
    keys = [
        [
            (o.run.study, o.run.trial, o.run.drawn_from) if search else o.run.drawn_from
            for o in s.outcomes
        ]
        for s in summaries
    ]
    same = all(own == keys[0] for own in keys) and len(set(keys[0])) == len(keys[0])
    paired = same and (analysis.comparison.shared_draws or not search)
    independent = search or not crossed_kinds(analysis.comparison.variants)
    return Task(runs, paired, options.share if search else 1.0, independent)


def _without_limits(
    analyses: Sequence[Analysis], rows: Sequence[Sequence[Summary]], tasks: Sequence[Task]
) -> str:
    if not all(task.independent for task in tasks):
        why = "seeds vary crosswise in a task, so that runs share some and are no independent draws"
    elif any(a.comparison.kind == SINGLE for a in analyses):
        why = "a task has one run of each variant"
    elif any(
        a.comparison.kind != SEARCH and any(not math.isfinite(o.test) for o in s.outcomes)
        for a, row in zip(analyses, rows, strict=True)
        for s in row
    ):
        why = "runs were lost, and how many of a handful are is chance, which decides the rank"
    else:
        why = (
            f"a variant has fewer than {LEAST_RUNS} seeds or {LEAST_TRIALS} trials of a search in "
            "a task"
        )
    return f"Mean ranks have no intervals: {why}."


def _wins(ranks: Mapping[str, Sequence[float]], baseline: str) -> dict[str, Wins]:
    found = []
    others = [label for label in ranks if label != baseline]
    for label in others:
        pairs = list(zip(ranks[label], ranks[baseline], strict=True))
        wins, losses = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
        found.append((wins, len(pairs) - wins - losses, losses, sign_test(wins, losses)))
    corrected = holm([p for *_, p in found])
    return {
        label: Wins(*row, float(p)) for label, row, p in zip(others, found, corrected, strict=True)
    }


def _ratios(
    analyses: Sequence[Analysis],
    rows: Sequence[Sequence[Summary]],
    tasks: Sequence[Task],
    baseline: int,
    options: Options,
) -> tuple[list[Aggregates], list[Profile], str]:
    """Aggregates and profiles of each variant; or none, and why."""
    without = "Ratios to the baseline and profiles are not made: "
    if any(a.comparison.kind == SEARCH for a in analyses):
        return [], [], without + "the best trials of a search are no sample of runs."
    costs = []
    for a, row in zip(analyses, rows, strict=True):
        values = [np.array([o.test for o in s.outcomes], dtype=float) for s in row]
        finite = np.concatenate(values)
        if (finite[np.isfinite(finite)] <= 0).any():
            title = a.comparison.title
            return [], [], f"{without}{title} has values of 0 or below, of which there is no ratio."
        if not np.isfinite(values[baseline]).any():
            return [], [], f"{without}every run of the baseline was lost in {a.comparison.title}."
        lower = a.better == "lower"
        costs.append([v if lower else np.where(np.isfinite(v), 1 / v, np.inf) for v in values])
    paired = [task.paired for task in tasks]
    limits = all(task.independent for task in tasks)
    made = aggregate(costs, baseline, paired, draws=options.draws, seed=options.seed, limits=limits)
    centres = [
        float(np.exp(np.log(base[np.isfinite(base)]).mean()))
        for base in (task[baseline] for task in costs)
    ]
    ratios = [
        [task[i] / centre for task, centre in zip(costs, centres, strict=True)]
        for i in range(len(rows[0]))
    ]
    limits = limits and all(a.comparison.kind != SINGLE for a in analyses)
    every = np.unique(np.concatenate([r for own in ratios for r in own]))
    at = every[np.isfinite(every)]
    if len(at) > MOST_POINTS:
        at = at[np.unique(np.linspace(0, len(at) - 1, MOST_POINTS).round().astype(int))]
    at = np.concatenate([[0.0], at])  # before the first
    profiles = [profile(own, at, limits=limits) for own in ratios]
    return made, profiles, ""
