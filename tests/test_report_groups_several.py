"""What is never pooled: other data, task, settings or metric; and several studies in one page."""

from __future__ import annotations

from pathlib import Path

import pytest

from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.result import SEARCH, SEEDS, Comparison
from odyssey.report.io.collect import collect
from report_kit import edit_json, plan_of, write_study


def both(*folders: Path, baseline: str | None = None) -> list[Comparison]:
    found = make_comparisons(collect(folders), baseline=baseline)
    names = [run.name for comparison in found for run in comparison.runs]
    assert len(names) == len(set(names))  # no run is in two
    return found


def labels(comparison: Comparison) -> list[str]:
    return [variant.label for variant in comparison.variants]


def test_another_data_hash(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=5, data_hash="e" * 64)
    for row in plan_of(folder)[:3]:
        data = {"name": "jsb", "sha256": "a" * 64}
        edit_json(folder / row["run"] / "run.json", data=data)
    large, small = both(folder)
    assert (len(large.runs), len(small.runs)) == (7, 3)
    assert large.data_hash == "e" * 64 and small.data_hash == "a" * 64
    assert large.apart == [
        "3 runs of study s have another data hash (aaaaaaaa… instead of eeeeeeee…): compared "
        "apart, as music on jsb (data aaaaaaaa…)"
    ]
    assert small.apart[0].startswith("7 runs of study s have another data hash (eeeeeeee…")
    assert large.key != small.key and large.title != small.title


def test_runs_that_say_nothing_go_where_their_study_is(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=10, missing=0.2, damaged=0.1)
    (one,) = both(folder)
    assert len(one.runs) == 20 and one.apart == []
    done = [run.name for run in one.runs if run.done]
    edit_json(folder / done[0] / "run.json", data={"name": "jsb", "sha256": "a" * 64})
    large, small = both(folder)
    assert (len(large.runs), len(small.runs)) == (13, 1)
    for comparison in (large, small):
        said = comparison.apart[1:]
        assert [s.partition(":")[0] for s in sorted(said)] == [
            "2 runs of study s cannot be placed",
            "4 runs of study s cannot be placed",
        ]
        assert any("run.json is damaged" in s for s in said)
        assert any("they have not begun" in s for s in said)


def test_another_metric(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", trials=2)
    b = write_study(tmp_path / "b", trials=3, metrics=["accuracy"], mode="max", seed=1)
    large, small = both(a, b)
    assert (large.monitor, large.mode, small.monitor) == ("accuracy", "max", "nats_per_frame")
    assert (
        "another metric to choose by (nats_per_frame, smaller is better instead of"
        in (large.apart[0])
    )


def test_other_task_settings(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", trials=2, settings={"task.reduction": "mean"})
    b = write_study(tmp_path / "b", trials=3, settings={"task.tempo": 60}, seed=1)
    large, small = both(a, b)
    assert [s.name for s in large.studies] == ["b"] and [s.name for s in small.studies] == ["a"]
    assert "other task settings (task.reduction=mean instead of sum)" in large.apart[0]
    assert small.title == "music on jsb (task.reduction=mean)"


def test_tasks_and_data_that_are_compared(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["gru", "lstm"], trials=5, missing=0.2,
        compare={"task.data": ["jsb", "piano"]},
    )  # fmt: skip
    jsb, piano = both(folder)
    assert {jsb.title, piano.title} == {"music on jsb", "music on piano"}
    for comparison in (jsb, piano):
        assert labels(comparison) == ["gru", "lstm"] and len(comparison.runs) == 10
        assert [run.state for run in comparison.runs].count("missing") == 2
        variants = {run.compared["task.data"] for run in comparison.runs}
        assert variants == {comparison.data}
    folder = write_study(tmp_path / "t", cells=["gru"], trials=3, compare={"task": ["a", "b"]})
    assert {c.task for c in both(folder)} == {"a", "b"}
    # A setting of the task that changes neither data nor metric tells variants.
    folder = write_study(
        tmp_path / "u", cells=["gru"], trials=3, compare={"task.batch_size": [1, 8]}
    )
    (one,) = both(folder)
    assert labels(one) == ["batch_size 1", "batch_size 8"]


def test_a_fixed_setting_that_differs_between_studies(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", cells=["gru", "lstm"], trials=3, missing=0.34)
    b = write_study(
        tmp_path / "b", cells=["lstm"], trials=2, settings={"trainer.max_epochs": 3}, seed=1
    )
    (found,) = both(a, b)
    assert labels(found) == [
        "gru 10",
        "lstm 10",
        "lstm 3",
    ]
    assert [len(v.runs) for v in found.variants] == [3, 3, 2]
    assert any("a, b differ in trainer.max_epochs" in note for note in found.notes)
    assert found.baseline == "lstm 10" and found.kind == SEARCH
    chosen = both(a, b, baseline="lstm 3")
    assert chosen[0].baseline == "lstm 3"


def test_studies_of_the_same_settings_are_pooled(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", cells=["lstm", "gru"], trials=3)
    b = write_study(
        tmp_path / "b", cells=["gru", "rnn"], trials=4, seed=1,
        settings={"trainer.log_every": 7, "data_dir": "elsewhere", "logger.mode": "offline"},
    )  # fmt: skip
    (found,) = both(a, b)
    assert {v.label: len(v.runs) for v in found.variants} == {"lstm": 3, "gru": 7, "rnn": 4}
    assert not found.shared_draws  # trial 0 of one is not trial 0 of the other
    assert not any("differ" in note for note in found.notes)


def test_other_spaces_are_not_pooled(tmp_path: Path) -> None:
    lr = {"optimizer.lr": {"distribution": "log_uniform", "low": 1e-4, "high": 1e-2}}
    a = write_study(tmp_path / "a", cells=["lstm"], trials=3, space=lr)
    wide = {"optimizer.lr": lr["optimizer.lr"] | {"high": 1.0}}
    b = write_study(tmp_path / "b", cells=["lstm"], trials=3, space=wide, seed=1)
    (found,) = both(a, b)
    assert labels(found) == ["study a", "study b"]
    c = write_study(tmp_path / "c", cells=["lstm"], trials=2, kind="seeds")
    (found,) = both(a, c)
    assert labels(found) == ["lstm", "lstm lr 0.001"]
    assert any("have one configuration" in n or "has one configuration" in n for n in found.notes)


def test_a_run_of_two_studies_counts_once(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", cells=["lstm"], trials=3, missing=0.34)
    b = write_study(tmp_path / "b", cells=["lstm"], trials=5)  # the same draws, and two more
    (found,) = make_comparisons(collect([a, b]))
    assert len(found.runs) == 5 and all(run.done for run in found.runs)
    assert sum("counted once" in said for said in found.apart) == 2
    once = [said for said in found.apart if said.startswith("2 runs of study b are also in")]
    assert len(once) == 1


def test_a_baseline_that_only_one_comparison_has(tmp_path: Path) -> None:
    a = write_study(tmp_path / "a", cells=["lstm", "gru"], trials=3)
    b = write_study(tmp_path / "b", cells=["lstm", "rnn"], trials=2, data="piano", seed=1)
    first, second = both(a, b, baseline="gru")
    assert (first.baseline, second.baseline) == ("gru", "lstm")
    assert any("gru is no variant here" in note for note in second.notes)


def test_many_other_comparisons_are_counted(tmp_path: Path) -> None:
    names = [f"d{n}" for n in range(11)]
    folder = write_study(
        tmp_path / "s", cells=["gru"], trials=2, kind="seeds", compare={"task.data": names}
    )
    found = both(folder)
    assert len(found) == 11 and len({c.key for c in found}) == 11
    assert all(c.kind == SEEDS and len(c.apart) == 7 for c in found)
    assert found[0].apart[-1] == "and 4 further comparisons"


@pytest.mark.parametrize("missing", [1.0, 0.0])
def test_a_study_that_has_not_begun_beside_one_that_has(tmp_path: Path, missing: float) -> None:
    a = write_study(tmp_path / "a", cells=["gru"], trials=2)
    b = write_study(tmp_path / "b", cells=["gru"], trials=1, seed=1, missing=missing)
    assert [len(c.runs) for c in both(a, b)] == ([2, 1] if missing else [3])
