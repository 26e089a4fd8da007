"""Ranks of variants over several tasks, each task one vote, and tests of whether they agree.

A task's values are costs here: smaller is better, and a lost run's is +inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from odyssey.report.stats.samples import Interval, expanded_level, percentiles
from odyssey.report.stats.selection import fenced, share_count

NAN = math.nan
MOST_COUNTED = 20_000  # orders of all tasks together that are counted one by one
DRAWN = 20_000  # where there are more


def rank_rows(lost: ArrayLike, means: ArrayLike) -> np.ndarray:
    """Ranks along the last axis, 1 for the best: by the share of runs lost, then by the mean.

    Equal variants share their mean rank. means: inf where every run was lost.
    """
    first, second = np.asarray(lost, dtype=float), np.asarray(means, dtype=float)
    gone, more = first[..., :, None], first[..., None, :]
    here, there = second[..., :, None], second[..., None, :]
    ahead = (more < gone) | ((more == gone) & (there < here))
    equal = (more == gone) & (there == here)
    return 0.5 + ahead.sum(axis=-1) + equal.sum(axis=-1) / 2


@dataclass(frozen=True)
class Runs:
    """The runs of a variant in a task. chosen_by: of a search, as in `selection.Trials`."""

    cost: np.ndarray
    chosen_by: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """The runs of all variants in one task, in their order.

    paired: whether run i is of one seed, or of the same settings, in every variant. share: of the
    trials of a search that are compared. independent: whether no runs of a variant share a seed.
    """

    runs: Sequence[Runs]
    paired: bool = False
    share: float = 1.0
    independent: bool = True

    def kept(self, place: int) -> int:
        """How many runs of a variant are averaged."""
        runs = self.runs[place]
        if runs.chosen_by is None:
            return len(runs.cost)
        return share_count(len(runs.cost), self.share)

    def means(self) -> np.ndarray:
        """Of each variant, as they are ranked; inf with a lost run among repeated seeds."""
        every = [np.arange(len(runs.cost))[None, :] for runs in self.runs]
        return np.concatenate(
            [_drawn_means(r, self.kept(i), every[i]) for i, r in enumerate(self.runs)]
        )


LEAST_RUNS = 3  # of each variant in each task, below which there are no intervals
LEAST_TRIALS = 20  # of a search


def mean_ranks(
    tasks: Sequence[Task],
    ranks: np.ndarray,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    farther: bool = True,
) -> list[Interval]:
    """The mean rank of each variant over tasks, each of one vote, with bootstrap limits.

    ranks: (tasks, variants), as found. In each draw the runs are drawn anew within each task (of a
    search its trials, and the best of them are selected again), and the means are ranked. The
    limits are percentiles, farther out by sqrt(n / (n - 1)) and Student's quantile over the normal
    one; as they are (not `farther`) they hold the truth too seldom at a handful of seeds.
    They are nan for fewer than `LEAST_RUNS` seeds or `LEAST_TRIALS` trials of a variant in a task,
    and where a run of repeated seeds was lost: how many of a handful are lost is chance, and
    decides the rank; and where runs of a variant share seeds.

    Sources: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
    (1979) 1-26; T. C. Hesterberg, "What teachers should know about the bootstrap", The American
    Statistician 69 (2015) 371-386. Measured: docs/calibration.md, `tasks`.
    """
    values = np.asarray(ranks, dtype=float).mean(axis=0)
    if not all(_enough(task) for task in tasks):
        return [Interval(float(v), NAN, NAN, level) for v in values]
    random = np.random.default_rng(seed)
    drawn = np.mean([_drawn_ranks(task, draws, random) for task in tasks], axis=0)
    found = []
    for place, value in enumerate(values):
        sizes = [task.kept(place) for task in tasks]
        reach = expanded_level(level, sizes) if farther else level
        low, high = percentiles(drawn[:, place], reach)
        # Of a value that hardly any draw gives, both limits may lie on one side.
        found.append(Interval(float(value), min(float(low), value), max(float(high), value), level))
    return found


def _enough(task: Task) -> bool:
    if not task.independent:
        return False
    for place, runs in enumerate(task.runs):
        if runs.chosen_by is not None:
            if len(runs.cost) < LEAST_TRIALS or task.kept(place) < 2:
                return False
        elif len(runs.cost) < LEAST_RUNS or not np.isfinite(runs.cost).all():
            return False
    return True


def _drawn_ranks(task: Task, draws: int, random: np.random.Generator) -> np.ndarray:
    """Ranks of the variants in so many bootstrap draws of the runs of a task: (draws, variants)."""
    sizes = {len(runs.cost) for runs in task.runs}
    joint = task.paired and len(sizes) == 1
    at = random.integers(0, min(sizes), size=(draws, min(sizes)))
    means = []
    for place, runs in enumerate(task.runs):
        if not joint:
            at = random.integers(0, len(runs.cost), size=(draws, len(runs.cost)))
        means.append(_drawn_means(runs, task.kept(place), at))
    return rank_rows(np.zeros((draws, len(means))), np.stack(means, axis=1))


def _drawn_means(runs: Runs, kept: int, at: np.ndarray) -> np.ndarray:
    """The mean of the runs in each row of indices; of a search, of the best of them."""
    if runs.chosen_by is None:
        return runs.cost[at].mean(axis=1)
    chosen_by = runs.chosen_by[at]
    value = fenced(runs.cost, np.isfinite(runs.chosen_by))[at]
    best = np.argpartition(chosen_by, kept - 1, axis=1)[:, :kept]
    there = np.isfinite(np.take_along_axis(chosen_by, best, axis=1))
    total = np.where(there, np.take_along_axis(value, best, axis=1), 0.0).sum(axis=1)
    count = there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


@dataclass(frozen=True)
class Friedman:
    """smallest: the least p that there could have been with so many tasks, variants and draws."""

    statistic: float
    p: float
    smallest: float


def friedman(ranks: ArrayLike, seed: int = 0) -> Friedman:
    """Whether the tasks agree on an order: (tasks, variants) ranks against all orders in each.

    The statistic is Friedman's, corrected for ties. Its chi-square approximation is far off at a
    handful of tasks, so p is the share of all orders of the ranks within each task, the first one
    as it is, with a statistic as large; of `DRAWN` random ones where there are more than
    `MOST_COUNTED`. nan for fewer than two tasks or variants; p is 1 where all ranks are equal.

    Source: M. Friedman, "The use of ranks to avoid the assumption of normality implicit in the
    analysis of variance", Journal of the American Statistical Association 32 (1937) 675-701.
    """
    rows = np.asarray(ranks, dtype=float)
    tasks, count = rows.shape
    if tasks < 2 or count < 2:
        return Friedman(NAN, NAN, NAN)
    within = ((rows - (count + 1) / 2) ** 2).sum()
    smallest = 1 / float(math.factorial(count)) ** (tasks - 1)
    if within == 0:
        return Friedman(0.0, 1.0, smallest)

    def of(sums: np.ndarray) -> np.ndarray:
        spread = ((sums - tasks * (count + 1) / 2) ** 2).sum(axis=-1)
        return (count - 1) * spread / within

    found = float(of(rows.sum(axis=0)))
    ways = math.factorial(count) ** (tasks - 1) if count < 9 else MOST_COUNTED + 1
    if ways <= MOST_COUNTED:
        orders = np.array(list(permutations(range(count))))
        sums = rows[:1]
        for row in rows[1:]:
            sums = (sums[:, None, :] + row[orders][None, :, :]).reshape(-1, count)
        p = float((of(sums) >= found - 1e-9).mean())
    else:
        random = np.random.default_rng(seed)
        sums = np.tile(rows[0], (DRAWN, 1))
        for row in rows[1:]:
            sums += random.permuted(np.tile(row, (DRAWN, 1)), axis=1)
        p = (1 + int((of(sums) >= found - 1e-9).sum())) / (DRAWN + 1)
        smallest = max(smallest, 1 / (DRAWN + 1))
    return Friedman(found, p, smallest)


def sign_test(wins: int, losses: int) -> float:
    """The two-sided exact p of as many wins as losses; 1 without either. Ties are left out.

    Source: W. J. Dixon and A. M. Mood, "The statistical sign test", Journal of the American
    Statistical Association 41 (1946) 557-566.
    """
    n = wins + losses
    return min(1.0, 2 * float(stats.binom.cdf(min(wins, losses), n, 0.5))) if n else 1.0
