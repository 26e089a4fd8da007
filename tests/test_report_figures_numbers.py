"""The numbers in the traces are those of the analysis."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from statistics import median
from typing import Any

import numpy as np
import pytest

import random_kit
from odyssey.report.analysis.analyse import order_best_first
from odyssey.report.analysis.result import SEARCH, SEEDS, Analysis
from odyssey.report.figures.curves import median_curve
from odyssey.report.figures.marks import quartiles
from odyssey.report.figures.plotly import number
from odyssey.report.palette import CELLS, colour_of_verdict
from odyssey.report.stats.samples import Interval
from report_figures_kit import AXES, GREFF, OnPage, build, on_page, places

SHIFTS = {"nfg": 0.9, "niaf": -0.4, "np": 0.01}
GREFFS = build(SEARCH, GREFF, 41, trees=4, margin=0.2, shifts=SHIFTS, seed=3)
LENGTHS = [f"{cell} bptt.length={n}" for cell in ("gru", "lstm") for n in (7, 50, "null")]
SEEDED = build(SEEDS, LENGTHS, 6, diverged=0.15, seed=1)


def named(analysis: Analysis, key: str) -> OnPage:
    if analysis is GREFFS:
        return of_greff()[key]
    found = on_page(analysis, run_index=places(analysis))
    return next(figure for figure in found if figure.key == key)


@cache
def of_greff() -> dict[str, OnPage]:
    return {f.key: f for f in on_page(GREFFS, run_index=places(GREFFS))}


def four(values: Any) -> list[float | None]:
    return [number(float(v)) for v in values]


def test_top_holds_the_chosen() -> None:
    figure = named(GREFFS, "top")
    words = [note["text"].replace("<br>", " ") for note in figure.layout["annotations"]]
    drawn = {t["name"]: t for t in figure.traces if t["type"] == "box" or "customdata" in t}
    bars = next(t for t in figure.traces if t["type"] == "bar")
    for place, summary in enumerate(GREFFS.summaries):
        label = summary.variant.label
        kept = [o.test for o in summary.chosen if o.finite]
        assert sorted(drawn[label]["y"]) == sorted(four(kept))
        sizes = [o.run.params for o in summary.chosen]
        assert bars["y"][place] == number(median(s for s in sizes if s is not None))
        verdict = [v.conclusion for v in GREFFS.verdicts if v.variant == label] or ["baseline"]
        assert words[place] == verdict[0].replace("difference", "diff.")
        assert figure.layout["xaxis"]["ticktext"][place] in (label, f"<b>{label}</b>")
    line = next(s for s in figure.layout["shapes"] if s["name"] == "median of the baseline")
    base = [o.test for o in GREFFS.summaries[0].chosen]
    assert line["y0"] == line["y1"] == number(median(base), 5)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7])
def test_few_points_are_no_box(count: int) -> None:
    figure = named(build(SEEDS, ["gru", "lstm"], count, diverged=0, failed=0), "top")
    kinds = {t["type"] for t in figure.traces if "customdata" in t}
    assert kinds == ({"box"} if count >= 5 else {"scatter"})
    assert ("not a box" in figure.caption) == (count < 5)


@pytest.mark.parametrize("count", [6, 7, 8, 20, 31])
def test_boxes_on_paper_have_hazens_quartiles(count: int) -> None:
    values = random_kit.rng().normal(size=count).tolist()
    values[1] += 20  # beyond the whisker
    box = quartiles(values)
    ordered = sorted(values)
    for share, value in ((0.25, box.first), (0.5, box.median), (0.75, box.third)):
        # Half a rank before each value: Hazen (1914).
        ranks = (np.arange(count) + 0.5) / count
        assert value == pytest.approx(np.interp(share, ranks, ordered))
    far = 1.5 * (box.third - box.first)
    assert box.low == max(ordered[0], min(v for v in ordered if v >= box.first - far))
    assert box.high == max(v for v in ordered if v <= box.third + far) < values[1]


def test_all_trials_are_drawn_or_counted() -> None:
    figure = named(GREFFS, "all")
    for place, summary in enumerate(GREFFS.summaries):
        box = next(t for t in figure.traces if t["type"] == "box" and t["x0"] == place)
        lost = [o for o in summary.outcomes if not o.finite]
        assert len(box["y"]) + len(lost) == 41
        said = figure.layout["xaxis"]["ticktext"][place]
        assert (f"<br>{len(lost)} " in said) == bool(lost)


def test_marginals_are_the_forests_curves() -> None:
    for axis in AXES:
        figure = named(GREFFS, f"marginal-{axis.name}")
        for label in ("cifg", ""):
            curve = GREFFS.importance[label].curves[axis.name]
            line = next(
                t for t in figure.traces
                if t["name"] == (label or "all variants") and t["mode"] == "lines"
                and t.get("hoverinfo") != "skip"
            )  # fmt: skip
            mean = curve.mean[::-1] if axis.kind == "one_minus_log" else curve.mean
            assert line["y"] == four(mean)
            if axis.kind == "one_minus_log":
                assert line["x"] == four(1 - x for x in curve.x[::-1])
                assert line["text"][0] == f"{1 - line['x'][0]:.6g}"
            else:
                assert line["x"] == four(curve.x)
    momentum = named(GREFFS, "marginal-optimizer.momentum").layout["xaxis"]
    assert momentum["type"] == "log" and momentum["range"][0] > momentum["range"][1]
    ticks = dict(zip(momentum["ticktext"], momentum["tickvals"], strict=True))
    assert ticks["0.9"] == pytest.approx(0.1) and ticks["0"] == 1
    assert named(GREFFS, "marginal-optimizer.lr").layout["xaxis"]["type"] == "log"
    assert "type" not in named(GREFFS, "marginal-task.input_noise").layout["xaxis"]


def test_importance_adds_up_to_one() -> None:
    figure = named(GREFFS, "importance")
    rows = ["all variants", *GREFF]
    assert [t.partition(" · ")[0] for t in figure.layout["yaxis"]["ticktext"]] == rows
    total = np.sum([[x or 0 for x in t["x"]] for t in figure.traces], axis=0)
    assert total == pytest.approx(np.ones(len(rows)), abs=2e-3)
    rate = next(t for t in figure.traces if t["name"] == "learning rate")
    for i, label in enumerate(["", *GREFF]):
        assert rate["x"][i] == number(GREFFS.importance[label].singles["optimizer.lr"].value)


def test_a_weak_forest_says_nothing() -> None:
    weak = dict(GREFFS.importance)
    weak["nig"] = replace(weak["nig"], r2=0.29)
    weak["fgr"] = replace(weak["fgr"], r2=math.nan)
    analysis = replace(GREFFS, importance=weak)
    figure = named(analysis, "importance")
    for label in ("nig", "fgr"):
        place = ["", *GREFF].index(label)
        assert all(t["x"][place] is None for t in figure.traces)
    assert figure.caption.endswith("nig, fgr.")
    marginal = named(analysis, "marginal-optimizer.lr")
    drawn = {t["name"] for t in marginal.traces if t["mode"] == "lines"}
    assert "nig" not in drawn and "fgr" not in drawn and "nog" in drawn
    assert sum(t["name"] == "nig" for t in marginal.traces)  # its trials stay
    nothing = {k: replace(d, r2=0.1) for k, d in GREFFS.importance.items()}
    keys = [f.key for f in on_page(replace(GREFFS, importance=nothing), run_index={})]
    assert "importance" not in keys and "pairs" not in keys and "marginal-optimizer.lr" in keys


def test_wide_intervals_have_words_in_place_of_bars() -> None:
    wide = dict(GREFFS.importance)
    wide["nig"] = replace(wide["nig"], r2=0.8, all_pairs=Interval(0.3, 0.0, 0.9))
    figure = named(replace(GREFFS, importance=wide), "importance")
    place = ["", *GREFF].index("nig")
    assert all(t["x"][place] is None for t in figure.traces)
    texts = {a["y"]: a["text"] for a in figure.layout["annotations"]}
    assert texts[place] == "cannot tell: too few trials"
    assert "wider than 50%: " in figure.caption and "nig" in figure.caption


def test_which_settings_lose_trials_is_a_row_of_its_own() -> None:
    whole = GREFFS.importance[""]
    losses = replace(GREFFS.importance["cifg"], r2=0.7)
    analysis = replace(GREFFS, importance=GREFFS.importance | {"": replace(whole, lost=losses)})
    figure = named(analysis, "importance")
    assert figure.layout["yaxis"]["ticktext"][-1].partition(" · ")[0] == "lost or not"
    rate = next(t for t in figure.traces if t["name"] == "learning rate")
    assert rate["x"][-1] == number(losses.singles["optimizer.lr"].value)
    assert "“lost or not” is about which trials diverged or failed" in figure.caption


def test_pairs_are_a_triangle_of_shares() -> None:
    (trace,) = named(GREFFS, "pairs").traces
    whole = GREFFS.importance[""]
    keys = list(whole.singles)
    shares = {frozenset(pair): v.value for pair, v in whole.pairs.items()}
    for i, row in enumerate(trace["z"]):
        for j, value in enumerate(row):
            want = shares[frozenset((keys[i + 1], keys[j]))] if j <= i else math.nan
            assert value == number(want, 4)
    assert (trace["x"][1], trace["y"][-1]) == ("learning rate", "variant")


def test_tuning_curves_are_those_of_the_summaries() -> None:
    figure = named(GREFFS, "tuning")
    for summary in GREFFS.summaries:
        known = summary.tuning
        assert known is not None
        band, line = (t for t in figure.traces if t["name"] == summary.variant.label)
        assert line["x"] == four(known.counts) and line["y"] == four(known.median)
        assert band["y"] == four([*known.low, *known.high[::-1]])
    bare = [replace(s, tuning=None) for s in GREFFS.summaries]
    keys = [f.key for f in on_page(replace(GREFFS, summaries=bare), run_index={})]
    assert "tuning" not in keys


def test_bands_that_would_cover_each_other_wait_for_a_double_click() -> None:
    few = build(SEARCH, ["gru", "lstm"], 23, trees=3)
    keys = {"tuning": "lstm_peephole", "learning": "lstm_peephole"}
    for key, shown in (keys | {"marginal-optimizer.lr": "all variants"}).items():
        bands = {t["name"]: t for t in of_greff()[key].traces if t.get("fill") == "toself"}
        assert {name for name, t in bands.items() if t["visible"] is True} == {shown}
        assert all(t["legendgroup"] == name for name, t in bands.items()) and len(bands) >= 9
        assert "double click" in of_greff()[key].caption
        bands = {t["name"]: t for t in named(few, key).traces if t.get("fill") == "toself"}
        assert all(t["visible"] is True for t in bands.values()) and len(bands) >= 2


def test_infinite_medians_are_said() -> None:
    first, *others = GREFFS.summaries
    assert first.tuning is not None
    lost = replace(first.tuning, median=np.full(len(first.tuning.median), math.inf))
    analysis = replace(GREFFS, summaries=[replace(first, tuning=lost), *others])
    figure = named(analysis, "tuning")
    assert "left out: lstm_peephole." in figure.caption
    assert all(t["name"] != "lstm_peephole" for t in figure.traces)


def test_a_learning_curve_is_the_median_at_each_step() -> None:
    # By hand: three runs, one of which stops early and keeps its last value, one begins late.
    curves = [
        ([1.0, 2.0, 3.0, 4.0], [8.0, 6.0, 4.0, 2.0]),
        ([1.0, 2.0], [9.0, 5.0]),
        ([2.0, 3.0, 5.0], [7.0, 3.0, 1.0]),
    ]
    line = median_curve("gru", curves)
    assert line is not None
    # At least half of three runs, that is two, reach step 4, and only one step 5.
    assert line.x == [1, 2, 3, 4]
    assert line.middle == [8.5, 6, 4, 2]
    assert line.low == pytest.approx([8.25, 5.5, 3.5, 2.0])
    assert line.high == pytest.approx([8.75, 6.5, 4.5, 3.5])
    single = median_curve("gru", curves[:1])
    assert (
        single is not None and single.middle == [8, 6, 4, 2] and not np.isfinite(single.low).any()
    )
    assert median_curve("gru", []) is None


def test_params_and_time_hold_every_finished_run() -> None:
    finished = [o.run for s in GREFFS.summaries for o in s.outcomes if o.finite]
    for key, of in (("params", lambda r: r.params), ("time", lambda r: r.seconds)):
        traces = named(GREFFS, key).traces
        assert sorted(x for t in traces for x in t["x"]) == sorted(four(map(of, finished)))
        chosen = {m for t in traces if t["showlegend"] for m in t["customdata"]}
        index = places(GREFFS)
        top = [o.run for s in GREFFS.summaries for o in s.chosen if o.finite]
        assert chosen == {index[r.study, r.name] for r in top}


def test_truncation_joins_the_lengths_of_a_cell() -> None:
    figure = named(SEEDED, "truncation")
    assert figure.layout["xaxis"]["ticktext"] == ["7", "50", "whole"]
    means = {s.variant.label: s.mean for s in SEEDED.summaries}
    for cell in ("gru", "lstm"):
        line = next(t for t in figure.traces if t["name"] == cell)
        mine = [means[f"{cell} bptt.length={n}"] for n in (7, 50, "null")]
        assert line["y"] == four(m.value for m in mine)
        assert line["error_y"]["array"] == four(m.high - m.value for m in mine)
        assert line["error_y"]["arrayminus"] == four(m.value - m.low for m in mine)
        assert line["line"]["color"] == CELLS[cell][0]


def test_a_setting_that_goes_with_the_length_makes_no_line_of_its_own() -> None:
    def with_batch(of: dict[str, str], cell: str = "") -> list[str]:
        summaries = []
        for s in SEEDED.summaries:
            v = s.variant
            batch = {"task.batch_size": of[v.settings["bptt.length"]] + cell * (v.cell == "gru")}
            variant = replace(v, settings={**v.settings, **batch})
            summaries.append(replace(s, variant=variant))
        figure = named(replace(SEEDED, summaries=summaries), "truncation")
        return [t["name"] for t in figure.traces if t["mode"] == "lines+markers"]

    lengths = {s.variant.settings["bptt.length"] for s in SEEDED.summaries}
    apart = dict(zip(sorted(lengths), ("8", "16", "32"), strict=True))
    cells = list(dict.fromkeys(s.variant.cell for s in SEEDED.summaries))
    assert with_batch(apart) == cells
    assert set(with_batch(apart, cell="0")) > {f"gru task.batch_size={n}0" for n in (8, 16)}


def test_divergence_has_wilsons_limits() -> None:
    figure = named(GREFFS, "divergence")
    diverged = next(t for t in figure.traces if t["name"] == "diverged")
    for i, summary in enumerate(GREFFS.summaries):
        rate = summary.diverged
        assert diverged["x"][i] == number(rate.value)
        assert diverged["error_x"]["array"][i] == number(rate.high - rate.value)
        said = f"{summary.counts.get('diverged', 0)} of 41"
        assert figure.layout["yaxis"]["ticktext"][i] == f"{summary.variant.label} · {said}"


@pytest.mark.slow
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_differences_are_best_first_in_the_colour_of_the_verdict(better: str) -> None:
    analysis = build(SEARCH, GREFF, 31, trees=1, better=better, shifts=SHIFTS, margin=0.1)
    order_best_first(analysis)
    figure = named(analysis, "differences")
    by_name = {v.variant: v for v in analysis.verdicts}
    found = [by_name[t["name"]] for t in figure.traces]
    assert [v.variant for v in found] == [v.variant for v in analysis.verdicts] and len(found) == 8
    # Better ones first, worse ones last; among these by the mean of those without a lost run.
    place = {"better": 0, "promising": 0, "worse": 2}
    places = [place.get(v.conclusion, 1) for v in found]
    assert places == sorted(places)
    for place, trace in enumerate(figure.traces):
        verdict = by_name[trace["name"]]
        assert trace["y"] == [place] and trace["x"] == four([verdict.decision.difference.value])
        assert trace["marker"]["color"] == colour_of_verdict(verdict.conclusion)
        assert figure.layout["yaxis"]["ticktext"][place].endswith(verdict.conclusion)
    band = figure.layout["shapes"][0]
    assert (band["x0"], band["x1"]) == (-0.1, 0.1)
    side = "left" if better == "lower" else "right"
    assert figure.layout["xaxis"]["title"]["text"].endswith(f"better is to the {side}")
