"""All figures of an analysis that its data allow, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping

from odyssey.report.analysis.result import SEARCH, Analysis
from odyssey.report.figure import Figure
from odyssey.report.figures.against import params, time
from odyssey.report.figures.common import View
from odyssey.report.figures.differences import differences
from odyssey.report.figures.divergence import divergence
from odyssey.report.figures.expected import expected
from odyssey.report.figures.importance import importance
from odyssey.report.figures.learning import learning
from odyssey.report.figures.marginals import marginals
from odyssey.report.figures.pairs import pairs
from odyssey.report.figures.top import top
from odyssey.report.figures.trials import trials
from odyssey.report.figures.truncation import truncation


def figures(analysis: Analysis, *, run_index: Mapping[tuple[str, str], int]) -> list[Figure]:
    """The figures; those without data are left out.

    run_index: the place of a run in the page by its study and name; points that stand for a run
    carry it as `customdata`.
    """
    view = View(analysis, run_index)
    searched = analysis.comparison.kind == SEARCH
    made = [differences(view), top(view), trials(view) if searched else None]
    if searched:
        made += [*marginals(view), importance(view), pairs(view)]
    made += [expected(view) if searched else None, learning(view), params(view), time(view)]
    made += [truncation(view), divergence(view)]
    return [figure for figure in made if figure is not None]
