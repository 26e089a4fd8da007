"""The table of a grid's effects."""

from __future__ import annotations

from typing import Any

from odyssey.report.analysis.decisions import SAME
from odyssey.report.analysis.factor_words import contrast_name, where
from odyssey.report.analysis.factors import INTERACTION, MAIN, SIMPLE
from odyssey.report.analysis.result import Analysis
from odyssey.report.io.formats import Column, Table

FAR_OUT = "a seed lies far out: a mean says little, and finds little"
FAMILIES = {MAIN: "averaged", SIMPLE: "within", INTERACTION: "interaction"}


def factors_table(analysis: Analysis) -> Table | None:
    """Every effect with its interval, p and word; None where no effects could be had."""
    factors = analysis.factors
    if factors is None or not factors.effects:
        return None
    grid, unit = factors.grid, analysis.metric.unit
    help_of_n = "that have a value in all cells of the effect"
    columns = [
        Column("family", help="Each is corrected by itself"),
        Column("factor"),
        Column(
            "effect", help="Levels, the reference last; an interaction: of two such differences"
        ),
        Column("at", help="Levels of the other factors, or over which the effect is averaged"),
        Column("verdict", help=f"At the level {factors.alpha:g}, over the family"),
        Column(
            f"difference {unit}", "interval", "limits hold for all effects of the family at once"
        ),
        Column("p", "p", "two-sided, uncorrected"),
        Column("Holm p", "p", "corrected over the family"),
        Column("would find", "number", "The size that this grid finds in four of five studies"),
    ]
    if factors.margin is not None:
        help_of_margin = "Two one-sided tests with that margin, Holm-corrected over the family"
        columns.append(Column(f"equivalence p ({factors.margin:g})", "p", help_of_margin))
    if factors.paired:
        columns.append(Column("seeds", "integer", help_of_n))
        columns.append(Column("left out", "integer", "seeds that lack one of the values"))
    else:
        columns.append(Column("runs", "integer", "with a value, of the smallest cell"))
    columns.append(Column("note"))
    rows: list[list[Any]] = []
    for effect in factors.effects:
        word = f"same within {factors.margin:g}" if effect.conclusion == SAME else effect.conclusion
        row: list[Any] = [
            FAMILIES[effect.family],
            " × ".join(grid.factors[i].name for i in effect.factors),
            contrast_name(effect, grid),
            where(effect, grid),
            word,
            effect.difference,
            effect.p,
            effect.holm_p,
            effect.detectable,
        ]
        row += [effect.equivalence_holm_p] * (factors.margin is not None)
        row += [effect.n, effect.dropped] if factors.paired else [effect.n]
        rows.append([*row, effect.reason or FAR_OUT * effect.far_out])
    note = (
        "“No interaction found” is not “none”: see what would have been found. An effect averaged "
        "over a factor with which it interacts says little about any one level."
    )
    return Table("factors", f"Effects of {grid.name}", columns, rows, note)
