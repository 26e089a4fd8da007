"""Which figures there are, for every kind of comparison; that Plotly takes them; their runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Analysis
from odyssey.report.fanova.axes import Axis
from odyssey.report.palette import CELLS
from report_figures_kit import AXES, GREFF, OnPage, build, on_page, places

go = pytest.importorskip("plotly.graph_objects")

CLIP = Axis(
    "clip,clip.threshold", "choice", choices=(("none", None), ("norm", 1.0), ("value", 5.0))
)
LAYERS = Axis("model.num_layers", "linear", 1, 3, integer=True)
LENGTHS = [f"{cell} bptt.length={n}" for cell in ("rnn", "gru") for n in (7, 50, "null")]
HOSTILE = ["<script>alert(1)</script>", "$x_1$ & <b>", "漢字 ü", "a" * 70, "%{y}"]
MARGINALS = [f"marginal-{axis.name}" for axis in AXES]
ALWAYS = ["differences", "top"]
ENDS = ["time", "divergence"]

MADE = {
    "greff": build(SEARCH, GREFF, 23, trees=3, margin=0.1),
    "odd axes": build(SEARCH, ["gru", "lstm"], 29, axes=[CLIP, LAYERS, AXES[1]], trees=3),
    "one variant": build(SEARCH, ["gru"], 31, trees=3),
    "one trial": build(SEARCH, ["gru", "lstm"], 1, diverged=0, failed=0),
    "seeds": build(SEEDS, LENGTHS, 5, diverged=0.2, better="higher"),
    "single": build(SINGLE, ["gru", "lstm", "mine"], diverged=0, failed=0),
    "all diverged": build(SEARCH, ["gru", "lstm"], 11, diverged=1),
    "all cells": build(SEARCH, list(CELLS), 7, trees=2),
    "hostile": build(SEEDS, HOSTILE, 6),
    "no curves": build(SEEDS, ["gru", "lstm"], 6, curves=False),
}
KEYS = {
    "greff": [*ALWAYS, "all", *MARGINALS, "importance", "pairs", "tuning", "learning", "params",
              *ENDS],
    "one trial": [*ALWAYS, "all", *MARGINALS, "learning", "params", "time"],
    "seeds": [*ALWAYS, "learning", "time", "truncation", "divergence"],
    "single": [*ALWAYS, "learning", "time"],
    "all diverged": ["divergence"],
    "no curves": [*ALWAYS, *ENDS],
}  # fmt: skip


@cache
def made(name: str) -> tuple[Analysis, list[OnPage]]:
    analysis = MADE[name]
    return analysis, on_page(analysis, run_index=places(analysis))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


@pytest.mark.parametrize("name", KEYS)
def test_the_figures_are_those_that_the_data_allow(name: str) -> None:
    assert [figure.key for figure in made(name)[1]] == KEYS[name]


def test_one_variant_has_no_differences_but_all_else() -> None:
    keys = [figure.key for figure in made("one variant")[1]]
    assert "differences" not in keys
    assert {"top", "all", "importance", "pairs", "tuning", *MARGINALS} <= set(keys)


def test_nothing_makes_nothing() -> None:
    empty = build(SEARCH, [], 0)
    assert on_page(empty, run_index={}) == []
    assert on_page(build(SEARCH, ["gru"], 0), run_index={}) == []


@pytest.mark.parametrize("name", MADE)
def test_plotly_takes_every_trace_and_layout(name: str) -> None:
    for figure in made(name)[1]:
        go.Figure(figure.traces, figure.layout)  # refuses unknown names and values
        text = json.dumps([figure.traces, figure.layout], allow_nan=False)
        assert json.loads(text) == [figure.traces, figure.layout], figure.key
        assert figure.traces, figure.key


@pytest.mark.parametrize("name", MADE)
def test_layouts_leave_the_colours_of_text_and_ground_to_the_page(name: str) -> None:
    for figure in made(name)[1]:
        for path, value in leaves(figure.layout):
            if path.startswith((".annotations", ".shapes")):  # verdict words, the margin
                continue
            assert "color" not in path.rpartition(".")[2], (figure.key, path, value)


@pytest.mark.parametrize("name", MADE)
def test_numbers_are_short(name: str) -> None:
    for figure in made(name)[1]:
        for trace in figure.traces:
            for field in ("x", "y", "z"):
                for _, value in leaves(trace.get(field, [])):
                    if isinstance(value, float):
                        digits = f"{value:.12g}".replace("-", "").replace(".", "").lstrip("0")
                        assert len(digits.partition("e")[0]) <= 4, (figure.key, value)


@pytest.mark.parametrize("name", MADE)
def test_titles_and_captions_are_sentences_of_the_right_kind(name: str) -> None:
    analysis, found = made(name)
    for figure in found:
        assert figure.title and figure.title[0].isupper() and figure.title[-1] != "."
        assert figure.caption[0].isupper() or figure.caption[0] in "×"
        assert figure.caption.endswith(".") and "  " not in figure.caption
        assert "nan" not in figure.caption and "inf" not in figure.caption
        assert "title" not in figure.layout
        words = json.dumps(figure.layout) + json.dumps(figure.traces)
        assert "nats_per_frame" not in words
    if analysis.better == "higher":
        top = next(f for f in found if f.key == "top")
        assert top.layout["yaxis"]["title"]["text"] == "accuracy, test; higher is better"


@pytest.mark.parametrize("name", ["greff", "odd axes", "seeds", "hostile"])
def test_a_point_leads_to_the_run_that_has_its_value(name: str) -> None:
    analysis, found = made(name)
    runs = {100 + i: run for i, run in enumerate(analysis.comparison.runs)}
    part_of = {"top": "test", "params": "test", "time": "test", "truncation": "test"}
    checked = set()
    for figure in found:
        for trace in figure.traces:
            marks = trace.get("customdata")
            if marks is None or "x-thin" in str(trace["marker"]["symbol"]):
                continue
            part = part_of.get(figure.key, "valid")
            for mark, y in zip(marks, trace["y"], strict=True):
                assert y == float(f"{runs[mark].value(analysis.metric.name, part):.4g}")
                checked.add(figure.key)
    expected = {"greff": {"all", "params", *MARGINALS}, "seeds": {"truncation"}}
    assert {"top", "time", "learning"} | expected.get(name, set()) <= checked


def test_the_lost_lead_to_their_runs_too() -> None:
    analysis, found = made("greff")
    runs = {100 + i: run for i, run in enumerate(analysis.comparison.runs)}
    lost = sorted(i for i, run in runs.items() if run.state != "finished")
    for figure in found:
        if figure.key == "all" or figure.key.startswith("marginal"):
            drawn = [t for t in figure.traces if "x-thin" in str(t.get("marker"))]
            assert sorted(mark for t in drawn for mark in t["customdata"]) == lost
            # Inside the view, at its upper end, since lower is better here.
            low, high = figure.layout["yaxis"]["range"]
            assert all(high - 0.1 * (high - low) < y < high for t in drawn for y in t["y"])


def test_runs_that_are_not_in_the_page_lead_nowhere() -> None:
    analysis = MADE["one variant"]
    for figure in on_page(analysis, run_index={}):
        for trace in figure.traces:
            assert set(trace.get("customdata", [None])) == {None}
        json.dumps(figure.traces, allow_nan=False)


@pytest.mark.slow
def test_runs_take_little_room() -> None:
    sizes = []
    for trials in (60, 120):
        analysis = build(SEARCH, GREFF, trials, trees=2)
        found = on_page(analysis, run_index=places(analysis))
        sizes.append(sum(len(json.dumps([f.traces, f.layout])) for f in found))
    # Of a page of 10 MB for 5,000 runs the figures are to take a tenth; curves are there anyway.
    assert sizes[1] - sizes[0] < 200 * 60 * len(GREFF)


def test_infinite_and_missing_numbers_are_left_out() -> None:
    analysis = MADE["seeds"]
    cut = [
        replace(s, params=(math.nan, math.nan), mean=replace(s.mean, low=math.nan, high=math.nan))
        for s in analysis.summaries
    ]
    odd = replace(analysis, summaries=cut, verdicts=[])
    found = on_page(odd, run_index={})
    assert "differences" not in [f.key for f in found]
    assert "Bars" not in next(f for f in found if f.key == "truncation").caption
    json.dumps([[f.traces, f.layout] for f in found], allow_nan=False)
