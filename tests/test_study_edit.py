"""Dropping runs of a study, renaming it, merging studies: right numbers after, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

import odyssey
from grid_kit import records, results, sweep
from odyssey.errors import UserError
from odyssey.study.drop import drop
from odyssey.study.edit_main import main
from odyssey.study.merge import merge
from odyssey.study.rename import rename
from odyssey.study.session_lock import running
from odyssey.study.state import StudyState, read_study
from odyssey.study.status import commands_left
from odyssey.study.status import main as status
from odyssey.study.summary import sections
from records_kit import hold, let_go, plan, write_plan, write_run

CELLS = ["rnn", "gru", "lstm"]
COMMAND = "python train.py -m cell=rnn,gru,lstm seed=0,1 study={}"


def make(folder: Path, cells=CELLS, seeds=(0, 1), done: int = 99, **definition) -> StudyState:
    """A study of finished runs, but for those after the first `done`."""
    rows = [
        row | {"trial": "0", "run": f"{row['run'].rpartition('-')[0]}-{_number(row['variant'])}"}
        for row in plan({"cell": list(cells), "seed": list(seeds)}, f"study={folder.name}")
    ]
    rows = [row | {"command": "0"} for row in rows]
    definition = {"sweeper": "grid", "fixed": {"task.name": "charlm"}} | definition
    compare = {"cell": list(cells), "seed": [str(seed) for seed in seeds]}
    commands = [
        {
            "time": f"2026-01-{ord(folder.name[0]) % 28 + 1:02}",
            "command": COMMAND.format(folder.name),
        }
    ]
    write_plan(folder, rows, compare=compare, commands=commands, **definition)
    (folder / "logs").mkdir()
    for place, row in enumerate(rows[:done]):
        write_run(folder, row["run"], value=2.0 + place, code=None)
        (folder / "logs" / f"{row['run']}.log").write_text(row["run"])
    return read_study(folder)


def _number(variant: str) -> str:
    """In place of the hash of a run's configuration."""
    return f"{crc32(variant.encode()):08x}"


def labels(folder: Path) -> list[str]:
    return sorted(v.label for s in sections(read_study(folder)) for v in s.variants)


def contents(folder: Path) -> dict[str, str]:
    """The files of all runs below a folder, wherever they lie."""
    return {
        file.parent.name: file.read_text()
        for file in sorted(folder.rglob("run.json"))
        if "~" not in file.parent.name
    }


# -- drop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delete", [False, True])
def test_runs_of_a_cell_go_and_the_tables_say_so(tmp_path, delete, capsys):
    folder = tmp_path / "s"
    before = make(folder, done=5)
    gone = [name for name in before.runs if name.startswith("rnn")]
    shutil.rmtree(folder / gone[0])  # as somebody who did not know of this command
    words = ["drop", str(folder), "cell=rnn", "--yes", *["--delete"] * delete]
    assert main(words) == 0
    assert "2 runs (1 not begun, 1 finished) of 6" in " ".join(capsys.readouterr().out.split())
    study = read_study(folder)
    assert list(study.runs) == [name for name in before.runs if name not in gone]
    assert study.record is not None and study.record.compare["cell"] == ["gru", "lstm"]
    assert labels(folder) == ["cell=gru", "cell=lstm"]
    aside = folder / "dropped"
    assert (aside / gone[1] / "run.json").exists() != delete
    assert (aside / "logs" / f"{gone[1]}.log").exists() != delete and aside.exists() != delete
    assert study.record.dropped[0].runs == gone and study.record.dropped[0].results == 1
    assert status([str(folder)]) == 0
    page = capsys.readouterr().out
    assert page.count("rnn") == 1 and "3 of 4 done" in page
    assert "dropped   2 runs of cell=rnn were dropped on 20" in page
    assert ", 1 of them with results\n" in page
    found = odyssey.compare(folder, metric="bits_per_char")[0]
    assert {verdict.variant for verdict in found.verdicts} == {"gru", "lstm"}
    assert any("Of study s, 2 runs of cell=rnn were dropped" in note for note in found.notes)
    # What is left is trained by the command without what was dropped.
    assert commands_left(study) == {COMMAND.format("s").replace("rnn,", ""): 1}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["cell=rnn,gru"], 4),
        (["cell=rnn", "seed=1"], 1),
        (["seed=1"], 3),
        (["seed=1", "cell=lstm,gru"], 2),
        (["cell=gru", "model.hidden_size=8"], 2),  # not compared: as the runs have it
        (["task=charlm", "optimizer=adam", "cell=lstm"], 2),
        (["cell=rnn", "optimizer.lr=3e-3", "bptt.length=null"], 0),
    ],
)
def test_all_settings_have_to_match(tmp_path, settings, expected):
    before = make(tmp_path / "s")
    if not expected:
        with pytest.raises(UserError, match="no run of .* has cell=rnn optimizer.lr=3e-3"):
            drop(tmp_path / "s", settings)
        return
    found = drop(tmp_path / "s", settings)
    assert found is not None and len(found.runs) == expected
    assert len(read_study(tmp_path / "s").runs) == len(before.runs) - expected


def test_a_run_goes_by_its_name(tmp_path):
    name = list(make(tmp_path / "s").runs)[3]
    drop(tmp_path / "s", [name])
    assert name not in read_study(tmp_path / "s").runs


def test_a_value_stays_compared_while_any_run_has_it(tmp_path):
    make(tmp_path / "s")
    drop(tmp_path / "s", ["cell=rnn", "seed=0"])
    record = read_study(tmp_path / "s").record
    assert record is not None and record.compare == {"cell": CELLS, "seed": ["0", "1"]}


def test_the_baseline_of_the_plan_is_another_where_it_was_dropped(tmp_path):
    make(tmp_path / "s", plan={"baseline": "cell=lstm"})
    drop(tmp_path / "s", ["cell=lstm"])
    record = read_study(tmp_path / "s").record
    assert record is not None and record.plan is not None
    assert record.plan.baseline == "cell=rnn"
    (change,) = record.plan.changes
    assert (change.key, change.was, change.results) == ("baseline", "cell=lstm", 6)


WRONG = [
    (["drop", "S", "cell=mgu"], "no run of S has cell=mgu: there cell is rnn, gru, lstm"),
    (["drop", "S", "cel=rnn"], "no run of S has cel=rnn: cel is not a setting"),
    (["drop", "S", "cell=rnn"], "nobody is there to be asked: type --yes too"),
    (["drop", "S", "task=charlm", "--yes"], "task=charlm is all of S: delete the folder"),
    (["drop", "S", "rnn-charlm-1"], "rnn-charlm-1 is no run of S (did you mean"),
    (["drop", "S"], "the following arguments are required: key=value"),
    (["drop", "Sx", "cell=rnn"], "Sx: there is no such folder"),
    (["rename", "S", "a/b"], "a/b is not a name for a study"),
    (["rename", "S", "wandb"], "wandb is not a name for a study"),
    (["rename", "S", ".."], ".. is not a name for a study"),
    (["rename", "S", "x" * 201], "is not a name for a study"),
    (["rename", "S", "a,b"], "a,b is not a name for a study"),
    (["rename", "S", "other"], "other is there already"),
    (["rename", "S", ""], "'' is not a name"),
    (["merge", "S", "S"], "a study cannot be merged with itself"),
    (["merge", "S", "Sx"], "Sx: there is no such folder"),
    (["mrege", "S", "S"], "mrege is not an action (did you mean 'merge'?)"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[" ".join(w) for w, _ in WRONG])
def test_what_is_wrong_is_one_sentence_and_nothing_is_done(tmp_path, words, said, capsys):
    folder = tmp_path / "s"
    make(folder)
    make(tmp_path / "other")
    before = sorted(tmp_path.rglob("[!.]*"))
    assert main([str(folder) + word[1:] if word[:1] == "S" else word for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    wanted = said.replace("S", str(folder), 1) if "S" in said[:20] else said
    assert wanted in line or said.replace("S", str(folder)) in line
    assert sorted(tmp_path.rglob("[!.]*")) == before


def test_a_dry_run_and_no_as_an_answer_do_nothing(tmp_path, monkeypatch, capsys):
    make(tmp_path / "s")
    before = sorted(tmp_path.rglob("[!.]*"))
    assert main(["drop", str(tmp_path / "s"), "cell=rnn", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "2 runs (2 finished) of 6 go to" in said and "nothing was done" in said
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert main(["drop", str(tmp_path / "s"), "cell=rnn"]) == 1
    assert sorted(tmp_path.rglob("[!.]*")) == before


def test_a_study_that_is_running_is_left_alone(tmp_path):
    folder = tmp_path / "s"
    state = make(folder)
    make(tmp_path / "t")
    edits = (
        lambda: drop(folder, ["cell=rnn"]),
        lambda: rename(folder, "u"),
        lambda: merge(tmp_path / "t", [folder]),
    )
    name = list(state.runs)[-1]
    write_run(folder, name, "running")
    holder = hold(folder / name)
    try:
        for edit in edits:
            with pytest.raises(UserError, match="is running"):
                edit()
    finally:
        let_go(holder)
    with running(folder):  # between two runs
        for edit in edits:
            with pytest.raises(UserError, match="is in use by another process"):
                edit()
    assert len(read_study(folder).runs) == 6


# -- rename ---------------------------------------------------------------------------------------


def test_a_study_has_its_new_name_everywhere(tmp_path, capsys):
    old = make(tmp_path / "s", done=5)
    (tmp_path / "s-confirmed").mkdir()
    confirms = tmp_path / "s-confirmed" / "confirms.json"
    confirms.write_text(json.dumps({"study": "s", "runs": {}, "seeds": []}))
    for run in list(old.runs.values())[:5]:
        (run.path / "overrides.yaml").write_text("- cell=gru\n- study=s\n")
    assert main(["rename", str(tmp_path / "s"), "t"]) == 0
    assert f"rename {tmp_path / 's-confirmed'} t-confirmed" in capsys.readouterr().out
    assert not (tmp_path / "s").exists() and json.loads(confirms.read_text())["study"] == "t"
    new = read_study(tmp_path / "t")
    assert new.record is not None and new.record.study == "t"
    assert list(new.runs) == list(old.runs)
    assert all("study=t" in row.overrides and "study=s" not in row.overrides for row in new.trials)
    assert commands_left(new) == {COMMAND.format("t"): 1}
    for run in list(new.runs.values())[:5]:
        assert "study: t\n" in (run.path / "config.yaml").read_text()
        assert (run.path / "overrides.yaml").read_text() == "- cell=gru\n- study=t\n"


# -- merge ----------------------------------------------------------------------------------------


def test_runs_of_two_studies_are_one(tmp_path):
    make(tmp_path / "s", cells=["rnn", "gru"], done=3)
    make(tmp_path / "t", cells=["gru", "lstm"], seeds=(1, 2), done=3)
    found = merge(tmp_path / "s", [tmp_path / "t"])
    study = read_study(tmp_path / "s")
    assert study.record is not None and study.record.variants == 7
    assert len(study.record.commands) == 2
    assert {row.command for row in study.trials if "lstm" in row.variant} == {1}
    assert study.record.compare == {"cell": CELLS, "seed": ["0", "1", "2"]}
    assert len(study.runs) == len(study.trials) == 7
    # Of the run that both had planned, the one that is finished came.
    assert study.counts()["finished"] == 6 and study.counts()["missing"] == 1
    assert (found.taken, found.twice, found.better, found.conflicts) == (3, [], [], [])
    assert commands_left(study) == {COMMAND.format("s"): 1}
    assert not (tmp_path / "t").exists() and found.aside == [tmp_path / "s" / "dropped" / "t"]
    assert all("study=s" in row.overrides for row in study.trials)
    assert len(labels(tmp_path / "s")) == 3


def test_a_run_that_both_have_is_there_once_and_conflicts_are_said(tmp_path):
    first = make(tmp_path / "s")
    make(tmp_path / "t")
    names = list(first.runs)
    write_run(tmp_path / "t", names[0], value=9.0, code=None)
    write_run(tmp_path / "s", names[1], "failed", code=None)
    before = contents(tmp_path / "s")
    found = merge(tmp_path / "s", [tmp_path / "t"])
    assert found.taken == 1 and found.better == [names[1]] and found.conflicts == [names[0]]
    assert len(found.twice) == 5
    after = {n: r.record for n, r in read_study(tmp_path / "s").runs.items()}
    assert len(after) == 6 and {r.status for r in after.values() if r} == {"finished"}
    kept = (tmp_path / "s" / names[0] / "run.json").read_text()
    assert kept == before[names[0]]
    assert (tmp_path / "s" / "dropped" / names[1] / "run.json").exists()


def test_studies_that_are_no_parts_of_one_stay_apart(tmp_path):
    make(tmp_path / "s")
    make(tmp_path / "t", fixed={"task.name": "charlm", "model.num_layers": 2})
    make(tmp_path / "u", sweeper="search", space={"optimizer.lr": {}})
    make(tmp_path / "v")
    code = {"sha256": "b" * 64, "torch": "1"}
    for name in read_study(tmp_path / "v").runs:
        write_run(tmp_path / "v", name, code=code)
    (tmp_path / "s" / "study.json").write_text(
        (tmp_path / "s" / "study.json")
        .read_text()
        .replace('"task.name": "charlm"', '"task.name": "charlm", "model.num_layers": 1')
    )
    for name in read_study(tmp_path / "s").runs:
        write_run(tmp_path / "s", name, code={"sha256": "a" * 64, "torch": "1"})
    before = contents(tmp_path)
    for other, said in (
        ("t", r"model.num_layers is 1 in .*s and 2 in .*t"),
        ("u", "a grid in .* and a search in"),
        ("v", r"runs of other code \(a{12} there, b{12} in .*type --mixed"),
    ):
        with pytest.raises(UserError, match=said):
            merge(tmp_path / "s", [tmp_path / other])
    assert contents(tmp_path) == before
    assert merge(tmp_path / "s", [tmp_path / "v"], mixed=True).taken == 0


# -- killed in the middle -------------------------------------------------------------------------


def killed(edit: Callable[[], object], at: int) -> bool:
    """Do it in a process that is killed at its `at`-th change of a file; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = [at]

        def counted(change):
            def doing(*given, **named):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*given, **named)

            return doing

        try:
            Path.rename = counted(Path.rename)
            os.replace = counted(os.replace)
            Path.unlink = counted(Path.unlink)
            edit()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


EDITS = {
    "drop": lambda s, t: drop(s, ["cell=rnn"]),
    "rename": lambda s, t: rename(s, "u"),
    "merge": lambda s, t: merge(s, [t]),
}


@pytest.mark.parametrize("name", EDITS)
def test_nothing_is_lost_by_a_kill_and_the_same_command_goes_on(tmp_path, name):
    edit = EDITS[name]

    def fresh(place: str) -> tuple[Path, Path]:
        make(tmp_path / place / "s", cells=["rnn", "gru"], seeds=(0,))
        make(tmp_path / place / "t", cells=["lstm"], seeds=(0,))
        return tmp_path / place / "s", tmp_path / place / "t"

    def end(folder: Path) -> object:
        study = read_study(folder)
        rows = [(row.run, row.variant, row.overrides, row.command) for row in study.trials]
        assert study.record is not None
        record = study.record
        dropped = [(d.settings, d.runs, d.results) for d in record.dropped]
        return rows, study.counts(), record.compare, record.commands, record.study, dropped

    folders = fresh("whole")
    every = contents(tmp_path / "whole")
    edit(*folders)
    final = "u" if name == "rename" else "s"
    expected = end(tmp_path / "whole" / final)
    at = 0
    while True:
        folders = fresh(f"at{at}")
        was_killed = killed(lambda f=folders: edit(*f), at)
        assert contents(tmp_path / f"at{at}") == every, at
        if was_killed:
            # Where only its last, needless change is missing, there is nothing left to be done.
            try:
                edit(*folders)
            except UserError as error:
                assert name == "drop" or "there is no such folder" in str(error), (at, error)
        assert end(tmp_path / f"at{at}" / final) == expected, at
        assert contents(tmp_path / f"at{at}") == every, at
        if not was_killed:
            break
        at += 1
    assert at >= 4


def test_the_same_from_python(tmp_path):
    make(tmp_path / "s")
    make(tmp_path / "t", cells=["mgu"])
    one = odyssey.study(tmp_path / "s")
    assert len(one.drop("cell=rnn", "seed=0")) == 1 and len(one) == 5
    one.merge(odyssey.study(tmp_path / "t"))
    assert len(one) == 7
    one.rename("u")
    assert one.name == "u" and one.folder == tmp_path / "u" and one.counts == {"finished": 7}


@pytest.mark.slow
def test_a_renamed_study_goes_on_as_the_old_one_would(tmp_path, capsys):
    for out in ("a", "b"):
        assert sweep(tmp_path / out, "cell=rnn", "seed=0,1") == 0
    rename(tmp_path / "a" / "s", "t")
    capsys.readouterr()
    assert sweep(tmp_path / "a", "cell=rnn,gru", "seed=0,1", "study=t") == 0
    assert "4 runs: 2 finished already, 2 to do" in capsys.readouterr().out
    assert sweep(tmp_path / "b", "cell=rnn,gru", "seed=0,1") == 0
    assert results(tmp_path / "a", "t") == results(tmp_path / "b")


@pytest.mark.slow
def test_a_merged_study_goes_on_and_a_dropped_cell_may_come_again(tmp_path, capsys):
    assert sweep(tmp_path, "cell=rnn,gru", "seed=0") == 0
    assert sweep(tmp_path / "else", "cell=lstm", "seed=0", "study=t") == 0
    merge(tmp_path / "s", [tmp_path / "else" / "t"])
    capsys.readouterr()
    assert sweep(tmp_path, "cell=rnn,gru,lstm", "seed=0") == 0
    assert "3 runs: 3 finished already, 0 to do" in capsys.readouterr().out
    whole = records(tmp_path)
    drop(tmp_path / "s", ["cell=gru"])
    assert len(records(tmp_path)) == 2
    assert sweep(tmp_path, "cell=rnn,gru,lstm", "seed=0") == 0
    assert "3 runs: 2 finished already, 1 to do" in capsys.readouterr().out
    again = records(tmp_path)
    assert {n: r["metrics"] for n, r in again.items()} == {
        n: r["metrics"] for n, r in whole.items()
    }
