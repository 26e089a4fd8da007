"""Repetitions of a configuration: which seeds its runs were drawn from, and how these are crossed.

A run has a seed of its weights, one of its training and one of its split (odyssey.config.seeds).
Where each run has its own, runs are independent. Where several vary and runs share some of them,
they are crossed, and the mean of the runs is known less well than their number says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from odyssey.config.seeds import Seeds
from odyssey.report.analysis.result import SEARCH, Comparison, Outcome, Summary, Variant
from odyssey.report.stats.crossed import crossed_mean

KINDS = Seeds._fields
# What a kind of seed decides, in words.
WORDS = {"init": "weights", "order": "order of the data", "split": "split"}


def crossed_kinds(variants: Iterable[Variant]) -> tuple[str, ...]:
    """The kinds of seeds that vary, if runs of some variant share some of them; else none.

    It is a matter of the plan: runs in any state count.
    """
    crossed, varying = False, set()
    for variant in variants:
        seeds = [run.drawn_from for run in variant.runs]
        counts = {kind: len({getattr(s, kind) for s in seeds}) for kind in KINDS}
        here = {kind for kind, count in counts.items() if count > 1}
        varying |= here
        crossed |= any(counts[kind] < len(set(seeds)) for kind in here)
    return tuple(kind for kind in KINDS if kind in varying) if crossed else ()


def has_repeated_trials(variants: Iterable[Variant]) -> bool:
    """Whether a trial of a search was run with several seeds."""
    for variant in variants:
        trials = [(run.study, run.trial) for run in variant.runs if run.trial is not None]
        if len(set(trials)) < len(trials):
            return True
    return False


def levels_of(outcomes: Sequence[Outcome], kinds: Sequence[str]) -> np.ndarray:
    """The seeds of these kinds of each outcome's run: (n, kinds)."""
    found = [[getattr(o.run.drawn_from, kind) for kind in kinds] for o in outcomes]
    return np.array(found, dtype=np.int64).reshape(len(outcomes), len(kinds))


def described(kinds: Sequence[str]) -> str:
    """`weights and order of the data`."""
    words = [WORDS[kind] for kind in kinds]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def over_crossed_seeds(summary: Summary, comparison: Comparison) -> Summary:
    """The summary with intervals that hold where runs share seeds: of the mean alone."""
    kinds = () if comparison.kind == SEARCH else crossed_kinds(comparison.variants)
    if not kinds:
        return summary
    finite = [o for o in summary.chosen if math.isfinite(o.test)]
    values = np.array([o.test for o in finite], dtype=float)
    mean = summary.mean
    if len(values):
        mean = crossed_mean(values, levels_of(finite, kinds)).test(mean.level).difference
    bare = {
        name: replace(getattr(summary, name), low=math.nan, high=math.nan)
        for name in ("median", "iqm", "all_median", "all_iqm")
    }
    return replace(summary, mean=mean, **bare)
