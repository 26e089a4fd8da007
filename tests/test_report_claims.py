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
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, SEEDS, Comparison
from odyssey.report.analysis.tables import make_tables
from odyssey.report.io.collect import collect
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


def test_holm_is_over_the_tests_that_decide():
    rng = random_kit.rng()
    values: dict[str, list[float | str]] = {"base": [*rng.normal(8, 0.1, 12)]}
    values["a"] = [*rng.normal(8.1, 0.1, 12)]
    values["b"] = [*rng.normal(8.1, 0.1, 9), "diverged", "failed", "diverged"]
    values["c"] = [*rng.normal(8.05, 0.1, 11), "diverged"]
    found = analyse(compared(values), "nats", Options(**FAST)).verdicts
    assert [v.test for v in found] == ["welch", "brunner_munzel", "brunner_munzel"]
    least = 2 / math.comb(24, 12)  # a smaller p of ranks is beyond any permutation of 12 and 12
    by_ranks = [max(v.brunner_p, least) for v in found[1:]]
    deciding = [found[0].welch_p, *by_ranks]
    assert [v.holm_p for v in found] == pytest.approx(list(holm(deciding)))
    for verdict in found:
        assert (verdict.holm_p <= 0.05) == (verdict.conclusion in ("better", "worse"))
        assert f"Holm p = {verdict.holm_p:.2g}" in verdict.sentence


def test_a_few_ranks_decide_no_more_surely_than_their_orders_allow():
    # All but one pair in order: Brunner and Munzel's t is 4e-5 here, two of 252 orders are 0.008.
    made = compared({"base": [1.0, 2, 3, 4, 6], "a": [5.0, 7, 8, 9, "diverged"]})
    (verdict,) = analyse(made, "nats", Options(**FAST)).verdicts
    assert verdict.brunner_p < 1e-3 and verdict.holm_p == pytest.approx(2 / math.comb(10, 5))


def test_ranks_say_who_is_ahead_among_those_that_are_compared():
    # Of all trials the variant's are mostly worse; of the best half its are the better ones.
    base = [float(v) for v in np.linspace(8.0, 9.0, 40)]
    ahead = [*np.linspace(6.0, 7.0, 20), *np.linspace(20.0, 21.0, 20)]
    made = compared({"base": base, "a": [float(v) for v in ahead]}, kind=SEARCH)
    set_metric(made, (1, 3), "test/nats", math.inf)
    (verdict,) = analyse(made, "nats", Options(share=0.5, **FAST)).verdicts
    assert verdict.test == "brunner_munzel" and "gave an infinite value" in verdict.note
    assert verdict.improvement.value == pytest.approx(0.5)
    assert verdict.conclusion == "better"


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
        (outcome,) = [o for o in analysis.summaries[1].outcomes if o.run.name.endswith("00002")]
        value = outcome.valid if part == "valid" else outcome.test
        assert value == math.copysign(math.inf, worse)
        assert any("1 finished with an infinite value" in note for note in analysis.notes)
        made = compared(values, kind=kind, mode=mode)
        set_metric(made, (1, 2), f"{part}/nats", -worse)
        analysis = analyse(made, "nats", Options(**FAST))
        if part == "valid":
            assert len(analysis.summaries[1].outcomes) == 10
            assert any("1 finished run has no validation value" in n for n in analysis.notes)
        else:
            assert analysis.part == "valid"
        best = analysis.summaries[1].best
        assert best is not None and abs(best.valid) < 10


def test_what_is_said_of_lost_runs_fits_the_design():
    values = {"base": normal(20, 8, 0), "a": [8.0, *["diverged"] * 19]}
    search = analyse(compared(values, kind=SEARCH), "nats", Options(**FAST))
    assert any("are never among the best" in note for note in search.notes)
    assert "of the best 2 of a only 1 gave a value" in search.verdicts[0].note
    seeds = analyse(compared(values, kind=SEEDS), "nats", Options(**FAST))
    assert any("the Brunner–Munzel test decides" in note for note in seeds.notes)
    assert not any("never among" in note for note in seeds.notes)


def test_a_mean_of_the_survivors_says_so():
    made = compared({"base": [8.0, 8.2, "diverged"], "a": [8.1, 8.3, 8.2]})
    said = {
        line["variant"]: line["sentence"] for line in headline(analyse(made, "nats", Options()))
    }
    assert said["base"] == "the baseline, 3 runs: mean 8.2 of the 2 with a value"


def test_the_share_is_shown_as_it_is():
    made = compared({"base": normal(16, 8, 0), "a": normal(16, 8, 1)}, kind=SEARCH)
    analysis = analyse(made, "nats", Options(share=0.125, **FAST))
    assert any("the best 12.5% of its trials, rounded up" in note for note in analysis.notes)


def test_a_large_search_has_its_expected_values_in_the_table():
    made = compared({"base": normal(211, 8, 0), "a": normal(130, 8, 1)}, kind=SEARCH)
    analysis = analyse(made, "nats", Options(**FAST))
    (table,) = [t for t in make_tables(analysis) if t.key == "expected"]
    names = [column.name for column in table.columns[1:]]
    assert names == ["1 trial", *(f"{n} trials" for n in (2, 3, 5, 10, 20, 50, 100, 200))]
    assert all(cell is not None for cell in table.rows[0])
    assert [cell is None for cell in table.rows[1]] == [False] * 9 + [True]


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
