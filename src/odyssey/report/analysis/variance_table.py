"""The table of the variance budget."""

from __future__ import annotations

import math
from typing import Any

from odyssey.report.analysis.replicates import WORDS
from odyssey.report.analysis.result import SEARCH, Analysis
from odyssey.report.io.formats import Column, Table


def variance_table(analysis: Analysis) -> Table | None:
    """A row for all variants, for each, and for each difference; None without a budget."""
    rows = analysis.variance
    if not rows:
        return None
    unit = analysis.metric.unit
    factors = list(rows[0].budget.shares)
    columns = [
        Column("of"),
        Column("runs", "integer"),
        Column(f"sd {unit}", "number", "Of a single run, or of the difference of two"),
        *(
            Column(WORDS.get(f, f), "interval", "Share of the variance; 95% interval", 2)
            for f in factors
        ),
    ]
    differences = any(row.of_difference for row in rows)
    if differences:
        columns += [
            Column("error, seeds", "number", "Standard error of the mean difference, from seeds"),
            Column("error, test sequences", "number", "The same, from the test sequences alone"),
        ]
    made: list[list[Any]] = []
    for row in rows:
        shares = [row.budget.shares.get(f) for f in factors]
        sd = math.sqrt(row.budget.variance)
        errors = [row.seeds, row.items] if differences else []
        made.append([row.label, row.budget.runs, sd, *shares, *errors])
    what = (
        "the validation value of all trials"
        if analysis.comparison.kind == SEARCH
        else (f"the {'test' if analysis.part == 'test' else 'validation'} value")
    )
    note = (
        f"Components of the variance of {what}, by the method of moments (the analysis of "
        "variance, where all combinations were run); estimates below 0 count as 0. The remainder "
        "is interactions and what nothing here explains. Intervals are generalized ones "
        "(Weerahandi 1993)."
    )
    if differences:
        note += (
            " Of a difference of runs of the same seeds: what acts on both alike is gone. The "
            "verdict is about other seeds; on other test sequences it is less certain still."
        )
    return Table("variance", "Where the scatter comes from", columns, made, note)
