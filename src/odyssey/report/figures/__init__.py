"""Figures of the report.

A figure is one function of a `View` that returns a `Figure` (several, or None where the data do
not allow it), built from the marks of `figures.marks`; its place in FIGURES is its place on the
page. `figures.plotly` draws it there and `figures.mpl` on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from odyssey.errors import UserError
from odyssey.report.analysis.result import Analysis
from odyssey.report.figures.all_pairs import all_pairs
from odyssey.report.figures.chances import chances
from odyssey.report.figures.costs import params, time, truncation
from odyssey.report.figures.curves import learning, tuning
from odyssey.report.figures.factors import factor_lines, factor_means
from odyssey.report.figures.marks import Figure
from odyssey.report.figures.settings import importance, marginals, pairs
from odyssey.report.figures.variance import variance
from odyssey.report.figures.variants import differences, divergence, top, trials
from odyssey.report.figures.view import View

Maker = Callable[[View], Figure | Iterable[Figure] | None]
FIGURES: tuple[Maker, ...] = (
    differences,
    factor_lines,
    factor_means,
    chances,
    all_pairs,
    top,
    trials,
    variance,
    marginals,
    importance,
    pairs,
    tuning,
    learning,
    params,
    time,
    truncation,
    divergence,
)


def _name(make: Maker) -> str:
    return f"{getattr(make, '__module__', '')}.{getattr(make, '__name__', make)}"


def _is_of_the_call(error: TypeError) -> bool:
    """Whether the error is that of the call itself, and not of what the function does."""
    trace = error.__traceback__
    return trace is not None and trace.tb_next is None


def figures(
    analysis: Analysis,
    *,
    run_index: Mapping[tuple[str, str], int],
    makers: Iterable[Maker] = FIGURES,
) -> list[Figure]:
    """All figures that the analysis allows, in the order of `makers`.

    run_index: the index of a run in the page by its study and name; a point that stands for a run
    leads to it.
    """
    view, found = View(analysis, run_index), []
    for make in makers:
        try:
            made = make(view)
        except TypeError as error:
            if make in FIGURES or not _is_of_the_call(error):
                raise
            raise UserError(
                f"--figure {_name(make)} cannot be called with a View: "
                f"{error}; type a function of one argument"
            ) from error
        if isinstance(made, Figure):
            found.append(made)
        else:
            found.extend(made or ())
    return found
