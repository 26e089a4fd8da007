"""Which settings matter: functional ANOVA of the trials, by variant and over all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from odyssey.errors import UserError
from odyssey.report.anova.axes import Axis, axis_from_values, axis_of
from odyssey.report.anova.shares import Decomposition, decompose
from odyssey.report.options import Options
from odyssey.report.outcomes import within_fence
from odyssey.report.result import Comparison, Outcome, Summary

OVERALL = ""
VARIANT = "variant"  # the name of the axis that tells the variants apart


def importance(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    tell: Callable[[str], None],
) -> dict[str, Decomposition]:
    """A decomposition for each variant by its label, and one over all under "".

    The one over all has an axis more: the variant. Values far out on the worse side, and diverged
    and failed runs, count as the outer fence over all variants (see `within_fence`).
    """
    if not comparison.searched:
        return {}
    every = [(s.variant.label, o) for s in summaries for o in s.outcomes]
    axes = _axes(comparison, [o for _, o in every])
    if not axes:
        return {}
    kept = within_fence([o.valid for _, o in every], better)
    values = dict(zip((id(o) for _, o in every), kept, strict=False))
    found = {}
    for summary in summaries:
        here = [o for o in summary.outcomes if id(o) in values]
        found[summary.variant.label] = decompose(
            axes,
            [_point(axes, o) for o in here],
            [values[id(o)] for o in here],
            trees=options.trees,
            seed=options.seed,
        )
        tell(f"importance: {summary.variant.label}")
    if len(summaries) > 1 and values:
        labels = [s.variant.label for s in summaries if s.outcomes]
        found[OVERALL] = decompose(
            [*axes, Axis(VARIANT, "choice", math.nan, math.nan, choices=tuple(labels))],
            [_point(axes, o) | {VARIANT: label} for label, o in every],
            [values[id(o)] for _, o in every],
            trees=options.trees,
            seed=options.seed,
        )
        tell("importance over all variants")
    return found


def _axes(comparison: Comparison, every: Sequence[Outcome]) -> list[Axis]:
    """The searched settings, on the scale they were searched on."""
    described: dict[str, Any] = {}
    for study in comparison.studies:
        described.update(study.space)
    axes = []
    for key in comparison.searched:
        values = [o.run.config.get(key) for o in every]
        try:
            axes.append(axis_of(key, described[key]))
        except (KeyError, UserError):  # no plan, or one that a hand has changed
            if len({repr(v) for v in values}) > 1:
                axes.append(axis_from_values(key, values))
    return axes


def _point(axes: Sequence[Axis], outcome: Outcome) -> dict[str, Any]:
    return {axis.name: axis.of(outcome.run.config) for axis in axes}
