"""Which runs are compared with which: variants, kind, baseline, of one study."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from odyssey.errors import UserError
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Comparison
from odyssey.report.analysis.settings import format_value
from odyssey.report.io.collect import collect
from odyssey.report.io.runs import Collection
from report_kit import edit_json, plan_of, write_study
from report_run_kit import CONFIG, write_run


def only(*folders: Path, baseline: str | None = None) -> Comparison:
    (found,) = make_comparisons(collect(folders), baseline=baseline)
    return found


def labels(comparison: Comparison) -> dict[str, int]:
    return {variant.label: len(variant.runs) for variant in comparison.variants}


def test_a_search(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["nfg", "lstm", "cifg"], trials=7, diverged=0.3, missing=0.15,
        damaged=0.15, failed=0.15, interrupted=0.15,
    )  # fmt: skip
    found = only(folder)
    assert (found.key, found.title) == ("music-jsb", "music on jsb")
    assert (found.task, found.data, found.monitor, found.mode) == (
        "music", "jsb", "nats_per_frame", "min",
    )  # fmt: skip
    assert found.kind == SEARCH and found.shared_draws and found.apart == []
    assert found.searched == [
        "model.hidden_size", "optimizer.lr", "optimizer.momentum", "task.input_noise",
    ]  # fmt: skip
    assert labels(found) == {"nfg": 7, "lstm": 7, "cifg": 7}  # in the plan's order, all states
    assert found.variants[0].settings == {"cell": "nfg"} and found.baseline == "lstm"
    assert any(note.startswith("9 of 21 runs have no result") for note in found.notes)
    assert any("--baseline nfg" in note for note in found.notes)


def test_draws_that_are_not_shared(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", trials=3, draws="independent")
    assert not only(folder).shared_draws
    edit_json(folder / "study.json", draws="shared")  # which its runs belie
    assert not only(folder).shared_draws


def test_seeds_of_configurations(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["gru", "lstm"], trials=3, kind="seeds",
        compare={"bptt.length": [None, 25, 5]},
    )  # fmt: skip
    found = only(folder)
    assert found.kind == SEEDS and found.searched == [] and not found.shared_draws
    assert labels(found) == {
        f"{cell} {n}": 3 for cell in ("gru", "lstm") for n in ("length null", 25, 5)
    }
    assert found.baseline == "lstm length null"
    assert found.variants[4].settings == {"cell": "lstm", "bptt.length": "25"}
    assert found.variants[4].cell == "lstm"
    assert any('--baseline "gru length null"' in note for note in found.notes)


def test_one_cell_is_left_out_of_labels(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["gru"], trials=1, kind="single", compare={"bptt.length": [1, 10]}
    )
    found = only(folder)
    assert found.kind == SINGLE and found.baseline == "1 step"
    assert list(labels(found)) == ["1 step", "10 steps"]
    assert "Each variant has one run: how much of a difference is chance cannot be told." in (
        found.notes
    )


def test_pairs_and_groups_that_are_compared(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["gru", "rnn"], trials=2,
        compare={"clip": ["none", "norm"], "clip.threshold": [1e-3]}, space={},
    )  # fmt: skip
    edit_json(
        folder / "study.json",
        compare={"cell": ["gru", "rnn"], "clip,clip.threshold": [["clip=none"], ["clip=norm"]]},
    )
    found = only(folder)
    assert list(labels(found)) == ["gru none", "gru norm", "rnn none", "rnn norm"]  # fmt: skip
    assert found.variants[0].settings["clip.threshold"] == "0.001"


def test_a_baseline_by_its_settings_as_they_were_typed(tmp_path: Path) -> None:
    lengths = {"bptt.length": [25, 5], "optimizer.lr": [0.001]}
    folder = write_study(
        tmp_path / "s", cells=["gru", "lstm"], trials=2, kind="seeds", compare=lengths
    )
    for asked in ("gru bptt.length=5", "bptt.length=5 cell=gru", "gru 5"):
        assert only(folder, baseline=asked).baseline == "gru 5"
    assert only(folder, baseline="lstm optimizer.lr=1e-3 bptt.length=25").baseline == "lstm 25"
    for asked in ("gru", "gru bptt.length=7", "gru optimizer.lr=1e-3"):  # two variants, or none
        with pytest.raises(UserError, match="is no variant of these runs"):
            only(folder, baseline=asked)


def test_what_goes_along_with_a_setting_is_not_in_labels(tmp_path: Path) -> None:
    compare = {"bptt.length": [5, 25], "task.batch_size": [8]}
    folder = write_study(
        tmp_path / "s", cells=["gru", "rnn"], trials=2, kind="seeds", compare=compare
    )
    joined = [["bptt.length=5", "task.batch_size=8"], ["bptt.length=25", "task.batch_size=8"]]
    edit_json(
        folder / "study.json",
        compare={"cell": ["gru", "rnn"], "bptt.length,task.batch_size": joined},
    )
    assert list(labels(only(folder))) == ["gru 5", "gru 25", "rnn 5", "rnn 25"]
    # Where the first does not tell all apart, the others are needed.
    edit_json(
        folder / "study.json",
        compare={"cell": ["gru", "rnn"], "task.batch_size,bptt.length": joined},
    )
    assert list(labels(only(folder))) == ["gru 5", "gru 25", "rnn 5", "rnn 25"]


def test_labels_of_two_settings_say_which_is_which(tmp_path: Path) -> None:
    compare = {"model.hidden_size": [16, 64], "bptt.length": [5, 25], "optimizer.nesterov": [True]}
    compare["optimizer.nesterov"].append(False)
    folder = write_study(tmp_path / "s", cells=["gru"], trials=2, kind="seeds", compare=compare)
    found = list(labels(only(folder)))
    assert found[0] == "16 units 5 steps nesterov true" and len(set(found)) == 8


def test_labels_as_typed_where_their_last_parts_would_be_the_same(tmp_path: Path) -> None:
    compare = {"model.init.kind": ["normal", "uniform"], "clip.kind": ["normal", "uniform"]}
    folder = write_study(tmp_path / "s", cells=["gru"], trials=2, kind="seeds", compare=compare)
    found = list(labels(only(folder)))
    assert len(set(found)) == 4
    assert found[1] in ("kind normal kind uniform", "model.init.kind=normal clip.kind=uniform")


def test_a_baseline_of_ones_own(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["lstm_peephole", "lstm", "rnn"], trials=1)
    assert only(folder).baseline == "lstm_peephole"
    found = only(folder, baseline="rnn")
    assert found.baseline == "rnn"
    assert "The baseline is rnn, as chosen by --baseline." in found.notes
    with pytest.raises(UserError) as caught:
        only(folder, baseline="lst")
    assert str(caught.value) == (
        "--baseline lst is no variant of these runs (did you mean 'lstm'?): "
        "type one of lstm_peephole, lstm, rnn"
    )
    assert only(write_study(tmp_path / "t", cells=["rnn", "mgu"], trials=1)).baseline == "rnn"


ENDS: dict[str, dict[str, Any]] = {
    "diverged": {"diverged": 1.0},
    "failed": {"failed": 1.0},
    "interrupted": {"interrupted": 1.0},
    "missing": {"missing": 1.0},
    "damaged": {"damaged": 1.0},
    "mixed": {"missing": 0.5, "damaged": 0.6},
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("trials", [1, 2])
def test_studies_without_a_result(tmp_path: Path, ends: dict[str, Any], trials: int) -> None:
    folder = write_study(tmp_path / "s", cells=["lstm", "gru"], trials=trials, **ends)
    found = only(folder)
    assert labels(found) == {"lstm": trials, "gru": trials} and found.kind == SEARCH
    assert found.title == "music on jsb"
    none = [n for n in found.notes if n.startswith(("No run has ended yet", "No run has finished"))]
    assert len(none) == 1
    alone = write_study(tmp_path / "t", cells=["gru"], trials=trials, **ends)
    assert "There is one variant, gru: nothing to compare it with." in only(alone).notes


def test_a_variant_without_a_result_is_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["lstm", "gru"], trials=2)
    for row in plan_of(folder):
        if row["variant"] == "cell=gru":
            edit_json(folder / row["run"] / "run.json", status="diverged")
    assert "No run of gru has finished with a result." in only(folder).notes


def test_nothing_at_all() -> None:
    assert make_comparisons(Collection()) == []
    with pytest.raises(UserError, match="none, since there are no runs"):
        make_comparisons(Collection(), baseline="lstm")


def test_a_study_without_study_json(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["lstm", "gru"], trials=5, planned=False)
    found = only(folder)
    assert labels(found) == {"gru": 5, "lstm": 5} and found.kind == SEARCH
    assert sorted(found.searched) == [
        "model.hidden_size", "optimizer.lr", "optimizer.momentum", "task.input_noise",
    ]  # fmt: skip
    (note,) = [n for n in found.notes if "does not say what it searches" in n]
    assert "its variants are the cells" in note and all(k in note for k in found.searched)
    assert not found.shared_draws
    seeds = write_study(tmp_path / "t", trials=3, kind="seeds", planned=False)
    assert only(seeds).kind == SEEDS


def test_trials_csv_alone_is_lost(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", cells=["lstm", "gru"], trials=3, compare={"bptt.length": [5, 25]}
    )
    before = labels(only(folder))
    (folder / "trials.csv").unlink()
    assert labels(only(folder)) == before


def test_runs_that_are_not_in_the_plan(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["gru"], trials=3)
    write_run(folder / "gru-music-ffffffff", CONFIG | {"optimizer.lr": 0.5}, cell="gru")
    found = only(folder)
    assert labels(found) == {"gru": 3}
    assert found.apart == [
        "1 run of study s is not in its plan: what was chosen by hand is not pooled with what the "
        "study chose"
    ]
    grid = write_study(
        tmp_path / "g", cells=["gru"], trials=3, kind="seeds", compare={"bptt.length": [5, 25]}
    )
    own = CONFIG | {"cell._target_": "odyssey.cells.gru", "study": "g", "bptt.length": 25}
    data_hash = collect([grid]).runs[0].data_hash
    for seed, lr in ((17, 0.001), (18, 0.002)):
        config = own | {"seed": seed, "optimizer.lr": lr}
        write_run(grid / f"gru-music-{seed:08x}", config, cell="gru", data_hash=data_hash)
    found = only(grid)
    assert labels(found) == {"5 steps": 3, "25 steps": 4}  # another seed is welcome
    assert found.variants[1].runs[-1].seed == 17 and len(found.apart) == 1
    assert found.kind == SEEDS


def test_mixed_code_torch_and_devices_are_said(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=3)
    runs = [row["run"] for row in plan_of(folder)]
    edit_json(folder / runs[0] / "run.json", code={"sha256": "d" * 64, "torch": "2.12.0"})
    edit_json(folder / runs[1] / "run.json", versions={"torch": "2.12.0"}, device="cuda")
    notes = only(folder).notes
    expected = (
        "2 code versions (cccccccccccc: 5 runs, dddddddddddd: 1 run)",
        "2 torch versions (2.13.0+cpu: 5 runs, 2.12.0: 1 run)",
        "2 devices (cpu (x86_64, 1 threads): 5 runs, cuda: 1 run)",
    )
    assert all(any(what in note for note in notes) for what in expected)


def test_names_that_are_the_users(tmp_path: Path) -> None:
    """A cell of one's own, a variant with signs in it, a row whose quotes do not close."""
    folder = write_study(tmp_path / "s", cells=["my_cell"], trials=2)
    rows = plan_of(folder)
    for row, variant in zip(
        rows, ("cell._target_=my_cells.MyCell", "cell._target_='x"), strict=True
    ):
        row["variant"] = variant
    with (folder / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    edit_json(folder / "study.json", compare={"cell._target_": ["my_cells.MyCell"]})
    assert labels(only(folder)) == {"my_cell": 2}


def test_words() -> None:
    same = {
        "0.001": ("1e-3", 0.001, "0.0010", "1.0e-03"),
        "25": (25, "25", 25.0, "25.0", "'25'"),
        "null": (None, "null", "NULL"),
        "true": (True, "True", "true"),
        "[0.9,0.05]": ([0.9, 0.05], "[0.9, 0.05]", "[0.9,0.05]"),
        "sgd": ("sgd", '"sgd"'),
    }
    for expected, values in same.items():
        assert [format_value(value) for value in values] == [expected] * len(values)


OWN_TEXT = CONFIG | {"task.data": "file", "study": "s"}


def test_the_same_data_at_two_paths_are_one_variant(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for seed, path in enumerate(("plain.txt", "./plain.txt", "/there/plain.txt")):
        write_run(folder / f"r-music-{seed:08x}", OWN_TEXT | {"seed": seed, "task.path": path})
    found = only(folder)
    assert [len(variant.runs) for variant in found.variants] == [3] and not found.searched
    assert found.title == "music on plain.txt" and found.kind == SEEDS


def test_two_files_are_told_apart_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for n, path in enumerate(("texts/a.txt", "texts/b.txt")):
        for seed in range(2):
            config = OWN_TEXT | {"seed": seed, "task.path": path}
            write_run(folder / f"r-music-{n}000000{seed}", config, data_hash=str(n) * 64)
    found = make_comparisons(collect([folder]))
    assert sorted(c.title for c in found) == ["music on a.txt", "music on b.txt"]
    assert {c.data for c in found} == {"a.txt", "b.txt"}


def test_cells_of_one_name_and_other_source_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    own = CONFIG | {"cell._target_": "my_cells.MyCell", "study": "s"}
    for n, source in enumerate(("ab" * 32, "cd" * 32)):
        for seed in range(2 + n):
            write_run(
                folder / f"my_cell-music-{n}000000{seed}",
                own | {"seed": seed},
                cell="my_cell",
                record={"cell_source": source},
            )
    assert labels(only(folder)) == {"my_cell@ababab": 2, "my_cell@cdcdcd": 3}
