"""A grid of factors: the means of one factor's levels along those of another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from odyssey.config.seeds import Seeds
from odyssey.report.analysis.factors import Factors
from odyssey.report.analysis.grids import Factor, Grid
from odyssey.report.analysis.names import UNITS
from odyssey.report.analysis.result import SEARCH, SEEDS, Outcome, Summary
from odyssey.report.figures.marks import (
    TOGETHER,
    AnyMark,
    Axis,
    Figure,
    Heat,
    Interval,
    Line,
    Panel,
    Points,
    spread,
)
from odyssey.report.figures.scales import Extent, category_axis, extent, short
from odyssey.report.figures.view import View
from odyssey.report.palette import colour_of, dash_of, symbol_of
from odyssey.report.stats.contrasts import contrasts_of_samples
from odyssey.report.stats.estimates import mean_interval
from odyssey.report.stats.samples import Interval as Limits

MOST_FIGURES = 6  # pairs of factors that have a figure
# Of the lines that stand side by side, where levels are 1 apart: less where there are many, which
# have a frame each on paper.
WIDTH, WIDTH_OF_MANY = 0.6, 0.4


@dataclass(frozen=True)
class Cell:
    """A level of one factor with one of another: its mean, and its values where they are few."""

    mean: Limits
    values: Sequence[float]  # of runs, or of seeds over further factors
    summaries: Sequence[Summary]  # of the variants in it: one for each combination of the others

    @property
    def lost(self) -> list[Outcome]:
        """The runs without a value."""
        return [o for s in self.summaries for o in s.chosen if not math.isfinite(o.test)]


@dataclass(frozen=True)
class Pair:
    """Two factors of a grid, one along x and one as lines, averaged over the others."""

    x: int
    line: int
    cells: Sequence[Sequence[Cell]]  # by the levels of the lines, and of x


def factor_lines(view: View) -> Iterator[Figure]:
    """The means by two factors as lines, one figure for each pair of the grid's factors."""
    factors = view.analysis.factors
    if factors is None:
        return
    for pair in _pairs(view, factors):
        grid = factors.grid
        x, line = grid.factors[pair.x], grid.factors[pair.line]
        here = extent(
            [*cell.values, cell.mean.low, cell.mean.value, cell.mean.high]
            for row in pair.cells
            for cell in row
        )
        if here is None:
            continue
        names = _names(line)
        groups = [f"{line.name} {level}" if line.numbers else level for level in line.levels]
        shown: list[AnyMark] = []
        for place, row in enumerate(pair.cells):
            shown += _line(view, place, groups, names, row, here)
        lost = any(cell.lost for row in pair.cells for cell in row)
        yield Figure(
            key=f"factors_{_key(line, grid)}_by_{_key(x, grid)}",
            title=f"{line.name.capitalize()} by {x.name}",
            caption=_caption(view, factors, pair, lost) + here.remark,
            panels=[
                [
                    Panel(
                        marks=shown,
                        x=category_axis(list(x.levels), title=_axis_title(x)),
                        y=here.axis(view.value_title()),
                    )
                ]
            ],
            legend="right",
            height=460,
            wide=len(line.levels) > TOGETHER,
            paper_wide=len(line.levels) > TOGETHER,
            split=groups,
            common=groups[line.reference],
        )


def factor_means(view: View) -> Iterator[Figure]:
    """The means of a grid as coloured cells, for each pair of factors."""
    factors = view.analysis.factors
    if factors is None:
        return
    for pair in _pairs(view, factors):
        grid = factors.grid
        x, line = grid.factors[pair.x], grid.factors[pair.line]
        means = [[cell.mean.value for cell in row] for row in pair.cells]
        known = [v for row in means for v in row if math.isfinite(v)]
        if len(known) < 6:
            continue
        caption = f"Mean of each combination{_over(factors, pair)}: {view.value_title()}."
        if len(known) < sum(map(len, means)):
            caption += " Empty: no run has a value."
        yield Figure(
            key=f"means_{_key(line, grid)}_by_{_key(x, grid)}",
            title=f"Means of {line.name} by {x.name}",
            caption=caption,
            panels=[
                [
                    Panel(
                        marks=[
                            Heat(
                                columns=x.levels,
                                rows=line.levels,
                                values=means,
                                texts=_texts(means, known),
                                scale=(min(known), max(known)),
                                scale_title=view.analysis.metric.unit,
                                aside="",
                            )
                        ],
                        x=Axis(title=_axis_title(x), grid=False),
                        y=Axis(title=_axis_title(line), grid=False, reverse=True),
                    )
                ]
            ],
            height=max(260, 120 + 34 * len(line.levels)),
            paper_wide=len(x.levels) > 6,
        )


def _pairs(view: View, factors: Factors) -> list[Pair]:
    """The factor along x is the longer one that has numbers, else the longer one."""
    found = []
    for one, other in list(combinations(range(len(factors.grid.factors)), 2))[:MOST_FIGURES]:
        first, second = factors.grid.factors[one], factors.grid.factors[other]
        rank_first = (bool(first.numbers), len(first.levels))
        rank_second = (bool(second.numbers), len(second.levels))
        x, line = (one, other) if rank_first > rank_second else (other, one)
        found.append(Pair(x, line, _cells(view, factors, x, line)))
    return found


def _cells(view: View, factors: Factors, x: int, line: int) -> list[list[Cell]]:
    grid = factors.grid
    by_label = {s.variant.label: s for s in view.analysis.summaries}
    ranges = [range(len(f.levels)) for f in grid.factors]
    found = []
    for of_line in ranges[line]:
        row = []
        for of_x in ranges[x]:
            fixed = {x: [of_x], line: [of_line]}
            places = product(*(fixed.get(i, own) for i, own in enumerate(ranges)))
            row.append(_cell(view, factors, [by_label[grid.cell(place)] for place in places]))
        found.append(row)
    return found


def _cell(view: View, factors: Factors, summaries: list[Summary]) -> Cell:
    if len(summaries) == 1:
        values = [o.test for o in summaries[0].chosen if math.isfinite(o.test)]
        return Cell(summaries[0].mean, values, summaries)
    nan = math.nan
    if view.analysis.comparison.kind == SEEDS and factors.paired:
        by_seed: dict[Seeds, list[float]] = {}
        for summary in summaries:
            for o in summary.chosen:
                by_seed.setdefault(o.run.drawn_from, []).append(o.test)
        complete = [v for v in by_seed.values() if len(v) == len(summaries)]
        values = [v for v in (float(np.mean(own)) for own in complete) if math.isfinite(v)]
        return Cell(mean_interval(values), values, summaries)
    samples = [[o.test for o in s.chosen] for s in summaries]
    found = contrasts_of_samples(samples, np.full((1, len(samples)), 1 / len(samples)))
    mean = found.interval(0, 0.95)
    if view.analysis.comparison.kind == SEARCH:
        mean = Limits(mean.value, nan, nan)
    return Cell(mean, [], summaries)


def _line(
    view: View,
    place: int,
    groups: Sequence[str],
    names: Sequence[str],
    row: Sequence[Cell],
    here: Extent,
) -> list[AnyMark]:
    """One level's line with its points; lines stand side by side, so that none hides another."""
    group, name = groups[place], names[place]
    step = min(0.14, (WIDTH if len(groups) <= TOGETHER else WIDTH_OF_MANY) / len(groups))
    offset = (place - (len(groups) - 1) / 2) * step
    at = [i + offset for i in range(len(row))]
    colour, symbol = colour_of(name, names), symbol_of(name, names)
    shown: list[AnyMark] = [
        Line(
            name=group,
            group=group,
            legend=True,
            rank=place,
            x=at,
            y=[cell.mean.value for cell in row],
            colour=colour,
            dash=dash_of(name, names),
            symbol=symbol,
            size=8,
            interval=Interval(
                low=[cell.mean.low for cell in row], high=[cell.mean.high for cell in row]
            ),
            hover="mean {y}",
        )
    ]
    more: dict[str, Any] = {"group": group, "colour": colour, "size": 5, "opacity": 0.5}
    for centre, cell in zip(at, row, strict=True):
        if cell.lost and len(cell.summaries) == 1:
            x = [centre + by for by in spread(len(cell.lost), 0.3 * step)]
            edge, label = here.edge(view.analysis.better), cell.summaries[0].variant.label
            shown.append(view.lost(label, x, edge, cell.lost, group=group, colour=colour))
        if not cell.values:
            continue
        x = [centre + by for by in spread(len(cell.values), 0.3 * step)]
        if len(cell.summaries) == 1:
            kept = [o for o in cell.summaries[0].chosen if math.isfinite(o.test)]
            label = cell.summaries[0].variant.label
            shown.append(view.points(label, x, cell.values, kept, symbol=symbol, **more))
        else:
            shown.append(Points(name=group, x=x, y=cell.values, symbol=symbol, **more))
    return shown


def _caption(view: View, factors: Factors, pair: Pair, lost: bool) -> str:
    single = len(factors.grid.factors) == 2
    kind = view.analysis.comparison.kind
    text = f"Mean of each combination{_over(factors, pair)}"
    if single or factors.paired and kind == SEEDS:
        text += f"; points: {'runs' if single else 'seeds'}"
    text += "."
    if any(math.isfinite(c.mean.low) for row in pair.cells for c in row):
        text += " Bars: 95% intervals of each mean"
        text += (
            ", which say little of differences within a seed: see the table of effects."
            if factors.paired and kind == SEEDS
            else "."
        )
    elif kind == SEEDS or single and kind != SEARCH:
        text += " Too few runs for intervals."
    if kind == SEARCH:
        text += " The runs are the best of a search, with different settings."
    if lost:
        text += " Runs that diverged or failed are not in the means"
        text += "; ×: at the worse end." if single else "."
    return text + " Lines that are not parallel are an interaction, or chance."


def _over(factors: Factors, pair: Pair) -> str:
    others = [f.name for i, f in enumerate(factors.grid.factors) if i not in (pair.x, pair.line)]
    return f", averaged over {' and '.join(others)}" if others else ""


def _names(line: Factor) -> list[str]:
    """The levels as the palette knows them: a cell by its name."""
    if line.keys[0] == "cell":
        return list(line.levels)
    return [f"{line.keys[0]}={level}" for level in line.levels]


def _key(factor: Factor, grid: Grid) -> str:
    """Of a file's name: the last part of the factor's key, or all of it where two have that."""
    last = [f.keys[0].rpartition(".")[2] for f in grid.factors]
    own = factor.keys[0].rpartition(".")[2]
    return own if last.count(own) == 1 else factor.keys[0]


def _axis_title(factor: Factor) -> str:
    unit = UNITS.get(factor.keys[0], "")
    return f"{factor.name} ({unit})" if unit else factor.name


def _texts(means: Sequence[Sequence[float]], known: Sequence[float]) -> list[list[str]]:
    """With so many decimals that three digits of their range are seen."""
    reach = max(known) - min(known)
    places = min(6, max(0, 2 - math.floor(math.log10(reach)))) if reach > 0 else 3
    if max(map(abs, known)) >= 1e6:
        return [[short(v) if math.isfinite(v) else "" for v in row] for row in means]
    return [[f"{v:.{places}f}" if math.isfinite(v) else "" for v in row] for row in means]
