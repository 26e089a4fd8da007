"""The analysis: which runs are compared, how those without a result count, what may be said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from odyssey.errors import UserError
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.outcomes import common_metrics, select_metrics
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Comparison, Variant
from odyssey.report.analysis.tables import make_tables
from odyssey.report.io.runs import ReportRun, ReportStudy
from odyssey.report.stats.tests import holm
from odyssey.tasks.metric import Metric

FAST = {"draws": 200, "trees": 8}
SPACE = {
    "optimizer.lr": {"distribution": "log_uniform", "low": 1e-6, "high": 1e-2},
    "model.hidden_size": {"distribution": "log_uniform", "low": 20, "high": 200, "integer": True},
}


def compared(
    values: Mapping[str, Sequence[float | str]],
    *,
    kind: str = SEEDS,
    mode: str = "min",
    gap: float = 0.1,
    shared: bool = False,
    planned: int = 1,
) -> Comparison:
    """Variants with such validation values (or states); the test values are `gap` worse.

    planned: how many runs a plan of their study has.
    """
    rng = np.random.default_rng(0)
    variants = []
    sign = 1 if mode == "min" else -1
    for label, found in values.items():
        runs = []
        for place, value in enumerate(found):
            state = value if isinstance(value, str) else "finished"
            numbers = {}
            if not isinstance(value, str):
                numbers = {"valid/nats": value, "test/nats": value + sign * gap}
            config = {
                "optimizer.lr": float(10 ** rng.uniform(-6, -2)),
                "model.hidden_size": int(rng.integers(20, 200)),
            }
            run = ReportRun(
                study="s",
                name=f"{label}-music-{place:08x}",
                state=state,
                cell=label,
                seed=place if kind == SEEDS else 0,
                trial=place if kind == SEARCH else 0,
                params=1000 + place,
                monitor="nats",
                mode=mode,
                metrics=numbers,
                config=config,
            )
            runs.append(run)
        variants.append(Variant(label, {"cell": label}, label, runs))
    return Comparison(
        key="music-jsb",
        title="music on jsb",
        task="music",
        data="jsb",
        data_hash="ab",
        monitor="nats",
        mode=mode,
        kind=kind,
        studies=[ReportStudy("s", space=SPACE if kind == SEARCH else {}, planned=planned)],
        variants=variants,
        baseline=next(iter(values), ""),
        searched=list(SPACE) if kind == SEARCH else [],
        shared_draws=shared,
    )


def normal(n: int, mean: float, seed: int, scale: float = 0.1) -> list[float]:
    return [float(v) for v in np.random.default_rng(seed).normal(mean, scale, n)]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_words(mode: str):
    shift = 1.0 if mode == "min" else -1.0
    made = compared(
        {
            "base": normal(11, 8, 0),
            "bad": normal(11, 8 + shift, 1),
            "good": normal(11, 8 - shift, 2),
            "alike": normal(11, 8, 3),
            "once": [8.0],
        },
        mode=mode,
    )
    found = {v.variant: v for v in analyse(made, "nats", Options(**FAST)).verdicts}
    assert {k: v.conclusion for k, v in found.items()} == {
        "bad": "worse",
        "good": "better",
        "alike": "no difference found",
        "once": "cannot tell",
    }
    assert found["bad"].improvement.value == 0 and found["good"].improvement.value == 1
    within = analyse(made, "nats", Options(margin=0.5, **FAST))
    assert {v.variant: v.conclusion for v in within.verdicts}["alike"] == "same"
    near = analyse(made, "nats", Options(margin=0.01, **FAST))
    assert {v.variant: v.conclusion for v in near.verdicts}["alike"] == "no difference found"


def test_what_is_different_but_within_the_margin_is_the_same_and_says_so():
    made = compared({"base": normal(31, 8, 0), "worse": normal(31, 8.3, 1)})
    (verdict,) = analyse(made, "nats", Options(margin=1.0, **FAST)).verdicts
    assert verdict.conclusion == "same"
    assert "within 1 nats, though not equal" in verdict.sentence


def test_numbers_are_scipys_over_the_test_values_with_corrections_over_the_family():
    values = {"base": normal(7, 8, 0), "a": normal(5, 8.1, 1), "b": normal(3, 8.2, 2)}
    found = analyse(compared(values), "nats", Options(**FAST)).verdicts
    ps = [stats.ttest_ind(values[k], values["base"], equal_var=False).pvalue for k in "ab"]
    assert [v.welch_p for v in found] == pytest.approx(ps)
    assert [v.bonferroni_p for v in found] == pytest.approx([min(1, 2 * p) for p in ps])
    decisions = [v.decision for v in found]
    assert [d.p for d in decisions] == pytest.approx(ps)  # other numbers of seeds are no pairs
    assert [d.holm_p for d in decisions] == pytest.approx(list(holm(ps)))
    assert decisions[0].difference.value == pytest.approx(
        np.mean(values["a"]) - np.mean(values["base"])
    )


def test_runs_of_the_same_seeds_are_pairs():
    values = {"base": normal(7, 8, 0), "a": normal(7, 8.1, 1)}
    (verdict,) = analyse(compared(values), "nats", Options(**FAST)).verdicts
    p = stats.ttest_rel(values["a"], values["base"]).pvalue
    assert verdict.decision.p == pytest.approx(p) and verdict.decision.pairs == 7
    assert "paired t over 7 pairs" in verdict.sentence
    wins = sum(a < b for a, b in zip(values["a"], values["base"], strict=True))
    assert verdict.improvement.value == pytest.approx(wins / 7)


def test_a_search_is_represented_by_its_best_tenth_by_validation():
    values = {"base": normal(40, 8, 0), "a": normal(23, 8, 1)}
    analysis = analyse(compared(values, kind=SEARCH), "nats", Options(**FAST))
    base, a = analysis.summaries
    assert sorted(o.valid for o in base.chosen) == sorted(values["base"])[:4]
    assert len(a.chosen) == len([o for o in a.outcomes if o.top]) < 5
    assert base.mean.value == pytest.approx(np.mean(sorted(values["base"])[:4]) + 0.1)
    assert base.best is not None and base.best.valid == min(values["base"])
    assert set(analysis.importance) == {"", "base", "a"}
    assert "variant" in analysis.importance[""].singles


def test_importance_is_of_the_trials_with_a_value_and_of_the_losses():
    comparison = compared({"base": normal(60, 8, 0), "a": normal(60, 8, 1)}, kind=SEARCH)
    (base, a) = comparison.variants

    def fate(run: ReportRun) -> ReportRun:
        rate = math.log10(run.config["optimizer.lr"])
        if rate > -3:
            return replace(run, state="diverged", metrics={})
        return replace(run, metrics={k: 9 + (rate + 4) ** 2 for k in run.metrics})

    comparison.variants = [replace(base, runs=[fate(run) for run in base.runs]), a]
    analysis = analyse(comparison, "nats", Options(**FAST))
    lost = sum(run.state == "diverged" for run in comparison.variants[0].runs)
    found = analysis.importance["base"]
    assert found.n == 60 - lost and f"{lost} of 60 trials were lost" in found.note
    assert found.lost is not None and found.lost.n == 60
    assert found.lost.singles["optimizer.lr"].value > 0.7
    assert analysis.importance["a"].lost is None
    (table,) = (t for t in make_tables(analysis) if t.key == "importance")
    names = [row[0] for row in table.rows]
    assert names.index("base: lost or not") == names.index("base") + 1
    assert {"a", "all variants"} < set(names)
    heads = [c.name for c in table.columns]
    first = table.rows[names.index("base")]
    share, times = first[heads.index("learning rate")], first[heads.index("learning rate × R²")]
    assert times == pytest.approx(share.value * found.r2) and math.isfinite(times)
    assert first[heads.index("model")] == found.model


def test_diverged_and_failed_runs_are_the_worst_value_and_are_not_lost():
    good, lost = normal(8, 8, 0), normal(5, 8, 1)
    made = compared({"base": good, "weak": [*lost, "diverged", "diverged", "failed"]})
    analysis = analyse(made, "nats", Options(**FAST))
    weak = analysis.summaries[1]
    (verdict,) = analysis.verdicts
    assert [o.valid for o in weak.outcomes][-3:] == [math.inf] * 3
    assert verdict.n == 8 and verdict.decision.lost == (3, 0)
    assert "3 of 8 runs lost, against 0 of 8" in verdict.sentence
    assert weak.mean.value == pytest.approx(np.mean(lost) + 0.1)
    assert weak.median.value == pytest.approx(np.median([*lost, *[math.inf] * 3]) + 0.1)
    assert weak.diverged.value == 2 / 8 and weak.failed.value == 1 / 8
    # Three of the eight lose to their pairs.
    wins = sum(a < b for a, b in zip(lost, good[:5], strict=True))
    assert verdict.improvement.value == pytest.approx(wins / 8)
    assert math.isnan(verdict.decision.equivalence_p)
    assert any("2 diverged and 1 failed" in note for note in analysis.notes)


def test_all_diverged_is_worse_and_never_the_same():
    made = compared({"base": normal(9, 8, 0), "gone": ["diverged"] * 9})
    analysis = analyse(made, "nats", Options(margin=100, **FAST))
    (verdict,) = analysis.verdicts
    assert verdict.conclusion == "worse" and "9 of 9 runs lost" in verdict.sentence
    assert math.isnan(analysis.summaries[1].mean.value)


@pytest.mark.parametrize("kind", [SEARCH, SEEDS, SINGLE])
@pytest.mark.parametrize(
    "values",
    [
        {"only": [8.0]},
        {"only": []},
        {"only": ["missing", "running"]},
        {"a": ["diverged"], "b": ["diverged"]},
        {"a": ["diverged"] * 12, "b": ["failed"] * 12},
        {"a": [8.0], "b": [8.1]},
        {"a": [8.0] * 12, "b": [8.0] * 12},
        {"a": [8.0, 8.1, "damaged"], "b": ["interrupted"]},
    ],
)
def test_little_or_nothing_gives_no_made_up_number(kind: str, values: dict):
    analysis = analyse(compared(values, kind=kind), "nats", Options(margin=0.1, **FAST))
    for verdict in analysis.verdicts:
        assert verdict.conclusion in ("cannot tell", "no difference found", "same")
        if min(verdict.n, verdict.n_baseline) < 2:
            assert verdict.conclusion == "cannot tell" and math.isnan(verdict.welch_p)
    for summary in analysis.summaries:
        if not any(o.finite for o in summary.outcomes):
            assert math.isnan(summary.mean.value) and summary.best is None


def test_pairs_are_trials_with_the_same_settings():
    base, worse = normal(13, 8, 0), normal(13, 8, 0)
    values = {"base": base, "a": [v + 0.01 for v in worse]}
    values["a"][4] = "diverged"
    analysis = analyse(compared(values, kind=SEARCH, shared=True), "nats", Options(**FAST))
    pairs = analysis.verdicts[0].paired
    assert (pairs.n, pairs.wins, pairs.ties) == (13, 0, 0)
    assert pairs.median_difference.value == pytest.approx(0.01)
    alone = analyse(compared(values, kind=SEARCH), "nats", Options(**FAST))
    assert alone.verdicts[0].paired is None


def test_validation_values_stand_in_where_some_have_no_test_value_and_it_is_said():
    made = compared({"a": [8.0, 8.1], "b": [8.2, 8.3]})
    run = made.variants[0].runs[0]
    del run.metrics["test/nats"]
    analysis = analyse(made, "nats", Options(**FAST))
    assert analysis.part == "valid" and analysis.summaries[1].mean.value == pytest.approx(8.25)
    assert any("validation values are compared" in note for note in analysis.notes)


def test_metrics_and_their_direction():
    made = compared({"a": [8.0, 8.1], "b": [8.2, "diverged"]})
    for variant in made.variants:
        for run in variant.runs[:1]:
            run.metrics["test/accuracy"] = 0.5
    assert common_metrics(made) == ["nats", "accuracy"]
    assert select_metrics([made], "test/accuracy") == [["accuracy"]]
    with pytest.raises(UserError, match="did you mean 'accuracy'.*nats, accuracy"):
        select_metrics([made], "acuracy")


def test_direction_label_and_unit_are_those_that_runs_record():
    made = compared({"a": [8.0, 8.1], "b": [8.2, 8.3]}, mode="max")
    assert made.metric("nats") == Metric("nats", "max", "nats", "nats")  # as the monitor
    (first, *_), second = (list(variant.runs) for variant in made.variants)
    hits = Metric("hits", "max", "share of hits", "of the shots")
    nats = Metric("nats", "min", "cross-entropy", "nats")
    for run in (first, *second):
        run.metrics["valid/hits"] = run.metrics["test/hits"] = 0.5 + run.value("nats") / 100
    unknown = analyse(made, "hits", Options(**FAST))
    assert unknown.metric == Metric.unknown("hits") and unknown.better == "lower"
    assert any("do not record which values of hits are better" in note for note in unknown.notes)
    second[1].measures["hits"] = hits
    first.measures["nats"] = nats
    assert made.metric("nats") == replace(nats, mode="max")  # which chose the checkpoints
    analysis = analyse(made, "hits", Options(**FAST))
    assert analysis.metric == hits and analysis.better == "higher"
    assert not any("do not record" in note for note in analysis.notes)
    assert "of the shots" in make_tables(analysis)[1].title


@pytest.mark.parametrize(
    "wrong", [{"margin": 0.0}, {"margin": math.inf}, {"share": 0.0}, {"alpha": 0.5}, {"draws": 3}]
)
def test_options_out_of_range(wrong: dict):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))} "):
        Options(**wrong)
