"""The variance budget of a comparison: how much of the scatter is from which seeds and settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from odyssey.config.seeds import Seeds
from odyssey.report.analysis.outcomes import clip_to_fence
from odyssey.report.analysis.replicates import KINDS, crossed_kinds
from odyssey.report.analysis.result import SEARCH, SEEDS, Analysis, Outcome, Summary
from odyssey.report.analysis.settings import configuration
from odyssey.report.stats.components import VarianceRow, budget
from odyssey.report.stats.crossed import crossed_mean

ALL = "all variants"
SETTINGS = "settings"
MOST_RUNS = 1500  # of a variant; of more, the decomposition takes long

Table = tuple[np.ndarray, np.ndarray]  # values (n), levels of the factors (n, F)


def variance_rows(analysis: Analysis, seed: int = 0) -> list[VarianceRow]:
    """The budgets: of all variants together, of each, and of differences of pairs.

    Empty where the runs of a variant do not vary in several ways that can be told apart.
    """
    factors = _factors(analysis)
    if not factors:
        return []
    tables = {s.variant.label: _table(s, factors, analysis) for s in analysis.summaries}
    known = [t for t in tables.values() if 0 < len(t[0]) <= MOST_RUNS]
    rows = []
    for label, made in ((ALL, known), *((label, [t]) for label, t in tables.items())):
        if made and (len(known) > 1 or label != ALL) and all(len(t[0]) <= MOST_RUNS for t in made):
            found = budget(made, factors, same_seeds=_same_levels(made), seed=seed)
            if found is not None:
                rows.append(VarianceRow(label, found))
    return [*rows, *_of_differences(analysis, factors, seed)]


def _factors(analysis: Analysis) -> tuple[str, ...]:
    """What varies within variants and is crossed: settings of a search, kinds of seeds."""
    comparison = analysis.comparison
    if comparison.kind == SEEDS:
        return crossed_kinds(comparison.variants)
    if comparison.kind != SEARCH:
        return ()
    seeds = {run.drawn_from for run in comparison.runs}
    kinds = tuple(k for k in KINDS if len({getattr(s, k) for s in seeds}) > 1)
    repeated = any(
        len({configuration(r) for r in v.runs}) < len(v.runs) for v in comparison.variants
    )
    return (SETTINGS, *kinds) if kinds and repeated else ()


def _table(summary: Summary, factors: Sequence[str], analysis: Analysis) -> Table:
    """The runs that have a value: of a search all trials, by validation, up to a fence."""
    outcomes = [o for o in summary.outcomes if math.isfinite(o.test)]
    values = [o.test for o in outcomes]
    if analysis.comparison.kind == SEARCH:
        outcomes = [o for o in summary.outcomes if o.finite]
        values = clip_to_fence([o.valid for o in outcomes], analysis.better)
    return np.array(values, dtype=float), _levels(outcomes, factors)


def _levels(outcomes: Sequence[Outcome], factors: Sequence[str]) -> np.ndarray:
    numbers: dict[object, int] = {}
    found = [
        [
            numbers.setdefault(configuration(o.run), len(numbers))
            if factor == SETTINGS
            else getattr(o.run.drawn_from, factor)
            for factor in factors
        ]
        for o in outcomes
    ]
    return np.array(found, dtype=np.int64).reshape(len(outcomes), len(factors))


def _same_levels(tables: Sequence[Table]) -> bool:
    """Whether variants share a seed, which may then act alike in all of them."""
    first = {tuple(row) for row in tables[0][1].tolist()}
    return any(first & {tuple(row) for row in levels.tolist()} for _, levels in tables[1:])


def _of_differences(analysis: Analysis, factors: Sequence[str], seed: int) -> list[VarianceRow]:
    """Of each variant to the baseline, over runs of the same seeds."""
    if analysis.comparison.kind != SEEDS:
        return []
    by_label = {s.variant.label: s for s in analysis.summaries}
    rows = []
    for verdict in analysis.verdicts:
        if verdict.decision.pairs is None:
            continue
        one, base = (_by_seeds(by_label[label]) for label in (verdict.variant, verdict.baseline))
        pairs = [(o, base[seeds]) for seeds, o in one.items() if seeds in base]
        values = np.array([a.test - b.test for a, b in pairs], dtype=float)
        levels = _levels([a for a, _ in pairs], factors)
        found = budget([(values, levels)], factors, seed=seed)
        errors = crossed_mean(values, levels).errors
        if found is not None and errors:
            items = analysis.items.get(verdict.variant)
            rows.append(
                VarianceRow(
                    f"{verdict.variant} − {verdict.baseline}",
                    found,
                    max(error for error, _ in errors),
                    math.nan if items is None else items.error,
                )
            )
    return rows


def _by_seeds(summary: Summary) -> dict[Seeds, Outcome]:
    return {o.run.drawn_from: o for o in summary.outcomes if math.isfinite(o.test)}
