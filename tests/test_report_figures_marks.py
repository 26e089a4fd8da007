"""Both renderers draw every kind of mark, with the numbers that the marks have."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import odyssey.report.figures as package
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE
from odyssey.report.figures import FIGURES, figures, mpl, plotly
from odyssey.report.figures.marks import (
    DASHES,
    HATCHES,
    PAGE,
    PAPER,
    SYMBOLS,
    TOGETHER,
    AnyMark,
    Axis,
    Band,
    Bars,
    Box,
    Figure,
    Label,
    Line,
    Panel,
    Points,
    Rule,
    Segment,
    Span,
    Tick,
    quartiles,
)
from odyssey.report.figures.scales import category_axis, number_axis
from report_figures_kit import GREFF, KINDS, build, places

go = pytest.importorskip("plotly.graph_objects")

NAN = math.nan
Pair = tuple[float, float]


def alone(mark: AnyMark, **more: Any) -> Figure:
    return Figure(key="key", title="Title", caption="Caption.", panels=[[Panel(marks=[mark])]],
                  **more)  # fmt: skip


def pairs_of(mark: AnyMark) -> set[Pair]:
    """Coordinates at which a mark must be drawn; nan stands for any."""
    found: list[Pair] = []
    if isinstance(mark, Points | Line):
        found = list(zip(mark.x, mark.y, strict=True))
        if (interval := mark.interval) and interval.along == "x":
            ends = zip(interval.low, interval.high, mark.y, strict=True)
            found += [(x, y) for low, high, y in ends if low < high for x in (low, high)]
        elif interval:
            ends = zip(interval.low, interval.high, mark.x, strict=True)
            found += [(x, y) for low, high, x in ends if low < high for y in (low, high)]
    elif isinstance(mark, Band):
        rows = zip(mark.x, mark.low, mark.high, strict=True)
        kept = [row for row in rows if all(map(math.isfinite, row))]
        found = [(x, y) for x, low, high in kept if len(kept) > 1 for y in (low, high)]
    elif isinstance(mark, Bars):
        found = [(at, v) for at, v in zip(mark.at, mark.values, strict=True)]
        if mark.horizontal:
            found = [(y, x) for x, y in found]
        if mark.interval:
            ends = zip(mark.interval.low, mark.interval.high, mark.at, strict=True)
            found += [(at, y) for low, high, at in ends if low < high for y in (low, high)]
    elif isinstance(mark, Box):
        found = [(math.inf, v) for v in mark.values]
    elif isinstance(mark, Rule):
        found = [(mark.x, math.inf) if mark.x is not None else (math.inf, mark.y or 0.0)]
    elif isinstance(mark, Span):
        ends = mark.x or mark.y or ()
        found = [(v, math.inf) if mark.x else (math.inf, v) for v in ends]
    elif isinstance(mark, Segment):
        found = list(zip(mark.x, mark.y, strict=True))
    elif isinstance(mark, Label):
        found = [(mark.x, math.inf if mark.y is None else mark.y)]
    else:
        found = [(math.inf, v) for row in mark.values for v in row]
    return {pair for pair in found if not any(map(math.isnan, pair))}


def on_page(drawn: plotly.Rendered) -> set[Pair]:
    found: list[Pair] = []
    for t in drawn.traces:
        if t["type"] == "box":
            found += [(math.inf, y) for y in t["y"]]
        elif t["type"] == "heatmap":
            found += [(math.inf, v) for row in t["z"] for v in row if v is not None]
        else:
            rows = [(x, y) for x, y in zip(t["x"], t["y"], strict=True)]
            found += [row for row in rows if None not in row]
            for along in "xy":
                if error := t.get(f"error_{along}"):
                    found += ends_of(rows, error, along)
    for one in [*drawn.layout.get("shapes", ()), *drawn.layout.get("annotations", ())]:
        keys = [("x0", "y0"), ("x1", "y1")] if "x0" in one else [("x", "y")]
        for x, y in keys:
            free_x, free_y = "domain" in one["xref"], "domain" in one["yref"]
            found.append((math.inf if free_x else one[x], math.inf if free_y else one[y]))
    return set(found)


def ends_of(rows: list[Any], error: dict[str, Any], along: str) -> Iterator[Pair]:
    for (x, y), up, down in zip(rows, error["array"], error["arrayminus"], strict=True):
        for by in (up, -down) if None not in (x, y, up, down) else ():
            yield (x + by, y) if along == "x" else (x, y + by)


def on_paper(paper: mpl.Paper) -> set[Pair]:
    found: list[Any] = []
    for ax in paper.axes:
        for artist in ax.get_children():
            if isinstance(artist, PathCollection):
                found += list(np.asarray(artist.get_offsets()))
                found += [(math.inf, y) for _, y in np.asarray(artist.get_offsets())]
            elif isinstance(artist, Line2D):
                (xs, ys), free = artist.get_data(), artist.get_transform()
                found += list(zip(xs, ys, strict=True))
                if free == ax.get_xaxis_transform():
                    found += [(x, math.inf) for x in xs]
                elif free == ax.get_yaxis_transform():
                    found += [(math.inf, y) for y in ys]
            elif isinstance(artist, LineCollection):
                found += [pair for line in artist.get_segments() for pair in line]
            elif isinstance(artist, PolyCollection):
                found += [pair for path in artist.get_paths() for pair in path.vertices]
            elif isinstance(artist, Rectangle):
                x, y, w, h = *artist.get_xy(), artist.get_width(), artist.get_height()
                found += [(x + w / 2, h), (w, y + h / 2), (x, math.inf), (x + w, math.inf)]
                found += [(math.inf, y), (math.inf, y + h)]
            elif isinstance(artist, AxesImage):
                values = np.ma.filled(artist.get_array(), NAN)
                found += [(math.inf, v) for v in values.flat]
            elif isinstance(artist, Text):
                x, y = artist.get_position()
                found += [(x, y), (x, math.inf)]
    return set(map(tuple, found))


def missing(wanted: Iterable[Pair], drawn: set[Pair], close: float) -> list[Pair]:
    """Of the wanted pairs, those that are not drawn; inf stands for any number."""
    if not drawn:
        return list(wanted)
    have = np.array([[v if math.isfinite(v) else 1e300 for v in pair] for pair in drawn], float)
    left = []
    for pair in wanted:
        goal = np.array([v if math.isfinite(v) else 1e300 for v in pair])
        if not (np.abs(have - goal) <= close * np.maximum(np.abs(goal), 1e-9)).all(axis=1).any():
            left.append(pair)
    return left


@pytest.mark.parametrize("mark", KINDS, ids=lambda mark: type(mark).__name__)
@pytest.mark.filterwarnings("error")
def test_a_mark_has_its_numbers_in_both(mark: AnyMark, tmp_path: Path) -> None:
    figure = alone(mark)
    drawn = plotly.render(figure)
    go.Figure(drawn.traces, drawn.layout)
    assert json.loads(json.dumps(drawn.layout, allow_nan=False)) == drawn.layout
    assert missing(pairs_of(mark), on_page(drawn), 1e-9) == []
    paper = mpl.draw(figure)
    assert missing(pairs_of(mark), on_paper(paper), 1e-9) == []
    paper.savefig(tmp_path / "figure.pdf")


def test_every_kind_is_tried() -> None:
    kinds = set(get_args(AnyMark))
    assert {type(mark) for mark in KINDS} == kinds == set(mpl.DRAW)
    assert kinds == {*plotly.RENDER, Rule, Span, Label}
    assert set(mpl.SYMBOLS) == set(SYMBOLS) and set(mpl.DASHES) == set(DASHES)


def test_every_symbol_dash_and_hatch_is_drawn_by_both() -> None:
    shown: list[AnyMark] = [Points(x=[i], y=[0], symbol=s) for i, s in enumerate(SYMBOLS)]
    shown += [Points(x=[i], y=[1], symbol=s, hollow=True) for i, s in enumerate(SYMBOLS)]
    shown += [Line(x=[0, 1], y=[i, i], dash=d) for i, d in enumerate(DASHES)]
    shown += [Bars(at=[i], values=[1], hatch=h) for i, h in enumerate(HATCHES)]
    figure = replace(alone(shown[0]), panels=[[Panel(marks=shown)]])
    drawn = plotly.render(figure)
    go.Figure(drawn.traces, drawn.layout)
    mpl.draw(figure).savefig("/dev/null", format="png")


MADE = {
    "greff": lambda: build(SEARCH, GREFF, 23, trees=3, margin=0.1),
    "three": lambda: build(SEARCH, ["lstm", "gru", "rnn"], 40, trees=3),
    "seeds": lambda: build(
        SEEDS,
        [f"{c} bptt.length={n}" for c in ("rnn", "gru") for n in (7, "null")],
        6,
        diverged=0.2,
    ),
    "single": lambda: build(SINGLE, ["gru", "lstm"], diverged=0, failed=0),
}


@cache
def made(name: str) -> list[Figure]:
    analysis = MADE[name]()
    return figures(analysis, run_index=places(analysis))


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_the_figures_have_the_numbers_of_their_marks_in_both(name: str) -> None:
    for figure in made(name):
        page, paper = on_page(plotly.render(figure)), on_paper(mpl.draw(figure))
        for mark in figure.marks:
            wanted = pairs_of(mark)
            if mark.on != PAPER:
                # Four digits, twice where a distance is added to a value.
                assert missing(wanted, page, 2e-3) == [], (figure.key, mark)
            # Of what all frames share, a frame has the line alone.
            shared = isinstance(mark, Band) and figure.common == mark.group not in figure.split
            if mark.on != PAGE and not (shared and len(figure.split) > TOGETHER):
                assert missing(wanted, paper, 1e-9) == [], (figure.key, mark)


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_nothing_is_cut_off_on_paper(name: str) -> None:
    for figure in made(name):
        paper = mpl.draw(figure)
        width, height = paper.get_size_inches()
        for dpi in (72, 300):  # a PDF's, a fine picture's: letters have the same width in all
            paper.set_dpi(dpi)
            with mpl.style():
                box = paper.get_tightbbox()
            edges = (box.x0, box.y0, width - box.x1, height - box.y1)
            assert min(edges) > -0.01, (figure.key, dpi, edges)


def test_a_box_has_its_quartiles_on_paper() -> None:
    box = next(mark for mark in KINDS if isinstance(mark, Box))
    drawn = on_paper(mpl.draw(alone(box)))
    q = quartiles(box.values)
    wanted = [(box.at + side * box.width / 2, v) for side in (-1, 1) for v in
              (q.first, q.median, q.third)]  # fmt: skip
    wanted += [(box.at, q.low), (box.at, q.high)]
    assert missing(wanted, drawn, 1e-9) == []


def test_stacked_bars_stand_on_each_other() -> None:
    stacks = [
        Bars(at=[0, 1], values=values, stacked=True, horizontal=True)
        for values in ([0.25, NAN], [0.5, 0.125], [0.0625, 0.25])
    ]
    figure = replace(alone(stacks[0]), panels=[[Panel(marks=stacks)]])
    assert plotly.render(figure).layout["barmode"] == "stack"
    (ax,) = mpl.draw(figure).axes
    left = sorted((p.get_y() + p.get_height() / 2, p.get_x()) for p in ax.patches)
    assert left == [(0, 0), (0, 0.25), (0, 0.75), (1, 0), (1, 0.125)]


def test_marks_are_left_out_where_they_do_not_belong() -> None:
    for on, there in (("page", (True, False)), ("paper", (False, True)), ("both", (True, True))):
        figure = alone(Points(x=[1.5], y=[2.5], on=on))  # type: ignore[arg-type]
        assert (bool(plotly.render(figure).traces), (1.5, 2.5) in on_paper(mpl.draw(figure))) == (
            there
        )


def test_a_band_of_its_own_is_seen_alone_only() -> None:
    labels = ["a", "b", "c", "d", "e"]
    shown: list[AnyMark] = []
    for i, label in enumerate(labels):
        line = Line(name=label, group=label, x=[0, 1], y=[i, i])
        band = {"x": [0, 1], "low": [i - 0.5, i - 0.5], "high": [i + 0.5, i + 0.5]}
        shown += [line, Band(name=label, group=label, alone=True, **band)]
    figure = replace(alone(shown[0]), panels=[[Panel(marks=shown)]])
    assert [t.get("visible") for t in plotly.render(figure).traces[1::2]] == ["legendonly"] * 5
    assert not [c for c in mpl.draw(figure).axes[0].collections if isinstance(c, PolyCollection)]
    split = mpl.draw(replace(figure, split=labels, common="a"))
    assert [ax.get_title(loc="left") for ax in split.axes] == [*labels, ""]
    for ax, label in zip(split.axes, labels, strict=False):
        (band,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
        assert {labels.index(label) - 0.5, labels.index(label) + 0.5} == set(
            band.get_paths()[0].vertices[:, 1]
        )


def grid(shared: str) -> Figure:
    panel = [[Panel(marks=[Points(x=[i, 10 * j], y=[i, j])], x=Axis(title=f"x{i}{j}"),
                    y=Axis(title=f"y{i}{j}")) for j in range(3)] for i in range(2)]  # fmt: skip
    return Figure(key="grid", title="Grid", caption="Grid.", panels=panel, heights=[3, 1],
                  shared=shared, height=500)  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "axes"), [("", 12), ("x", 9), ("y", 8), ("xy", 5)])
def test_panels_stand_in_a_grid_with_own_or_shared_axes(shared: str, axes: int) -> None:
    drawn = plotly.render(grid(shared))
    go.Figure(drawn.traces, drawn.layout)
    named = {k for k in drawn.layout if k.startswith(("xaxis", "yaxis"))}
    assert len(named) == axes
    for trace in drawn.traces:
        for way in "xy":
            name = trace.get(f"{way}axis", way)
            assert f"{way}axis{name[1:]}" in named
    for way, ends in (("xaxis", 3), ("yaxis", 2)):
        domains = sorted({tuple(drawn.layout[k]["domain"]) for k in named if k.startswith(way)})
        assert len(domains) == ends and domains[0][0] == 0 and domains[-1][1] == 1
        assert all(a[1] < b[0] for a, b in zip(domains, domains[1:], strict=False))
    high = [drawn.layout[k]["domain"] for k in sorted(named) if k.startswith("yaxis")]
    assert high[0][1] == 1 and high[-1][0] == 0  # the first row is at the top
    assert high[0][1] - high[0][0] == pytest.approx(3 * (high[-1][1] - high[-1][0]), rel=1e-3)
    paper = mpl.draw(grid(shared))
    assert len(paper.axes) == 6 and missing([(1, 1), (20, 2)], on_paper(paper), 1e-9) == []


def test_axes_are_the_same_in_both() -> None:
    axes = [
        number_axis("rate", 1e-5, 1e-2, log=True),
        replace(number_axis("near one", 0.01, 1, log=True), reverse=True),
        number_axis("layers", 1, 4, log=False, whole=True),
        category_axis(["gru", "lstm"], bold="lstm", notes=["2 lost", ""]),
        category_axis(["gru", "lstm"], reverse=True),
    ]
    for axis in axes:
        figure = alone(Points(x=[1], y=[1]))
        figure = replace(figure, panels=[[replace(figure.panels[0][0], x=axis)]])
        found = plotly.render(figure).layout["xaxis"]
        (ax,) = mpl.draw(figure).axes
        ends = [10**end for end in found["range"]] if axis.kind == "log" else found["range"]
        assert ends == pytest.approx(ax.get_xlim(), rel=1e-3)
        assert found.get("type", "linear") == ax.get_xscale()
        if axis.ticks:
            names = [t.replace("<b>", "").replace("</b>", "") for t in found["ticktext"]]
            shown = [t.get_text() for t in ax.get_xticklabels()]
            assert [n.partition("<br>")[0] for n in names] == shown
            assert found["tickvals"] == pytest.approx(ax.get_xticks())
    bold = plotly.render(
        replace(alone(KINDS[0]), panels=[[Panel(marks=[KINDS[0]], x=axes[3])]])
    ).layout["xaxis"]["ticktext"]
    assert bold == ["gru<br>2 lost", "<b>lstm</b>"]


def test_a_legend_has_each_name_once_in_its_order() -> None:
    shown: list[AnyMark] = [
        Points(name="late", legend=True, rank=3, x=[1], y=[1]),
        Line(name="first", legend=True, rank=1, x=[1, 2], y=[1, 2], group="g"),
        Line(name="first", legend=True, rank=1, x=[1, 2], y=[2, 3], group="g"),
        Bars(name="second", legend=True, rank=2, at=[1], values=[1]),
        Points(name="silent", x=[1], y=[1]),
    ]
    figure = replace(alone(shown[0], legend="right"), panels=[[Panel(marks=shown)]])
    (legend,) = mpl.draw(figure).legends
    assert [t.get_text() for t in legend.get_texts()] == ["first", "second", "late"]
    drawn = plotly.render(figure)
    ranks = {t["name"]: t["legendrank"] for t in drawn.traces if t["showlegend"]}
    assert sorted(ranks, key=ranks.__getitem__) == ["first", "second", "late"]
    assert drawn.layout["showlegend"] and not plotly.render(alone(shown[0])).layout["showlegend"]


def test_a_rule_or_span_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="needs x or y"):
        plotly.render(alone(Rule()))


def test_a_further_figure_is_one_function() -> None:
    def seeds(view: package.View) -> Figure:
        labels = view.labels
        values = [[o.test for o in s.chosen][0] for s in view.summaries]
        bars = Bars(name="value", at=range(len(labels)), values=values,
                    colour=[view.colour(label) for label in labels])  # fmt: skip
        panel = Panel(marks=[bars], x=category_axis(labels), y=Axis(title=view.value_title()))
        return Figure(key="mine", title="Mine", caption="One run of each.", panels=[[panel]])

    analysis = MADE["single"]()
    found = figures(analysis, run_index={}, makers=[*FIGURES, seeds])
    assert [f.key for f in found][-1] == "mine" and len(found) > 3
    drawn = plotly.render(found[-1])
    assert drawn.layout["yaxis"]["title"]["text"] == "nats per frame, test<br>lower is better"
    assert missing(pairs_of(found[-1].marks[0]), on_paper(mpl.draw(found[-1])), 1e-9) == []


def test_no_figure_knows_how_it_is_drawn() -> None:
    renderers = {"plotly.py", "mpl.py"}
    for file in Path(package.__file__).parent.glob("*.py"):
        if file.name in {*renderers, "marks.py", "__init__.py"}:
            continue
        text = file.read_text(encoding="utf-8").lower()
        assert not re.search(r"\bplotly\b|\bmatplotlib\b|\bmpl\b", text), file.name


def test_ticks_have_names() -> None:
    tick = Tick(at=1, name="one", note="a note", note_colour="#112233")
    axis = Axis(kind="categories", ticks=[tick], limits=(0, 2))
    for way in ("x", "y"):
        figure = replace(alone(KINDS[0]), panels=[[Panel(marks=[KINDS[0]], **{way: axis})]])
        shown = [t.get_text().replace("\n", " ") for t in mpl.draw(figure).findobj(Text)]
        assert "one" in shown and "a note" in shown
        text = plotly.render(figure).layout[f"{way}axis"]["ticktext"][0]
        assert text == ("one<br>a note" if way == "x" else "one · a note")
