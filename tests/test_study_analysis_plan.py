"""The plan of a study's analysis: written before the results; what comes after is marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey.errors import UserError
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.decisions import SEEDS, Design, Sample, decide
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.planned import plan_notes
from odyssey.report.io.collect import collect
from odyssey.study.analysis_plan import AnalysisPlan, choose_baseline, updated
from odyssey.study.plan import prepare
from odyssey.study.runner import begin
from odyssey.study.state import read_study
from report_kit import edit_json, write_study
from test_report_analyse import FAST, compared, normal

WORDS = ("task=charlm", "task.data=hello", "logger.mode=disabled")


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., AnalysisPlan]:
    """Begins a study with these words, without training; returns the plan in its study.json."""

    def made(*words: str) -> AnalysisPlan:
        plan = prepare([*WORDS, *words, f"output_dir={tmp_path}", "study=s"])
        assert plan is not None
        begin(plan)
        record = read_study(tmp_path / "s").record
        assert record is not None and record.plan is not None
        return record.plan

    return made


# --- before the first run ---


def test_the_plan_is_written_with_its_defaults(study, tmp_path: Path) -> None:
    plan = study("cell=gru,lstm", "seed=0,1")
    assert (plan.baseline, plan.metric, plan.margin) == ("cell=lstm", None, None)
    assert (plan.alpha, plan.share, plan.looks, plan.changes) == (0.05, 0.1, [], [])
    assert plan.time
    (row,) = [row for row in read_study(tmp_path / "s").trials if row.run.startswith("gru")][:1]
    assert "plan." not in row.overrides


def test_what_is_typed_is_written_and_is_no_part_of_a_run(study, tmp_path: Path) -> None:
    study("cell=gru,lstm", "seed=0,1")
    before = [row.run for row in read_study(tmp_path / "s").trials]
    # No run has ended, so this is still a plan made before the data.
    plan = study("cell=gru,lstm", "seed=0,1", "plan.margin=0.02", "plan.baseline=gru")
    assert (plan.baseline, plan.margin, plan.changes) == ("cell=gru", 0.02, [])
    plan = study("cell=gru,lstm", "seed=0,1", "plan.looks=[2,5]", "plan.metric=nats")
    assert (plan.margin, plan.looks, plan.metric) == (0.02, [2, 5], "nats")
    rows = read_study(tmp_path / "s").trials
    assert [row.run for row in rows] == before
    assert not any("plan." in row.overrides for row in rows)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("plan.margin=0", "plan.margin=0 is out of range: type a number above 0"),
        ("plan.share=1.5", "plan.share=1.5 is out of range: type a number above 0, up to 1"),
        ("plan.share=0", "plan.share=0 is out of range"),
        ("plan.alpha=0.5", "plan.alpha=0.5 is out of range"),
        ("plan.looks=[5,3]", "plan.looks=[5,3] is not a list of growing numbers"),
        ("plan.looks=[1,3]", "plan.looks=[1,3] is not a list of growing numbers"),
        (
            "plan.baseline=lstn",
            "plan.baseline=lstn is no variant of this study: type plan.baseline=gru or "
            "plan.baseline=lstm",
        ),
        ("plan.margn=1", "did you mean 'plan.margin'?"),
        ("plan.baseline=", "plan.baseline= is empty: type a name, as in plan.baseline=lstm"),
        ("plan.metric=' '", "plan.metric= is empty: type a name, as in plan.metric=accuracy"),
        ("plan.looks=5", "plan.looks=5 is not a list of numbers"),
    ],
)
def test_a_plan_that_is_none_is_refused(study, word: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        study("cell=gru,lstm", "seed=0,1", word)
    assert said in str(error.value)


VARIANTS = [
    {"cell": cell, "bptt.length": length, "seed": seed}
    for cell in ("gru", "lstm")
    for length in ("4", "8")
    for seed in ("0", "1")
]
CELLS = [one["cell"] for one in VARIANTS]


def test_a_baseline_is_one_variant() -> None:
    assert choose_baseline(None, VARIANTS, CELLS) == "cell=lstm bptt.length=4"
    assert choose_baseline("gru bptt.length=8", VARIANTS, CELLS) == "cell=gru bptt.length=8"
    assert choose_baseline("bptt.length=8 cell=gru", VARIANTS, CELLS) == "cell=gru bptt.length=8"
    several = "several variants of this study: type 'plan.baseline=\"gru bptt.length=4\"' or"
    with pytest.raises(UserError, match=several):
        choose_baseline("gru", VARIANTS, CELLS)
    with pytest.raises(UserError, match="no variant of this study"):
        choose_baseline("gru bptt.length=16", VARIANTS, CELLS)
    crossed = [{"cell": c, "seeds.init": s} for c in ("gru", "rnn") for s in ("0", "1")]
    assert choose_baseline(None, crossed, ["gru", "gru", "rnn", "rnn"]) == "cell=gru"
    # The cell may be the same in all, or the user's own.
    lengths = [{"bptt.length": n, "seed": "0"} for n in ("4", "8")]
    assert choose_baseline("bptt.length=8", lengths, ["mine", "mine"]) == "bptt.length=8"
    own = [{"cell._target_": "a.Mine"}, {"cell._target_": "b.Other"}]
    assert choose_baseline("Other", own, ["Mine", "Other"]) == "cell=Other"
    assert choose_baseline(None, [{"seed": "0"}, {"seed": "1"}], ["gru", "gru"]) == ""
    # Tasks are compared apart, so that a baseline is one of each.
    tasks = [{"cell": c, "task": t} for c in ("gru", "rnn") for t in ("charlm", "music")]
    assert choose_baseline("rnn", tasks, ["gru", "gru", "rnn", "rnn"]) == "cell=rnn"


def test_changes_with_results_at_hand_are_kept() -> None:
    nothing = dict.fromkeys(("baseline", "metric", "margin", "alpha", "share", "looks"))
    first = updated(None, nothing | {"margin": 0.1}, "cell=lstm", "t0", 0)
    assert (first.margin, first.baseline, first.time) == (0.1, "cell=lstm", "t0")
    same = updated(replace(first), nothing | {"margin": 0.1}, "cell=gru", "t1", 5)
    assert same == first  # the same margin again, and no baseline was asked for
    later = updated(replace(first), nothing | {"margin": 0.2, "baseline": "g"}, "cell=gru", "t1", 5)
    assert {(c.key, c.was, c.now, c.results) for c in later.changes} == {
        ("margin", 0.1, 0.2, 5),
        ("baseline", "cell=lstm", "cell=gru", 5),
    }
    assert later.original() == first


# --- in the report ---


def planned_study(folder: Path, **plan: object) -> Path:
    """Two cells of which one is worse, with a plan in study.json."""
    write_study(folder, cells=("gru", "lstm"), trials=6, kind="seeds", effect={"gru": 5.0})
    edit_json(folder / "study.json", plan={"baseline": "cell=lstm", "time": "2026-01-02"} | plan)
    return folder


def verdict_of(folder: Path, **asked: object):
    """The analysis of the first metric, and its only verdict."""
    options = Options.asked(draws=100, **asked)
    (made,) = make_comparisons(collect([folder]), baseline=options.baseline)
    analysis = analyse(made, made.monitor, options)
    (verdict,) = analysis.verdicts
    return analysis, verdict


def test_a_report_follows_the_plan(tmp_path: Path) -> None:
    folder = planned_study(tmp_path / "s", baseline="cell=gru", margin=0.25, alpha=0.01)
    analysis, verdict = verdict_of(folder)
    assert (verdict.baseline, analysis.margin, analysis.alpha) == ("gru", 0.25, 0.01)
    assert verdict.conclusion == "better" and not verdict.exploratory and not analysis.late
    notes = analysis.comparison.notes
    assert any(n.startswith("The baseline is gru (as planned)") for n in notes)
    (note,) = [n for n in notes if n.startswith("Planned before the first run (2026-01-02)")]
    assert "baseline gru" in note and "margin 0.25" in note and "Changed" not in note


def test_what_is_chosen_after_the_data_makes_a_verdict_exploratory(tmp_path: Path) -> None:
    folder = planned_study(tmp_path / "s")
    for asked, why in (
        ({"baseline": "gru"}, "baseline chosen after the data"),
        ({"alpha": 0.1}, "level chosen after the data"),
        ({"alpha": 0.001}, ""),  # a stricter one
        ({"baseline": "lstm", "alpha": 0.05}, ""),  # as planned
        ({"margin": 0.1}, ""),  # which only "same" rests on
    ):
        analysis, verdict = verdict_of(folder, **asked)
        assert verdict.exploratory == why, asked
        assert verdict.sentence.startswith(f"exploratory ({why}): ") == bool(why)
    analysis, verdict = verdict_of(folder, margin=1000.0)
    assert verdict.conclusion == "same"
    assert verdict.sentence.startswith("exploratory (margin chosen after the data): the same")


def test_changes_of_the_plan_are_on_the_page(tmp_path: Path) -> None:
    change = {"key": "margin", "was": None, "now": 1000.0, "time": "2026-01-03", "results": 7}
    folder = planned_study(tmp_path / "s", margin=1000.0, changes=[change])
    analysis, verdict = verdict_of(folder)
    assert verdict.exploratory == "margin changed with 7 results there"
    (note,) = plan_notes(analysis.comparison)
    assert "no margin" in note
    assert note.endswith(
        "Changed since: margin from null to 1000 on 2026-01-03, with 7 results there."
    )


def test_another_metric_than_the_plans_is_exploratory(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_study(folder, cells=("gru", "lstm"), trials=4, kind="seeds", metrics=("nats", "accuracy"))
    edit_json(folder / "study.json", plan={"baseline": "cell=lstm"})
    (made,) = make_comparisons(collect([folder]))
    first, second = (analyse(made, name, Options(**FAST)) for name in ("nats", "accuracy"))
    assert first.late == {} and second.late == {"metric": "the plan's metric is nats"}
    edit_json(folder / "study.json", plan={"baseline": "cell=lstm", "metric": "accuracy"})
    (made,) = make_comparisons(collect([folder]))
    assert "metric" in analyse(made, "nats", Options(**FAST)).late
    assert analyse(made, "accuracy", Options(**FAST)).late == {}


def test_studies_of_different_plans_and_of_none(tmp_path: Path) -> None:
    one = planned_study(tmp_path / "a")
    other = write_study(tmp_path / "b", cells=("rnn",), trials=6, kind="seeds")
    (made,) = make_comparisons(collect([one, other]))
    assert plan_notes(made)[0].startswith("No plan of the analysis is common to these runs")
    assert not analyse(made, made.monitor, Options(**FAST)).late
    edit_json(other / "study.json", plan={"baseline": "cell=lstm", "alpha": 0.01})
    (made,) = make_comparisons(collect([one, other]))
    late = analyse(made, made.monitor, Options(**FAST)).late
    assert late == {"plan": "the studies' plans differ in alpha"}


def test_a_damaged_plan_is_none(tmp_path: Path) -> None:
    folder = planned_study(tmp_path / "s", alpha="much", changes=[3], looks="x")
    analysis, verdict = verdict_of(folder)
    assert analysis.alpha == 0.05 and verdict.conclusion == "worse"
    edit_json(folder / "study.json", plan=[1, 2])
    assert verdict_of(folder)[1].conclusion == "worse"


# --- looks ---


def test_verdicts_at_planned_looks_have_the_level_of_one_look() -> None:
    made = compared({"base": normal(6, 3.0, 0), "a": normal(6, 5.0, 1)})
    plan = AnalysisPlan("cell=base", looks=[3, 6, 12], alpha=0.06)
    made.studies[0] = replace(made.studies[0], plan=plan)
    analysis = analyse(made, "nats", Options(**FAST))
    assert analysis.alpha == pytest.approx(0.02)
    assert analysis.verdicts[0].preliminary == ""
    made.studies[0] = replace(made.studies[0], plan=replace(plan, looks=[5, 10]))
    analysis = analyse(made, "nats", Options(**FAST))
    assert analysis.verdicts[0].preliminary == "6 runs of each, and the plan looks at 5, 10"


def test_looking_as_planned_keeps_the_level() -> None:
    """A study that stops at the first look with a verdict is wrong in at most 5% of cases."""
    rng = random_kit.rng()
    plan = AnalysisPlan(looks=[4, 8, 16])
    design = Design(SEEDS, paired=True)
    wrong = naive = 0
    studies = 1000  # 10,000 were wrong in 4.4%
    for _ in range(studies):
        values = rng.normal(size=(2, 16)) + 0.7 * rng.normal(size=16)
        found = []
        for level in (plan.level, plan.alpha):
            words = []
            for n in plan.looks:
                keys = list(range(n))
                samples = {
                    name: Sample(row[:n], row[:n], keys)
                    for name, row in zip("ab", values, strict=True)
                }
                options = Options(alpha=level, draws=100)
                words.append(decide(samples, "a", design, options, limits=False)["b"].conclusion)
            found.append(bool({"better", "worse"} & set(words)))
        wrong, naive = wrong + found[0], naive + found[1]
    error = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies <= 0.05 + error
    assert naive > wrong  # what the plan prevents


def test_the_plan_is_in_the_json_of_the_verdicts(tmp_path: Path) -> None:
    from odyssey.report.main import main

    folder = planned_study(tmp_path / "s", margin=0.5)
    assert main([str(folder), "--no-figures", "--draws", "100", "--alpha", "0.1"]) == 0
    found = json.loads((folder / "report" / "verdict.json").read_text())["comparisons"][0]
    assert found["plans"]["s"]["margin"] == 0.5
    (metric,) = found["metrics"]
    assert metric["chosen_late"] == {"alpha": "level chosen after the data"}
    assert metric["verdicts"][0]["exploratory"] == "level chosen after the data"


def test_a_single_run_has_no_plan(tmp_path: Path, capsys) -> None:
    from odyssey.cli import main

    assert main(["plan.margin=0.1", *WORDS, f"output_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err == (
        "error: plan.margin=0.1 is for studies: leave it out, or type -m too\n"
    )


def test_a_metric_that_no_run_measures_is_said(tmp_path: Path) -> None:
    folder = planned_study(tmp_path / "s", metric="nats_per_fram")
    analysis, verdict = verdict_of(folder)
    (note,) = plan_notes(analysis.comparison)
    assert (
        "No run measures the plan's metric, nats_per_fram (did you mean 'nats_per_frame'?)" in note
    )
    assert verdict.exploratory == "the plan's metric is nats_per_fram"
    edit_json(
        folder / "study.json", plan={"baseline": "cell=lstm", "metric": "test/nats_per_frame"}
    )
    analysis, verdict = verdict_of(folder)
    assert not verdict.exploratory and "No run measures" not in plan_notes(analysis.comparison)[0]


def test_an_edited_plan_out_of_range_is_named_as_the_files(tmp_path: Path) -> None:
    folder = planned_study(tmp_path / "s", margin=-1.0)
    with pytest.raises(UserError) as error:
        verdict_of(folder)
    (message,) = error.value.messages
    assert message.startswith(f"the plan in {folder}/study.json: plan.margin -1 is out of range")
