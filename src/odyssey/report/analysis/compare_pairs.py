"""Every pair of variants, as a family of its own beside the verdicts against the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from odyssey.report.analysis.all_pairs import AllPairs
from odyssey.report.analysis.decisions import (
    CANNOT_TELL,
    SEARCH,
    SINGLE,
    Design,
    Pair,
    decide_pairs,
)
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import Comparison, Summary
from odyssey.report.analysis.verdicts import design_of, sample_of, undesigned
from odyssey.report.stats.posterior import UNKNOWN_CHANCES

MOST_PERMUTED = 600_000_000  # numbers exchanged in all permutations of a search: some ten seconds


def compare_all(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    metric: str,
) -> AllPairs:
    """Decisions of all pairs of the variants that have a run that ended, by `decide_pairs`."""
    present = [s for s in summaries if s.outcomes]
    labels = [s.variant.label for s in sorted(present, key=lambda s: rank_key(s, better))]
    if len(labels) < 3 or comparison.kind == SINGLE:
        return AllPairs(labels, {})
    design = design_of(comparison, summaries, better, options, metric)
    pairs = list(combinations(labels, 2))
    if missing := _too_much(present, pairs, design, options):
        return AllPairs(labels, {}, missing=missing)
    samples = {s.variant.label: sample_of(s, design) for s in present}
    # The limits of a search's differences take a hundred times as long as its test.
    limits = design.kind != SEARCH
    decided = decide_pairs(samples, pairs, design, options, limits=limits)
    by_label = {s.variant.label: s for s in present}
    for (one, other), decision in decided.items():
        if reason := undesigned(comparison, by_label[one], by_label[other]):
            decided[one, other] = replace(
                decision,
                conclusion=CANNOT_TELL,
                reason=reason,
                needed=None,
                chances=UNKNOWN_CHANCES,
            )
    return AllPairs(labels, decided, design.kind == SEARCH)


def rank_key(summary: Summary, better: str) -> tuple[float, float]:
    """By the share of runs lost, then by the mean of the rest: smaller is better."""
    lost = sum(not math.isfinite(o.test) for o in summary.chosen) / max(len(summary.chosen), 1)
    if not summary.chosen:  # a search of which every trial was lost
        lost = 1.0
    mean = summary.mean.value
    sign = 1 if better == "lower" else -1
    return lost, math.inf if math.isnan(mean) else sign * mean


def _too_much(
    present: Sequence[Summary], pairs: Sequence[Pair], design: Design, options: Options
) -> str:
    """Why the pairs of a search are not compared; empty where they are."""
    if design.kind != SEARCH:
        return ""
    if design.adaptive:
        return "Trials of an adaptive search cannot be exchanged: no pair of them is compared."
    draws = max(options.draws, math.ceil(8 * len(pairs) / options.alpha))
    trials = 2 * max(len(s.outcomes) for s in present)
    if len(pairs) * draws * trials <= MOST_PERMUTED:
        return ""
    return (
        f"Not all pairs are compared: {len(pairs):,} pairs of searches take {draws:,} permutations "
        f"of {trials:,} trials each, which is minutes of work; a report of fewer variants has them."
    )
