"""The state of a study from its files, whatever is in them and whoever writes them meanwhile."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from odyssey.study.state import STATES, is_locked, read_run, read_study
from odyssey.study.store import search_of
from odyssey.study.summary import failures
from odyssey.training.record import SCHEMA, RunRecord
from records_kit import (
    NOW,
    RUNNING_AND_BACK,
    hold,
    let_go,
    plan,
    real_run,
    write_plan,
    write_run,
)

NAME = "gru-charlm-00000000"


@pytest.mark.parametrize("status", ["finished", "diverged", "failed", "interrupted"])
def test_a_run_that_has_ended_is_what_its_run_json_says(tmp_path: Path, status: str) -> None:
    run = read_run(write_run(tmp_path, NAME, status))
    assert (run.name, run.state, run.changed) == (NAME, status, NOW)


def test_a_real_run() -> None:
    run = read_run(real_run())
    record = json.loads((real_run() / "run.json").read_text())
    assert run.state == "finished" and run.record == RunRecord.from_dict(record)
    assert run.record.odd == []
    assert (run.monitor, run.mode) == ("bits_per_char", "min")
    assert (run.cell, run.task, run.data) == ("gru", "charlm", "hello")
    assert run.value == record["metrics"]["valid/bits_per_char"]
    assert run.test == record["metrics"]["test/bits_per_char"]
    assert not is_locked(real_run())


def test_a_run_is_running_while_a_process_holds_its_lock(tmp_path: Path) -> None:
    path = write_run(tmp_path, NAME, "running")
    assert read_run(path).state == "interrupted"
    assert read_run(path, lock=False).state == "running"
    holder = hold(path)
    assert read_run(path).state == "running"
    holder.kill()  # as kill -9 of a trainer
    holder.wait()
    assert read_run(path).state == "interrupted"


def test_a_run_that_has_not_written_yet(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert read_run(path).state == "missing"
    holder = hold(path)
    assert read_run(path).state == "running"
    let_go(holder)
    assert read_run(path).state == "missing"
    path.mkdir()
    assert read_run(path).state == "missing"


def test_asking_for_a_lock_leaves_nothing_behind_and_nobody_out(tmp_path: Path) -> None:
    path = write_run(tmp_path, NAME, "running")
    assert not is_locked(path)
    lock = tmp_path / f".{NAME}.lock"
    assert not lock.exists()
    lock.touch(mode=0o444)  # somebody else's, to be read only
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # another one who asks at this moment
        assert not is_locked(path)
    assert not is_locked(path)
    lock.chmod(0o644)
    with FileLock(lock, timeout=0):  # a second descriptor of this very process
        assert is_locked(path)
    assert not is_locked(path)


BROKEN = {
    "empty": b"",
    "cut short": b'{"status": "finished", "metr',
    "a list": b"[1, 2]",
    "a number": b"7",
    "no status": b"{}",
    "unknown status": b'{"status": "done"}',
    "a list as status": b'{"status": ["finished"]}',
    "not UTF-8": b'{"status": "finished", "cell": "\xff"}',
    "zeros, as after a power cut": b"\0" * 2000,
    "nested without end": b"[" * 200_000,
    "a number without end": b'{"status": "finished", "seed": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_damaged_run_json_is_counted_as_such(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path, NAME)
    (tmp_path / NAME / "run.json").write_bytes(content)
    study = read_study(tmp_path)
    assert study.counts()["damaged"] == 1
    run = study.runs[NAME]
    assert (run.record, run.cell, run.task, run.monitor) == (None, "gru", "charlm", "")
    assert math.isnan(run.value) and math.isnan(run.seconds) and run.error == ""
    write_run(tmp_path, NAME)
    assert read_study(tmp_path, study).counts()["finished"] == 1


def test_a_run_json_of_a_later_version_is_left_alone_and_said_to_be_one(tmp_path: Path) -> None:
    write_run(tmp_path, NAME, schema=SCHEMA + 1)
    study = read_study(tmp_path)
    assert study.counts()["damaged"] == 1 and study.runs[NAME].later
    assert "of a later version of Odyssey; update this one" in failures(study)
    write_run(tmp_path, NAME, schema="odd")
    assert read_study(tmp_path, study).runs[NAME].state == "damaged"


def test_a_run_json_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / NAME / "run.json").mkdir(parents=True)
    (tmp_path / "rnn-charlm-00000000").mkdir()
    os.mkfifo(tmp_path / "rnn-charlm-00000000" / "run.json")
    assert read_study(tmp_path).counts()["damaged"] == 2


def test_values_edited_by_hand(tmp_path: Path) -> None:
    odd = {"metrics": [1], "monitor": "loss", "data": None, "seconds": "long", "error": 3}
    run = read_run(write_run(tmp_path, NAME, **odd))
    assert run.state == "finished" and run.error == "" and run.data == "" and run.mode == "min"
    assert run.record is not None and set(run.record.odd) == odd.keys() - {"data"}
    assert math.isnan(run.value) and math.isnan(run.test) and math.isnan(run.seconds)
    run = read_run(write_run(tmp_path, NAME, value="inf", test="nan"))
    assert run.value == math.inf and math.isnan(run.test)
    run = read_run(write_run(tmp_path, NAME, monitor={"name": "accuracy", "mode": "max"}))
    assert run.mode == "max" and math.isnan(run.value)
    run = read_run(write_run(tmp_path, NAME, "failed", error="Traceback\n  boom\nValueError: no\n"))
    assert run.error == "ValueError: no"


def test_planned_runs_come_first_and_other_things_are_no_runs(tmp_path: Path) -> None:
    rows = plan({"cell": ["lstm", "gru"]})
    write_plan(tmp_path, rows)
    write_run(tmp_path, rows[1]["run"])
    write_run(tmp_path, "rnn-charlm-00000009")
    for name in ("logs", "wandb", f"{rows[1]['run']}~1"):
        write_run(tmp_path, "rnn-charlm-00000008").rename(tmp_path / name)
    (tmp_path / "figures").mkdir()
    (tmp_path / "notes.txt").touch()
    study = read_study(tmp_path)
    states = {name: run.state for name, run in study.runs.items()}
    assert list(states.items()) == [
        (rows[0]["run"], "missing"),
        (rows[1]["run"], "finished"),
        ("rnn-charlm-00000009", "finished"),
    ]
    assert study.counts() == dict.fromkeys(STATES, 0) | {"finished": 2, "missing": 1}
    assert study.notes == []


def test_a_planned_run_that_is_starting_runs(tmp_path: Path) -> None:
    rows = plan({"cell": ["lstm", "gru"]})
    write_plan(tmp_path, rows)
    holder = hold(tmp_path / rows[0]["run"])
    assert [r.state for r in read_study(tmp_path).runs.values()] == ["running", "missing"]
    let_go(holder)
    assert [r.state for r in read_study(tmp_path).runs.values()] == ["missing", "missing"]


def test_variants(tmp_path: Path) -> None:
    rows = plan({"cell": ["lstm", "gru"]})
    rows.append(rows[1] | {"trial": "7"})  # two trials of one run
    for row in rows:
        write_run(tmp_path, row["run"])
    write_run(tmp_path, "rnn-charlm-00000009")
    names = {
        label: [r.name for r in runs] for label, runs in read_study(tmp_path).variants().items()
    }
    assert names == {
        "cell=gru": ["gru-charlm-00000001"],
        "cell=lstm": ["lstm-charlm-00000000"],
        "cell=rnn": ["rnn-charlm-00000009"],
    }
    write_plan(tmp_path, rows)
    assert list(read_study(tmp_path).variants()) == ["cell=lstm", "cell=gru", "not in the plan"]
    write_plan(tmp_path, [row | {"variant": ""} for row in rows])
    assert list(read_study(tmp_path).variants()) == ["cell=lstm", "cell=gru", "not in the plan"]


def test_a_plan_edited_by_hand(tmp_path: Path) -> None:
    rows = plan({"cell": ["lstm", "gru", "rnn"]})
    write_plan(tmp_path, rows)
    file = tmp_path / "trials.csv"
    good = file.read_text()
    for name in ("../elsewhere", "", ".", "a/b", "a\0b", "x" * 300):
        file.write_text(good + f"9,{name},cell=gru,cell=gru\n")
        study = read_study(tmp_path)
        assert len(study.runs) == 3
        assert study.notes == [f"{file}: a row cannot be read and is left out"]
    file.write_text(good[: good.index("rnn") + 6])  # cut in the middle of the last row
    study = read_study(tmp_path)
    assert len(study.runs) == 2 and len(study.notes) == 1
    file.write_text("\ufeff" + good.replace("\n", "\r\n"), encoding="utf-8")  # a spreadsheet's
    study = read_study(tmp_path)
    assert len(study.runs) == 3 and study.notes == []
    file.write_text(good.replace("\n0,", "\nfirst,"))
    assert [t.trial for t in read_study(tmp_path).trials] == [None, 1, 2]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"[" * 200_000])
def test_a_damaged_study_json_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path, NAME)
    (tmp_path / "study.json").write_bytes(content)
    study = read_study(tmp_path)
    assert study.record is None and len(study.runs) == 1
    (note,) = study.notes
    assert note.startswith(f"{tmp_path / 'study.json'} is not readable JSON")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a;b\n1;2\n", b"\0\0\0"])
def test_a_damaged_trials_csv_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path, NAME)
    (tmp_path / "trials.csv").write_bytes(content)
    study = read_study(tmp_path)
    assert study.trials == [] and len(study.runs) == 1 and len(study.notes) == 1


@pytest.mark.parametrize(
    "damage",
    ["\r", "\0", '"', "x" * 200_000, "\u2028"],
    ids=["return", "zero", "quote", "endless", "separator"],
)
def test_a_damaged_row_takes_no_other_with_it(tmp_path: Path, damage: str) -> None:
    rows = plan({"cell": ["lstm", "gru", "rnn"]})
    write_plan(tmp_path, rows)
    file, names = tmp_path / "trials.csv", [row["run"] for row in rows]
    lines = file.read_text().splitlines(keepends=True)
    number, rest = lines[2].split(",cell=gru", 1)
    lines[2] = f"{damage}{number},cell={damage}gru{rest}"
    file.write_text("".join(lines), newline="")
    study = read_study(tmp_path)
    found = [trial.run for trial in study.trials]
    shown, told = [name in found for name in names], len(study.notes)
    assert shown[0] and shown[2] and (shown[1] or told == 1)
    for name in names:  # as each trial asks when it begins
        search_of(tmp_path / name)
    for name, cell in ((names[0], "lstm"), (names[2], "rnn")):
        search = search_of(tmp_path / name)
        assert search is not None and search["variant"] == f"cell={cell}"


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    study = read_study(tmp_path / "none")
    assert study.runs == {} and study.notes == [] and not (tmp_path / "none").exists()


def test_a_second_look_reads_only_what_has_changed(tmp_path: Path) -> None:
    rows = plan({"cell": ["lstm", "gru", "rnn"]})
    write_plan(tmp_path, rows)
    one, two, three = (row["run"] for row in rows)
    write_run(tmp_path, one)
    write_run(tmp_path, two)
    before = read_study(tmp_path)
    write_run(tmp_path, two, "diverged")  # as long a word, and at the same time
    write_run(tmp_path, three)
    after = read_study(tmp_path, before)
    assert after.runs[one] is before.runs[one] and after.trials is before.trials
    assert [r.state for r in after.runs.values()] == ["finished", "diverged", "finished"]
    assert before.runs[two].state == "finished"
    write_plan(tmp_path, rows[:2])
    assert read_study(tmp_path, after).trials == after.trials[:2]


def test_a_second_look_sees_who_has_gone(tmp_path: Path) -> None:
    path = write_run(tmp_path, NAME, "running")
    holder = hold(path)
    first = read_study(tmp_path)
    let_go(holder)
    second = read_study(tmp_path, first)
    holder = hold(path)
    third = read_study(tmp_path, second)
    let_go(holder)
    assert [s.runs[NAME].state for s in (first, second, third)] == [
        "running",
        "interrupted",
        "running",
    ]


@pytest.mark.slow
def test_reading_while_another_process_writes(tmp_path: Path) -> None:
    """A run that starts and ends again and again is never seen damaged or interrupted."""
    write_run(tmp_path, NAME)
    writer = subprocess.Popen(
        [sys.executable, "-c", RUNNING_AND_BACK, str(tmp_path / NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
    seen, stamps = set(), set()
    study = None
    while len(stamps) < 300:  # 150 runs
        study = read_study(tmp_path, study)
        seen.add(study.runs[NAME].state)
        stamps.add(study.runs[NAME].stamp)
    output, _ = writer.communicate("")  # the end of its input is the end of its work
    assert writer.returncode == 0 and output == "ended\n"
    assert seen == {"finished", "running"}


def test_the_files_are_read_without_torch_or_hydra() -> None:
    heavy = "{'torch', 'hydra', 'omegaconf', 'numpy', 'yaml', 'pytorch_lightning'}"
    program = f"""
import sys
import odyssey.study.state, odyssey.study.summary, odyssey.study.status, odyssey.study.display
print(sorted({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
