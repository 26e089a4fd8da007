"""What the page says of its numbers: which test decides, what stands for lost runs, safe names."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey.errors import UserError
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.notes import comparison_notes
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, SEEDS, Comparison
from odyssey.report.analysis.tables import make_tables
from odyssey.report.io.collect import collect
from odyssey.report.io.formats import to_csv, to_latex
from odyssey.report.main import main
from odyssey.report.payload import headline
from odyssey.report.pipeline import safe_file_names
from odyssey.report.stats.tests import holm
from report_kit import edit_json, plan_of, write_study
from test_report_analyse import FAST, compared, normal


def set_metric(made: Comparison, place: tuple[int, int], name: str, value: float) -> None:
    """Change a metric of a run, by the places of its variant and itself."""
    runs = made.variants[place[0]].runs
    assert isinstance(runs, list)
    run = runs[place[1]]
    runs[place[1]] = replace(run, metrics={**run.metrics, name: value})


def test_both_questions_are_corrected_together():
    rng = random_kit.rng()
    values: dict[str, list[float | str]] = {"base": [*rng.normal(8, 0.1, 12)]}
    values["a"] = [*rng.normal(8.1, 0.1, 12)]
    values["b"] = [*rng.normal(8.1, 0.1, 4), *["diverged", "failed"] * 4]
    values["c"] = [*rng.normal(8.05, 0.1, 11), "diverged"]
    found = analyse(compared(values), "nats", Options(**FAST)).verdicts
    found.sort(key=lambda v: v.variant)
    decisions = [v.decision for v in found]
    assert [d.lost[0] for d in decisions] == [0, 8, 1]
    deciding = [*(d.p for d in decisions), *(d.loss_p for d in decisions)]
    corrected = [*(d.holm_p for d in decisions), *(d.loss_holm_p for d in decisions)]
    assert corrected == pytest.approx(list(holm(deciding)), nan_ok=True)
    assert math.isnan(decisions[0].loss_p)  # nothing was lost in either, and it still counts
    for verdict, d in zip(found, decisions, strict=True):
        decided = d.holm_p <= 0.05 or d.loss_holm_p <= 0.05
        assert decided == (verdict.conclusion in ("better", "worse"))
        shown = d.loss_holm_p if d.test == "losses" else d.holm_p
        assert f"Holm p = {shown:.2g}" in verdict.sentence


def test_the_best_are_compared_and_not_all_trials():
    # Of all trials the variant's are mostly worse; of the best half its are the better ones.
    base = [float(v) for v in np.linspace(8.0, 9.0, 40)]
    ahead = [*np.linspace(6.0, 7.0, 20), *np.linspace(20.0, 21.0, 20)]
    made = compared({"base": base, "a": [float(v) for v in ahead]}, kind=SEARCH)
    (verdict,) = analyse(made, "nats", Options(share=0.5, **FAST)).verdicts
    assert verdict.decision.test == "reselection"
    assert verdict.improvement.value == pytest.approx(0.5)
    assert verdict.conclusion == "promising"  # a search alone does not say "better"
    assert verdict.sentence.startswith("promising: better than base by")


def test_numbers_of_trials_that_differ_are_named():
    made = compared({"base": normal(20, 8, 0), "a": normal(21, 8, 1)}, kind=SEARCH)
    (verdict,) = analyse(made, "nats", Options(**FAST)).verdicts
    assert "21 and 20 trials" in verdict.note


def test_so_few_trials_that_nothing_could_decide():
    made = compared({"base": [8.0, 8.1, 8.2], "a": [1.0, 1.1, 1.2]}, kind=SEARCH)
    (verdict,) = analyse(made, "nats", Options(**FAST)).verdicts
    assert verdict.conclusion == "cannot tell" and verdict.decision.needed == 4
    assert verdict.sentence.startswith("cannot tell (needs 4 of each): whatever so few trials")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("kind", [SEARCH, SEEDS])
@pytest.mark.parametrize("size", [math.inf, 1.7e308])
def test_a_value_beyond_all_bounds_is_the_worst_or_none(mode: str, kind: str, size: float):
    worse = size if mode == "min" else -size
    values = {"base": normal(11, 8, 0), "a": normal(11, 8, 1)}
    for part in ("valid", "test"):
        made = compared(values, kind=kind, mode=mode)
        set_metric(made, (1, 2), f"{part}/nats", worse)
        analysis = analyse(made, "nats", Options(**FAST))
        (a,) = [s for s in analysis.summaries if s.variant.label == "a"]
        (outcome,) = [o for o in a.outcomes if o.run.name.endswith("00002")]
        value = outcome.valid if part == "valid" else outcome.test
        assert value == math.copysign(math.inf, worse)
        assert any("1 finished with an infinite value" in note for note in analysis.notes)
        made = compared(values, kind=kind, mode=mode)
        set_metric(made, (1, 2), f"{part}/nats", -worse)
        analysis = analyse(made, "nats", Options(**FAST))
        (a,) = [s for s in analysis.summaries if s.variant.label == "a"]
        if part == "valid":
            assert len(a.outcomes) == 10
            assert any("1 finished run has no validation value" in n for n in analysis.notes)
        else:
            assert analysis.part == "valid"
        best = a.best
        assert best is not None and abs(best.valid) < 10


def test_what_is_said_of_lost_runs_fits_the_design():
    values = {"base": normal(20, 8, 0), "a": [8.0, *["diverged"] * 19]}
    search = analyse(compared(values, kind=SEARCH), "nats", Options(**FAST))
    assert any("are never among the best" in note for note in search.notes)
    assert "of the best 2 of a only 1 gave a value" in search.verdicts[0].note
    seeds = analyse(compared(values, kind=SEEDS), "nats", Options(**FAST))
    assert any("is a question of its own" in note for note in seeds.notes)
    assert not any("never among" in note for note in seeds.notes)


def test_a_mean_of_the_survivors_says_so():
    made = compared({"base": [8.0, 8.2, "diverged"], "a": [8.1, 8.3, 8.2]})
    said = {
        line["variant"]: line["sentence"] for line in headline(analyse(made, "nats", Options()))
    }
    assert said["base"] == "mean 8.2 of 2 of 3 runs, 1 lost; the baseline"
    assert said["a"].startswith("mean 8.3 of 3 runs; ")


def test_variants_with_lost_runs_come_after_those_without():
    values = {"base": normal(5, 8, 0), "kept": normal(5, 8, 3)}
    values["lost"] = [7.9, "diverged", 8.0, "diverged", 8.1]
    lines = headline(analyse(compared(values), "nats", Options(**FAST)))
    assert [line["variant"] for line in lines][-1] == "lost"
    assert "3 of 5 runs, 2 lost" in lines[-1]["sentence"]


def test_the_share_is_shown_as_it_is():
    made = compared({"base": normal(16, 8, 0), "a": normal(16, 8, 1)}, kind=SEARCH)
    analysis = analyse(made, "nats", Options(share=0.125, **FAST))
    assert any("the best 12.5% of its trials, rounded up" in note for note in analysis.notes)


def test_a_large_search_has_its_tuning_curve_in_the_table():
    made = compared({"base": normal(211, 8, 0), "a": normal(130, 8, 1)}, kind=SEARCH)
    analysis = analyse(made, "nats", Options(**FAST))
    (table,) = [t for t in make_tables(analysis) if t.key == "tuning"]
    names = [column.name for column in table.columns[1:]]
    assert names == ["1 trial", *(f"{n} trials" for n in (2, 3, 5, 10, 20))]
    rows = {row[0]: row for row in table.rows}
    assert all(cell is not None for cell in rows["base"])
    assert [cell is None for cell in rows["a"]] == [False] * 6 + [True]


def test_seeds_of_two_studies_that_differ_in_a_setting_are_no_search(tmp_path: Path):
    one = write_study(tmp_path / "one", trials=3, kind="seeds")
    two = write_study(
        tmp_path / "two", trials=4, kind="seeds", seed=9, settings={"optimizer.lr": 0.5}
    )
    (found,) = make_comparisons(collect([one, two]))
    assert found.kind == SEEDS and found.searched == [] and len(found.variants) == 6


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**32}, {"alpha": 1e-300}])
def test_options_that_the_statistics_cannot_take(wrong: dict):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))} "):
        Options(**wrong)


def test_names_of_files_stay_in_their_folder():
    labels = ["nats_per_frame", "../../up", "/root/x", "..", "", "a/b", "A-b", "x" * 300, "x" * 299]
    found = safe_file_names(labels)
    assert found[0] == labels[0] and len({name.lower() for name in found}) == len(labels)
    for name in found:
        assert Path(name).name == name and name[0] != "." and len(name) < 100


def test_a_metric_that_is_a_path_writes_nowhere_else(tmp_path: Path):
    folder = write_study(tmp_path / "deep" / "s", cells=("gru", "lstm"), trials=3, kind="seeds")
    for place, row in enumerate(plan_of(folder)):
        metrics = {"valid/nats_per_frame": 8.0 + place, "test/nats_per_frame": 8.5}
        for name in ("../../../../up", str(tmp_path / "away"), "\x1b[31m"):
            metrics |= {f"valid/{name}": 1.0 + place, f"test/{name}": 2.0}
        edit_json(folder / row["run"] / "run.json", metrics=metrics)
    assert main([str(folder), "--no-figures", "--draws", "100"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    assert [p.name for p in folder.parent.iterdir()] == ["s"]
    made = next((folder / "report" / "tables").iterdir())
    assert len(list(made.iterdir())) == 4


def test_a_label_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_study(
        tmp_path / "s", cells=("gru", "lstm"), trials=2, kind="seeds", planned=False
    )
    for file in folder.glob("gru-*/run.json"):
        edit_json(file, cell="\x1b[31mred")
    assert main([str(folder), "--no-figures", "--draws", "100"]) == 0
    said = capsys.readouterr().out
    assert "red" in said and "\x1b" not in said


def test_the_table_for_a_paper():
    values = {"base": [3.0, 3.2, 3.1, 3.0], "a": [5.0, 5.123, 5.1, "diverged"], "b": [3.1] * 4}
    table = next(
        t
        for t in make_tables(analyse(compared(values, gap=0), "nats", Options(**FAST)))
        if t.key == "paper"
    )
    assert [column.name for column in table.columns] == ["variant", "parameters", "nats", "n"]
    cells = {row[0]: row[2:] for row in table.rows}
    assert cells["base"] == ["3.075 ± 0.096", "4"]
    assert cells["a"] == ["5.074 ± 0.065†", "3 of 4"]
    assert cells["b"] == ["3.100 ± 0.000", "4"]
    assert r"5.074 $\pm$ 0.065\dag{}" in to_latex(table) and "5.074 ± 0.065†" in to_csv(table)


# --- What was planned ---


def set_config(made: Comparison, variant: int, **settings: float) -> None:
    runs = made.variants[variant].runs
    assert isinstance(runs, list)
    for i, run in enumerate(runs):
        config = {**run.config, **{k.replace("__", "."): v for k, v in settings.items()}}
        runs[i] = replace(run, config=config)


def alike(made: Comparison, *variants: int) -> None:
    """Let all runs have the same settings."""
    for variant in variants:
        set_config(made, variant, optimizer__lr=0.001, model__hidden_size=32)


def test_runs_made_by_hand_that_differ_in_more_than_the_cell_get_no_verdict():
    values = {"lstm": normal(2, 3.0, 0, 0.01), "gru": normal(2, 5.0, 1, 0.01)}
    made = compared(values, planned=0)
    alike(made, 0, 1)
    (fair,) = analyse(made, "nats", Options(**FAST)).verdicts
    assert fair.conclusion != "cannot tell" and "differs" not in fair.note
    set_config(made, 0, trainer__max_steps=40)
    set_config(made, 1, trainer__max_steps=4, optimizer__lr=0.0001, cell__forget_bias=1.0)
    (verdict,) = analyse(made, "nats", Options(margin=9.0, **FAST)).verdicts
    assert verdict.conclusion == "cannot tell"
    assert "no study planned these runs, which differ in" in verdict.sentence
    assert "trainer.max_steps (4 against 40)" in verdict.sentence
    assert "optimizer.lr (0.0001 against 0.001)" in verdict.sentence
    assert "forget_bias" not in verdict.sentence  # that comes with the cell


def test_a_plan_may_differ_in_more_and_says_so():
    made = compared({"lstm": normal(5, 3.0, 0), "gru": normal(5, 5.0, 1)})
    alike(made, 0, 1)
    set_config(made, 1, optimizer__lr=0.0001)
    (verdict,) = analyse(made, "nats", Options(**FAST)).verdicts
    assert verdict.conclusion == "worse"
    assert "also differs in optimizer.lr (0.0001 against 0.001)" in verdict.note


def test_settings_that_somebody_varied_by_hand_are_no_search():
    values = {"lstm": normal(30, 3.0, 0), "gru": normal(30, 5.0, 1)}
    (verdict,) = analyse(compared(values, kind=SEARCH, planned=0), "nats", Options(**FAST)).verdicts
    assert verdict.conclusion == "cannot tell" and "they are not a search" in verdict.sentence


def test_a_verdict_before_the_end_is_preliminary():
    values: dict = {"base": normal(6, 3.0, 0), "a": [*normal(5, 5.0, 1), "missing"]}
    values["b"] = normal(6, 3.0, 2)
    found = analyse(compared(values), "nats", Options(**FAST)).verdicts
    found.sort(key=lambda v: v.variant)
    assert found[0].preliminary == "1 run to come" and found[0].conclusion == "worse"
    assert found[0].sentence.startswith("preliminary (1 run to come): worse than base")
    assert found[1].preliminary == "" and not found[1].sentence.startswith("preliminary")


def test_a_study_that_grew_after_results_says_so():
    made = compared({"base": normal(6, 3.0, 0), "a": normal(6, 5.0, 1)})
    for variant in made.variants:
        assert isinstance(variant.runs, list)
        for i, run in enumerate(variant.runs):
            variant.runs[i] = replace(run, started=f"2030-01-0{1 + i // 3}T12:00:00+00:00")
    first = {"command": "train.py -m seed=0,1,2", "time": "2030-01-01T11:00:00+00:00"}
    second = {"command": "train.py -m seed=0,1,2,3,4,5", "time": "2030-01-02T11:00:00+00:00"}
    for commands, grew in (
        ((first,), False),
        ((first, first), False),
        ((first, second), True),
        (({**first, "time": "2029-01-01"}, {**second, "time": "2029-01-02"}), False),
        # The same runs with more workers, and a time of another zone.
        ((first, {**second, "command": "train.py -m seed=0,1,2 hydra.launcher.n_jobs=2"}), False),
        ((first, {**second, "time": "2030-01-01T23:00:00-1200"}), True),
        ((first, {**second, "time": "nonsense"}), False),
    ):
        made.studies[0] = replace(made.studies[0], commands=commands)
        (verdict,) = analyse(made, "nats", Options(**FAST)).verdicts
        assert (verdict.preliminary == "study s grew after its first results") == grew


def test_runs_without_a_test_part_and_their_caveats_are_told(tmp_path: Path):
    untested, caveat = "there is no test part", "40% of the words are <unk>"
    folder = write_study(
        tmp_path / "s", cells=("gru", "lstm"), trials=3, kind="seeds", tested=False
    )
    for row in plan_of(folder)[:4]:
        edit_json(folder / row["run"] / "run.json", untested=untested, caveat=caveat)
    (found,) = make_comparisons(collect([folder]))
    notes = comparison_notes(found)
    assert any(note.startswith("4 of 6 runs had no test part") for note in notes)
    assert f"Of 4 runs: {caveat}." in notes
    other = write_study(tmp_path / "other", cells=("gru", "lstm"), trials=3, kind="seeds")
    (tested,) = make_comparisons(collect([other]))
    assert not any("no test part" in note for note in comparison_notes(tested))
