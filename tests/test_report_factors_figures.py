"""The figures of a grid: a line for each level, the runs as points, the means in colours."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import BytesIO

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy import stats

from factors_kit import comparison_of, label_of
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, SINGLE, Analysis
from odyssey.report.figures import figures, mpl
from odyssey.report.figures.factors import factor_lines, factor_means
from odyssey.report.figures.marks import Figure, Heat, Line, Points
from odyssey.report.figures.plotly import render
from random_kit import rng

WIDE = {"cell": [f"cell{i}" for i in range(10)], "model.hidden_size": [8, 16, 32, 64]}
SMALL = {"cell": ["lstm", "gru"], "model.hidden_size": [8, 16, 32]}
THREE = {"cell": ["lstm", "gru"], "bptt.length": [5, 10, 20], "model.hidden_size": [8, 16]}


def value_of(settings: Mapping[str, str], seed: int) -> float:
    return float(rng(seed, label_of(settings)).normal(5, 1))


def analysed(axes, value=value_of, **more) -> Analysis:
    return analyse(comparison_of(axes, value, **more), "nats", Options(draws=100))


def made(analysis: Analysis, make=factor_lines) -> list[Figure]:
    runs = analysis.comparison.runs
    index = {(run.study, run.name): i for i, run in enumerate(runs)}
    return figures(analysis, run_index=index, makers=[make])


def lines(figure: Figure) -> list[Line]:
    return [m for m in figure.marks if isinstance(m, Line)]


@pytest.mark.parametrize("axes", [SMALL, WIDE])
def test_a_line_has_the_means_of_its_level_and_their_intervals(axes) -> None:
    analysis = analysed(axes, seeds=4)
    (figure,) = made(analysis)
    assert figure.key == "factors_cell_by_hidden_size"
    assert figure.title == "Cell by hidden units"
    assert figure.wide == figure.paper_wide == (len(axes["cell"]) > 4)
    (panel,) = figure.panels[0]
    assert [t.name for t in panel.x.ticks] == [str(n) for n in axes["model.hidden_size"]]
    found = lines(figure)
    assert [line.name for line in found] == axes["cell"] == list(figure.split)
    assert len({line.colour for line in found}) == len(found)
    for line in found:
        assert [round(x) for x in line.x] == list(range(len(line.x)))
        for place, size in enumerate(axes["model.hidden_size"]):
            settings = {"cell": line.name, "model.hidden_size": str(size)}
            values = [value_of(settings, seed) for seed in range(4)]
            mean = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            assert line.interval is not None
            assert math.isclose(line.y[place], float(np.mean(values)))
            assert np.allclose([line.interval.low[place], line.interval.high[place]], mean)


def test_points_lead_to_their_runs_and_lost_ones_are_crosses() -> None:
    def value(settings: Mapping[str, str], seed: int) -> float | str:
        return "diverged" if settings["cell"] == "gru" and seed == 0 else value_of(settings, seed)

    analysis = analysed(SMALL, value, seeds=5)
    runs = analysis.comparison.runs
    (figure,) = made(analysis)
    points = [m for m in figure.marks if isinstance(m, Points)]
    crosses = [m for m in points if m.symbol == "thin-x"]
    assert len(crosses) == 3 and len(points) == 9 and "×" in figure.caption
    for mark in points:
        assert mark.runs is not None
        for at, place in zip(mark.y, mark.runs, strict=True):
            assert place is not None
            if mark.symbol == "thin-x":
                assert runs[place].state == "diverged"
            else:
                assert runs[place].value("nats", "test") == at


def test_lines_stand_side_by_side() -> None:
    (figure,) = made(analysed(WIDE))
    first = sorted(line.x[0] for line in lines(figure))
    assert min(np.diff(first)) > 0.03 and first[-1] - first[0] < 0.6


@pytest.mark.parametrize("shared", [True, False])
def test_of_three_factors_each_pair_has_a_figure_averaged_over_the_third(shared: bool) -> None:
    made_up = comparison_of(THREE, value_of, 3)
    if not shared:
        for place, run in enumerate(made_up.runs):
            object.__setattr__(run, "seed", place)
    found = made(analyse(made_up, "nats", Options()))
    assert [f.title for f in found] == [
        "Cell by truncation length",
        "Cell by hidden units",
        "Hidden units by truncation length",
    ]
    (line, _) = lines(found[0])
    assert "averaged over hidden units" in found[0].caption
    of_seeds = [
        [
            np.mean(
                [
                    value_of({"cell": "lstm", "bptt.length": "10", "model.hidden_size": s}, seed)
                    for s in ("8", "16")
                ]
            )
            for seed in range(3)
        ]
    ]
    assert math.isclose(line.y[1], float(np.mean(of_seeds)))
    points = [m for m in found[0].marks if isinstance(m, Points)]
    if shared:
        assert line.interval is not None
        limits = stats.ttest_1samp(of_seeds[0], 0).confidence_interval(0.95)
        assert np.allclose([line.interval.low[1], line.interval.high[1]], limits)
        assert np.allclose(sorted(points[1].y), sorted(of_seeds[0])) and points[1].runs is None
    else:
        assert not points
    assert [line.name for line in lines(found[2])] == ["hidden units 8", "hidden units 16"]


def test_the_map_of_means_has_names_for_numbers_and_leaves_gaps() -> None:
    def value(settings: Mapping[str, str], seed: int) -> float | str:
        return "failed" if label_of(settings) == "gru model.hidden_size=16" else 5 + seed / 3

    (figure,) = made(analysed(SMALL, value), factor_means) or [None]
    assert figure is None  # too few means
    axes = {**SMALL, "model.hidden_size": [8, 16, 32, 64]}
    (figure,) = made(analysed(axes, value), factor_means)
    (heat,) = figure.marks
    assert isinstance(heat, Heat) and heat.rows == ("lstm", "gru")
    assert math.isnan(heat.values[1][1]) and heat.texts[1][1] == ""
    assert "Empty" in figure.caption
    layout = render(figure).layout
    assert layout["xaxis"]["type"] == layout["yaxis"]["type"] == "category"


@pytest.mark.parametrize("kind", [SEARCH, SINGLE])
def test_searches_and_single_runs_have_figures_too(kind: str) -> None:
    analysis = analysed(THREE if kind == SEARCH else SMALL, seeds=1, kind=kind)
    for figure in made(analysis):
        assert "seeds" not in figure.caption and len(lines(figure)) > 1
    assert made(analysed({"cell": ["lstm", "gru"]})) == []


@pytest.mark.parametrize("axes", [SMALL, pytest.param(WIDE, marks=pytest.mark.slow), THREE])
def test_page_and_paper_draw_them(axes) -> None:
    analysis = analysed(axes)
    for figure in [*made(analysis), *made(analysis, factor_means)]:
        drawn = render(figure)
        go.Figure(drawn.traces, drawn.layout)
        json.dumps([drawn.traces, drawn.layout], allow_nan=False)
        if axes is not THREE:
            canvas = mpl.draw(figure)
            content = BytesIO()
            canvas.savefig(content, format="pdf")
            assert content.getvalue().startswith(b"%PDF")


def test_every_figure_has_a_name_of_its_own() -> None:
    axes = {"cell": ["lstm", "gru"], "bptt.length": [5, 10], "task.length": [20, 40]}
    analysis = analysed(axes)
    keys = [figure.key for make in (factor_lines, factor_means) for figure in made(analysis, make)]
    assert len(set(keys)) == len(keys) >= 3 and "factors_cell_by_bptt.length" in keys


def test_the_figure_of_truncation_lengths_is_not_there_twice() -> None:
    axes = {"cell": ["lstm", "gru"], "bptt.length": [5, 10, 20]}
    made_up = comparison_of(axes, value_of)
    for run, variant in ((r, v) for v in made_up.variants for r in v.runs):
        run.config["bptt.length"] = int(variant.settings["bptt.length"])  # type: ignore[index]
    analysis = analyse(made_up, "nats", Options(draws=100))
    keys = [figure.key for figure in figures(analysis, run_index={})]
    assert "factors_cell_by_length" in keys and "truncation" not in keys
