"""Analyses built by hand, of any kind and size, for the figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.report.analysis.decisions import Decision
from odyssey.report.analysis.result import (
    SEARCH,
    SEEDS,
    SINGLE,
    Analysis,
    Comparison,
    Outcome,
    Summary,
    Variant,
    Verdict,
)
from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.decomposition import Decomposition, decompose
from odyssey.report.figures import figures
from odyssey.report.figures.marks import (
    SYMBOLS,
    AnyMark,
    Band,
    Bars,
    Box,
    Figure,
    Heat,
    Label,
    Line,
    Points,
    Rule,
    Segment,
    Span,
)
from odyssey.report.figures.marks import Interval as Bar
from odyssey.report.figures.plotly import render
from odyssey.report.io.runs import ReportRun
from odyssey.report.stats.estimates import (
    iqm_interval,
    mean_interval,
    median_interval,
    tuning_curve,
    wilson,
)
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.selection import top_share
from odyssey.report.stats.tests import welch

GREFF = ("lstm_peephole", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr")
AXES = (
    Axis("model.hidden_size", "log", 20, 200, integer=True),
    Axis("optimizer.lr", "log", 1e-6, 1e-2),
    Axis("optimizer.momentum", "one_minus_log", 0.01, 1),
    Axis("task.input_noise", "linear", 0, 1),
)
NONE = Interval(math.nan, math.nan, math.nan)
# One mark of each kind, with numbers that differ.
NAN = math.nan
KINDS: list[AnyMark] = [
    Points(x=[1.25, 2.5, NAN], y=[3.125, 4.5, 1.0], symbol=list(SYMBOLS[:3]), runs=[7, None, 9],
           colour=["#112233", "#445566", "#778899"], texts=["a", "b", "c"],
           interval=Bar(low=[1.0, 2.25, NAN], high=[1.5, 3.75, NAN], along="x")),
    Points(x=[1.25], y=[3.125], hollow=True, interval=Bar(low=[2.5], high=[3.5])),
    Line(x=[0.5, 1.5, 2.75], y=[4.0, 5.5, 4.25], dash="dot", symbol="star", colour="#112233",
         interval=Bar(low=[3.5, 5.0, 4.0], high=[4.5, 6.0, 4.5], colour="#998877")),
    Line(x=[0.5], y=[4.0]),
    Band(x=[1, 2, 3, 4], low=[0.5, 0.75, NAN, 0.25], high=[1.5, 1.75, 2.0, 1.25], opacity=0.2),
    Bars(at=[0, 1, 2], values=[3.5, NAN, 1.25], hatch="/", opacity=0.5, texts=["a", "b", "c"],
         interval=Bar(low=[3.0, NAN, 1.0], high=[4.0, NAN, 1.5])),
    Bars(at=[0, 1], values=[0.25, 0.5], horizontal=True, inside=True, colour="#ccbb44"),
    Box(at=1, values=[4.0, 5.0, 6.5, 7.25, 8.0, 19.5], runs=[1, 2, 3, 4, 5, None]),
    Rule(x=1.75, dash="dash"),
    Rule(y=2.25),
    Span(x=(-0.25, 0.75), opacity=0.1),
    Span(y=(1.5, 3.5)),
    Segment(x=(0.25, 1.75), y=(2.5, 3.25)),
    Label(text="in it", x=1.5, y=2.75, anchor="left"),
    Label(text="above\nit", x=1.25, colour="#112233"),
    Heat(columns=["a", "b"], rows=["c", "d"], values=[[0.125, NAN], [0.25, 0.5]],
         texts=[["12%", ""], ["25%", "50%"]], scale=(0, 0.5), form="percent"),
]  # fmt: skip


def build(
    kind: str = SEARCH,
    labels: Sequence[str] = GREFF,
    trials: int = 30,
    *,
    better: str = "lower",
    diverged: float = 0.05,
    failed: float = 0.02,
    margin: float | None = None,
    axes: Sequence[Axis] = AXES,
    shifts: Mapping[str, float] | None = None,
    share: float = 0.1,
    seed: int = 0,
    trees: int = 6,
    curves: bool = True,
) -> Analysis:
    """An analysis of made-up runs; `shifts` makes a variant worse by so much."""
    random = np.random.default_rng(seed)
    sign = 1.0 if better == "lower" else -1.0
    count = {SEARCH: trials, SEEDS: trials, SINGLE: 1}[kind]
    metric = "nats_per_frame" if better == "lower" else "accuracy"
    variants, summaries = [], []
    for label in labels:
        runs = []
        for n in range(count):
            config = _config(random, axes, kind)
            config |= {"bptt.length": _length(label)}
            base = 9 + (shifts or {}).get(label, 0.1 * _effect(label))
            value = (
                base + abs(random.normal(0, 0.05)) + (_response(config) if kind == SEARCH else 0)
            )
            lot = random.random()
            state = "diverged" if lot < diverged else "failed" if lot < diverged + failed else ""
            state = state or "finished"
            value = value if better == "lower" else 1 - value / 40
            runs.append(
                _run(label, n, state, value, sign, config, metric, random, kind, curves, better)
            )
        cell = label.partition(" ")[0]
        settings = {"cell": cell}
        settings |= dict(word.split("=", 1) for word in label.split(" ")[1:] if "=" in word)
        variants.append(Variant(label, settings, cell, runs))
    mode = "min" if better == "lower" else "max"
    comparison = Comparison(
        "music-jsb", "music on jsb", "music", "jsb", "ab" * 32, metric, mode, kind, [], variants,
        labels[0] if labels else "", [a.name for a in axes] if kind == SEARCH else [], False,
    )  # fmt: skip
    summaries = [_summary(v, metric, better, kind, share) for v in variants]
    analysis = Analysis(
        comparison, comparison.metric(metric), "test", share if kind == SEARCH else 1.0, margin,
        summaries, _verdicts(summaries, better, margin),
    )  # fmt: skip
    if kind == SEARCH:
        analysis.importance = _importance(summaries, axes, trees)
    return analysis


@dataclass(frozen=True)
class OnPage:
    """A figure with what Plotly draws of it."""

    figure: Figure
    traces: list[dict[str, Any]]
    layout: dict[str, Any]

    @property
    def key(self) -> str:
        return self.figure.key

    @property
    def title(self) -> str:
        return self.figure.title

    @property
    def caption(self) -> str:
        return self.figure.caption


def on_page(analysis: Analysis, *, run_index: Mapping[tuple[str, str], int]) -> list[OnPage]:
    """All figures of an analysis as the page has them."""
    made = [(figure, render(figure)) for figure in figures(analysis, run_index=run_index)]
    return [OnPage(figure, drawn.traces, drawn.layout) for figure, drawn in made]


def places(analysis: Analysis) -> dict[tuple[str, str], int]:
    """The runs' places in a page, from 100 on, so that they are no places in a variant."""
    runs = analysis.comparison.runs
    return {(run.study, run.name): 100 + i for i, run in enumerate(runs)}


def _effect(label: str) -> int:
    return sum(map(ord, label)) % 7


def _length(label: str) -> int | None:
    if "bptt.length=" not in label:
        return None
    value = label.partition("bptt.length=")[2].split(" ")[0]
    return None if value == "null" else int(value)


def _config(random: np.random.Generator, axes: Sequence[Axis], kind: str) -> dict[str, Any]:
    if kind != SEARCH:
        return {}
    found: dict[str, Any] = {}
    for axis in axes:
        value = axis.from_unit(float(random.random()))[0]
        if "," in axis.name:
            found |= dict(zip(axis.name.split(","), value, strict=True))
        else:
            found[axis.name] = value
    return found


def _response(config: Mapping[str, Any]) -> float:
    rate = math.log10(config.get("optimizer.lr", 1e-3))
    return 0.4 * abs(rate + 3) ** 1.5 + 0.3 * config.get("task.input_noise", 0.0) ** 2


def _run(
    label: str,
    n: int,
    state: str,
    value: float,
    sign: float,
    config: Mapping[str, Any],
    metric: str,
    random: np.random.Generator,
    kind: str,
    curves: bool,
    better: str,
) -> ReportRun:
    metrics, series = {}, {}
    steps = [float(s) for s in range(200, 200 * int(random.integers(6, 30)), 200)]
    if state == "finished":
        metrics = {f"valid/{metric}": value, f"test/{metric}": value + random.normal(0, 0.02)}
        fall = 1.0 if better == "lower" else 0.3
        values = [value + sign * fall * math.exp(-s / 1000) for s in steps]
        series = {f"valid/{metric}": (steps, values)}
    hidden = int(config.get("model.hidden_size", 100))
    return ReportRun(
        study="s",
        name=f"{label}-{n}",
        state=state,
        cell=label.partition(" ")[0],
        seed=n if kind == SEEDS else 0,
        params=4 * (88 * hidden + hidden**2),
        monitor=metric,
        mode="min" if better == "lower" else "max",
        metrics=metrics,
        config=dict(config),
        trial=n,
        seconds=float(random.lognormal(3, 0.5)),
        steps=int(steps[-1]),
        best_step=int(steps[-2]),
        device="cpu",
        curves=series if curves else {},
    )


def _summary(variant: Variant, metric: str, better: str, kind: str, share: float) -> Summary:
    worst = math.inf if better == "lower" else -math.inf
    values = [
        (r.value(metric), r.value(metric, "test")) if r.state == "finished" else (worst, worst)
        for r in variant.runs
    ]
    valid = np.array([v for v, _ in values])
    chosen = set(range(len(valid)))
    if kind == SEARCH and len(valid):
        chosen = {int(i) for i in top_share(valid, better, share)}
    outcomes = [
        Outcome(run, v, t, i in chosen, v if better == "lower" else -v)
        for i, (run, (v, t)) in enumerate(zip(variant.runs, values, strict=True))
    ]
    top = [o for o in outcomes if o.top]
    tests = np.array([o.test for o in top if math.isfinite(o.test)])
    counts = Counter(r.state for r in variant.runs)
    params = [o.run.params for o in top if o.run.params]
    seconds = [r.seconds for r in variant.runs if r.state == "finished"]
    return Summary(
        variant=variant,
        outcomes=outcomes,
        chosen=top,
        counts=dict(counts),
        best=None,
        params=(min(params), max(params)) if params else (math.nan, math.nan),
        mean=mean_interval(tests),
        median=median_interval(tests),
        iqm=iqm_interval(tests),
        all_median=NONE,
        all_iqm=NONE,
        diverged=wilson(counts["diverged"], len(variant.runs)),
        failed=wilson(counts["failed"], len(variant.runs)),
        tuning=tuning_curve(valid, better) if kind == SEARCH and len(valid) >= 2 else None,
        seconds=float(np.median(seconds)) if seconds else math.nan,
    )


def _verdicts(summaries: Sequence[Summary], better: str, margin: float | None) -> list[Verdict]:
    found = []
    for one in summaries[1:]:
        base = summaries[0]
        a, b = ([o.test for o in s.chosen if math.isfinite(o.test)] for s in (one, base))
        test = welch(np.array(a), np.array(b))
        d = test.difference
        ahead = (d.value < 0) == (better == "lower")
        word = "no difference found"
        if math.isnan(test.p):
            word = "cannot tell"
        elif margin is not None and max(abs(d.low), abs(d.high)) < margin:
            word = "same"
        elif test.p < 0.01:
            word = "better" if ahead else "worse"
        nan = math.nan
        decision = Decision(
            conclusion=word,
            test="welch",
            p=test.p,
            holm_p=test.p,
            difference=d,
            loss_p=nan,
            loss_holm_p=nan,
            lost=(0, 0),
            ended=(len(a), len(b)),
            equivalence_p=nan,
            equivalence_holm_p=nan,
            pairs=None,
            correlation=nan,
            detectable=nan,
        )
        labels = (one.variant.label, base.variant.label)
        numbers = (decision, test.p, nan, nan, NONE, NONE)
        found.append(Verdict(*labels, len(a), len(b), *numbers, f"{word}."))
    return found


def _importance(
    summaries: Sequence[Summary], axes: Sequence[Axis], trees: int
) -> dict[str, Decomposition]:
    every = [(s.variant.label, o) for s in summaries for o in s.outcomes if o.finite]
    found = {}
    for summary in summaries:
        here = [o for o in summary.outcomes if o.finite]
        found[summary.variant.label] = decompose(
            axes, [o.run.config for o in here], [o.valid for o in here], trees=trees
        )
    if len(summaries) > 1:
        labels = tuple(s.variant.label for s in summaries)
        variant = Axis("variant", "choice", choices=labels)
        points = [dict(o.run.config) | {"variant": label} for label, o in every]
        found[""] = decompose([*axes, variant], points, [o.valid for _, o in every], trees=trees)
    return found
