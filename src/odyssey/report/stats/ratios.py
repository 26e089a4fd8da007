"""Variants over several tasks by their ratios to the baseline: aggregates and profiles.

A task's values are costs here: positive, smaller is better, and a lost run's is +inf. Each task is
one vote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from odyssey.report.stats.over_tasks import LEAST_RUNS
from odyssey.report.stats.samples import (
    Interval,
    expanded_level,
    percentiles,
    tail_probability,
)

NAN = math.nan
LEAST_PAIRS = 5  # runs of one seed, below which the intervals of ratios hold the truth too seldom


def weighted_iqm(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of the middle half of the weight along the last axis; as `estimates.iqm`.

    weights: of each value, (values,); their sum is 1. Infinite values are the worst; they are cut
    off while they have less than a quarter of the weight.
    """
    order = np.argsort(values, axis=-1, kind="stable")
    ordered, weight = np.take_along_axis(values, order, axis=-1), weights[order]
    end = np.cumsum(weight, axis=-1)
    # Rounding must not let a sliver of an infinite value in.
    start = np.where(end - weight > 0.75 - 1e-12, 0.75, end - weight)
    inside = np.clip(np.minimum(end, 0.75) - np.maximum(start, 0.25), 0, None)
    inside[inside < 1e-12] = 0
    with np.errstate(invalid="ignore"):
        return np.where(inside > 0, inside * ordered, 0.0).sum(axis=-1) / inside.sum(axis=-1)


@dataclass(frozen=True)
class Aggregates:
    """Of one variant over all tasks, as ratios to the baseline: below 1 is better."""

    mean: Interval  # geometric, of the tasks' geometric means
    median: Interval  # of the tasks' geometric means
    iqm: Interval  # geometric mean of the middle half of all runs, each task of one weight


def aggregate(
    tasks: Sequence[Sequence[ArrayLike]],
    baseline: int,
    paired: Sequence[bool],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    limits: bool = True,
) -> list[Aggregates]:
    """Mean, median and interquartile mean of each variant's ratios to the baseline over tasks.

    tasks: for each task, for each variant, positive costs; inf of a lost run. A run's ratio is its
    cost over the geometric mean of the baseline's that were not lost, and everything is averaged as
    logarithms: so the order of the variants does not depend on which of them is the baseline.
    paired: whether value i of all variants of a task is of one seed; those are drawn together.

    The intervals are of a bootstrap of the runs within each task, the baseline's too: percentiles,
    farther out by sqrt(n / (n - 1)) and Student's quantile over the normal one, since at a handful
    of runs they cover too seldom as they are. nan for fewer than `LEAST_RUNS` runs of a variant in
    a task, or `LEAST_PAIRS` where they are paired, where a run of the baseline was lost, and
    without `limits`.

    Sources: R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical
    precipice", NeurIPS 2021, section 4 (the aggregates and the stratified bootstrap); P. J. Fleming
    and J. J. Wallace, "How not to lie with statistics: the correct way to summarize benchmark
    results", Communications of the ACM 29 (1986) 218-221 (ratios); T. C. Hesterberg, "What
    teachers should know about the bootstrap", The American Statistician 69 (2015) 371-386
    (expanded percentiles). Measured: docs/calibration.md, `tasks`.
    """
    logs = [[np.log(np.asarray(v, dtype=float)) for v in task] for task in tasks]
    random = np.random.default_rng(seed)
    drawn = [_resampled(task, pair, draws, random) for task, pair in zip(logs, paired, strict=True)]
    found = []
    for place in range(len(logs[0])):
        exact = _aggregates(
            [task[place][None, :] for task in logs], [t[baseline][None, :] for t in logs]
        )
        around = _aggregates([task[place] for task in drawn], [t[baseline] for t in drawn])
        sizes = [min(len(task[place]), len(task[baseline])) for task in logs]
        made = []
        for value, draw in zip(exact, around, strict=True):
            ends = [float(value[0]), NAN, NAN]
            least = LEAST_PAIRS if any(paired) else LEAST_RUNS
            fine = (
                limits and min(sizes) >= least and all(np.isfinite(t[baseline]).all() for t in logs)
            )
            if fine and place != baseline:
                ends[1:] = map(float, percentiles(draw, expanded_level(level, sizes)))
            with np.errstate(over="ignore"):
                middle, low, high = (float(v) for v in np.exp(ends))
            made.append(Interval(middle, low, high, level))
        found.append(Aggregates(*made))
    return found


def _resampled(
    task: Sequence[np.ndarray], paired: bool, draws: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Runs of each variant, drawn with replacement: (draws, runs)."""
    if paired and len({len(v) for v in task}) == 1:
        n = len(task[0])
        at = random.integers(0, n, size=(draws, n))
        return [v[at] for v in task]
    return [v[random.integers(0, len(v), size=(draws, len(v)))] for v in task]


def _aggregates(
    task_logs: Sequence[np.ndarray], base_logs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Mean, median and IQM of log ratios, (draws,) each, of (draws, runs) for each task."""
    with np.errstate(invalid="ignore"):
        known = [np.where(np.isfinite(b), b, np.nan) for b in base_logs]
        scores = [v - _mean(b)[:, None] for v, b in zip(task_logs, known, strict=True)]
        means = np.stack([s.mean(axis=1) for s in scores], axis=1)
        weights = np.concatenate(
            [np.full(s.shape[1], 1 / (len(scores) * s.shape[1])) for s in scores]
        )
        return [
            means.mean(axis=1),
            np.median(means, axis=1),
            weighted_iqm(np.concatenate(scores, axis=1), weights),
        ]


def _mean(rows: np.ndarray) -> np.ndarray:
    """Of each row, without its nans; nan of a row of nothing else."""
    there = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        return np.where(there, rows, 0.0).sum(axis=1) / there.sum(axis=1)


# --- performance profiles ---


@dataclass(frozen=True)
class Profile:
    """The share of runs with a ratio of at most `at`, each task of one weight, with its band."""

    at: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def profile(
    ratios: Sequence[ArrayLike], at: ArrayLike, level: float = 0.95, limits: bool = True
) -> Profile:
    """The profile of one variant at given ratios.

    ratios: of each task's runs; inf of a lost one. limits: whether there is a band. It is
    pointwise: at each ratio by itself, the limits of Clopper and Pearson for a share of so many
    runs. That the runs of different tasks have different shares makes them wider than need be, and
    never too narrow (Hoeffding 1956). Where tasks have unequal numbers of runs, each has the weight
    of one vote, and the number is what those weights are worth, rounded down.

    Sources: E. D. Dolan and J. J. More, "Benchmarking optimization software with performance
    profiles", Mathematical Programming 91 (2002) 201-213; W. Hoeffding, "On the distribution of the
    number of successes in independent trials", Annals of Mathematical Statistics 27 (1956) 713-721.
    Measured: docs/calibration.md, `tasks`.
    """
    points = np.asarray(at, dtype=float)
    samples = [np.sort(np.asarray(r, dtype=float)) for r in ratios]
    # A ratio that was rounded up is still itself.
    near = points * (1 + 1e-12)
    shares = np.mean([np.searchsorted(s, near, side="right") / len(s) for s in samples], axis=0)
    unknown = np.full(len(points), NAN)
    if not limits:
        return Profile(points, shares, unknown, unknown)
    n = math.floor(len(samples) ** 2 / sum(1 / len(s) for s in samples) + 1e-9)
    least, most = np.floor(shares * n + 1e-9), np.ceil(shares * n - 1e-9)
    outside = tail_probability(level)
    low = np.where(least > 0, special.betaincinv(np.maximum(least, 1), n - least + 1, outside), 0.0)
    high = np.where(
        most < n, special.betaincinv(most + 1, np.maximum(n - most, 1), 1 - outside), 1.0
    )
    return Profile(points, shares, low, high)
