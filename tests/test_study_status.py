"""`python scripts/status.py`: what it says of a study, and of what is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from odyssey.study.progress import Progress, progress
from odyssey.study.state import read_run, read_study
from odyssey.study.status import commands_left, main, plain, text
from records_kit import NOW, hold, let_go, plan, replace_json, write_plan, write_run

ROOT = Path(__file__).parents[1]
SCRIPT = [sys.executable, str(ROOT / "scripts" / "status.py")]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twelve runs, in every state but running."""
    folder = tmp_path / "outputs" / "truncation"
    rows = plan({"cell": ["gru", "lstm"], "clip": ["norm", "none"], "seed": [0, 1, 2]})
    compare = {"cell": ["gru", "lstm"], "clip": ["norm", "none"], "seed": [0, 1, 2]}
    space = {"optimizer.lr": {"distribution": "log_uniform", "low": 1e-6, "high": 0.01}}
    commands = [{"time": "", "command": "python train.py -m cell=gru,lstm study=truncation"}]
    write_plan(folder, rows, compare=compare, space=space, trials=1, commands=commands)
    states = ["finished"] * 6 + ["diverged", "failed", "interrupted"]
    for place, (row, state) in enumerate(zip(rows, states, strict=False)):
        at = NOW + 60 * place
        write_run(folder, row["run"], state, at=at, value=2.0 + place, seconds=60.0, error="boom")
    (folder / rows[9]["run"]).mkdir()
    (folder / rows[9]["run"] / "run.json").write_text("{")
    return folder


def test_the_page(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 0
    page = capsys.readouterr().out
    for line in (
        "truncation: 12 runs",
        "compared  cell=gru,lstm  clip=norm,none  seed=0,1,2",
        "searched  optimizer.lr log_uniform 1e-06–0.01  (trials for each variant: 1)",
        "time left unknown, since nothing runs; the same command goes on:",
        "    python train.py -m cell=gru,lstm study=truncation",
        "charlm on hello: bits_per_char, smaller is better",
        "2 runs failed:",
    ):
        assert line in page.splitlines(), page
    counted = " ".join(page.split())
    assert (
        "7 of 12 done: 6 finished (#), 1 diverged (d), 1 failed (x), 1 damaged (?), 3 left "
        "(1 interrupted)" in counted
    )
    assert (
        "60 runs an hour: 7 done in the last 7.0 min of work (a pause of over 5.0 min ends a "
        "period)" in counted
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits(study: Path, width: int) -> None:
    for line in text(read_study(study), NOW, width).splitlines():
        assert len(line) <= width or "train.py" in line, line


def test_running_runs_and_how_far_they_are(study: Path) -> None:
    rows = plan({"cell": ["gru", "lstm"], "clip": ["norm", "none"], "seed": [0, 1, 2]})
    path = write_run(study, rows[10]["run"], "running", at=NOW, metrics={}, seconds=0.0)
    (path / "metrics.csv").write_text(
        "step,epoch,name,value,time\n"
        f"20,0.5,valid/bits_per_char,2.25,{NOW + 1}\n"
        f"1240,31,train/loss,1.5,{NOW + 5}\n"
        "1260,31.5,tra"
    )
    holders = [hold(path), hold(study / rows[11]["run"])]
    page = text(read_study(study), NOW + 8)
    assert "step 1,240  epoch 31.00  valid 2.2500   3.0 s ago  lstm clip=none seed=1" in page
    assert "  starting" in page and "2 running (>)" in " ".join(page.split())
    assert "with 2 runs at a time" in page
    for holder in holders:
        let_go(holder)


def test_progress_reads_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = write_run(tmp_path, "gru-charlm-00000000")
    run = read_run(path)
    rows = [f"{n},{n / 100},train/loss,2.0,{NOW}\n" for n in range(20, 100_000, 20)]
    rows.insert(4900, f"98000,980,valid/bits_per_char,1.75,{NOW}\n")  # beyond the last 4 kB
    (path / "metrics.csv").write_text("step,epoch,name,value,time\n" + "".join(rows))
    assert progress(run) == Progress(99980, 999.8, NOW, 1.75)
    for content in (b"", b"step,epoch,name,value,time\n", b"\xff\xfe\n\0,\n,,,,\n1,2,3\n"):
        (path / "metrics.csv").write_bytes(content)
        assert progress(run).step is None
    (path / "metrics.csv").unlink()
    assert progress(run) == Progress()


def test_json_is_json_with_the_same_numbers(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_json(study / "gru-charlm-00000000" / "run.json", {"status": "finished"})
    assert main([str(study), "--json"]) == 0

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["runs"] == 12 and found["counts"]["finished"] == 6
    assert found["time_left"] is None and found["running"] == []
    assert [f["error"] for f in found["failed"]] == ["boom", ""]
    variants = {a["variant"]: a for s in found["sections"] for a in s["variants"]}
    assert variants["cell=gru clip=none"]["best"]["valid"] == 5.0
    assert variants["cell=lstm clip=none"]["best"] is None
    assert variants["cell=lstm clip=norm"]["median"] is None
    assert plain(read_study(study), NOW)["counts"] == found["counts"]


def test_a_damaged_plan_is_said(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "study.json").write_text('{"study":')
    (study / "trials.csv").write_bytes(b"\xff\xff")
    assert main([str(study)]) == 0
    page = capsys.readouterr().out
    assert "study.json is not readable JSON" in page and "trials.csv is not readable" in page
    for odd in ({"compare": 3, "space": [1]}, {"compare": {"a": 1}, "space": {"b": {"low": "x"}}},
                {"commands": {}}, {"commands": [3]}, {"space": {"b": None}}):  # fmt: skip
        replace_json(study / "study.json", odd)
        assert main([str(study)]) == 0


def test_watch_ends_by_itself(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = plan({"cell": ["gru", "lstm"], "clip": ["norm", "none"], "seed": [0, 1, 2]})
    for row in rows[8:]:
        write_run(study, row["run"], value=1.5, seconds=60.0)
    for words in (["--watch"], ["--watch", "0.1"], ["--watch=0.1"]):
        assert main([*words, str(study)]) == 0
        page = capsys.readouterr().out
        assert page.count("truncation: 12 runs") == 1 and "nothing left to do" in page
        assert "\x1b" not in page


def test_errors_are_one_sentence(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = study.parent
    run = study / "gru-charlm-00000000"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for words, message in {
        (): "no study is given: type a study's folder",
        (f"{outputs}/trunkation",): "there is no such folder (did you mean 'truncation'?)",
        (f"{tmp_path}/none/x",): "there is no such folder, and no study beside it",
        (f"{run}",): f"{run} is one run's folder: type its study's, {study}",
        (f"{outputs}",): f"{outputs} holds studies and is none: type one of {study}",
        (f"{tmp_path}/empty",): f"{tmp_path}/empty holds no runs and no plan",
        (f"{tmp_path}/file",): f"{tmp_path}/file is a file",
        (f"{study}", "--watch", "0"): "--watch 0 is out of range: type seconds above 0",
        (f"{study}", "--watch", "-1"): "--watch -1 is out of range: type seconds above 0",
        (f"{study}", "--watch", "inf"): "--watch inf is out of range",
        (f"{study}", "--jsn"): "unrecognized arguments: --jsn; --help lists the options",
    }.items():
        assert main(words) == 2, words
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1
        assert message in err


def test_a_reader_that_has_seen_enough_is_no_error(study: Path) -> None:
    script = " ".join(SCRIPT)
    command = f"{script} {study} --watch 0.01 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout == "truncation: 12 runs\n0\n" and done.stderr == ""


def test_ctrl_c_ends_watching_quietly(study: Path) -> None:
    watcher = subprocess.Popen(
        [*SCRIPT, str(study), "--watch", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert watcher.stdout is not None and watcher.stdout.readline() == "truncation: 12 runs\n"
    watcher.send_signal(signal.SIGINT)
    _, errors = watcher.communicate()
    assert watcher.returncode == 130 and errors == ""


def test_watching_until_the_last_run_is_there(study: Path) -> None:
    watcher = subprocess.Popen(
        [*SCRIPT, str(study), "--watch", "0.05", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline())["counts"]["missing"] == 2
    rows = plan({"cell": ["gru", "lstm"], "clip": ["norm", "none"], "seed": [0, 1, 2]})
    for row in rows[8:]:
        write_run(study, row["run"], at=time.time())
    output, _ = watcher.communicate()
    assert watcher.returncode == 0
    last = json.loads(output.splitlines()[-1])["counts"]
    assert (last["finished"], last["missing"], last["interrupted"]) == (10, 0, 0)


COMMANDS = [
    {"time": "", "command": f"python train.py -m {words} study=s"}
    for words in ("cell=rnn,gru seed=0,1", "cell=lstm seed=0,1", "cell=mgu hydra.launcher.n_jobs=2")
]


def test_the_command_of_each_run_that_is_left_is_named(tmp_path: Path) -> None:
    """Also of runs of earlier commands, and of one that belongs to no study's plan."""
    rows = plan({"cell": ["rnn", "gru", "lstm"], "seed": [0, 1]})
    for row in rows:
        row["command"] = "1" if "lstm" in row["variant"] else "0"
    folder = tmp_path / "s"
    write_plan(folder, rows, compare={"cell": ["rnn", "gru", "lstm"]}, commands=COMMANDS[:2])
    for row in (rows[0], rows[5]):
        write_run(folder, row["run"])
    study = read_study(folder)
    assert commands_left(study) == {COMMANDS[1]["command"]: 1, COMMANDS[0]["command"]: 3}
    page = text(study, NOW, 80)
    expected = (
        "time left unknown, since nothing runs, and what is left is of 2 commands:\n"
        f"  1 run:\n    {COMMANDS[1]['command']}\n  3 runs:\n    {COMMANDS[0]['command']}\n"
    )
    assert expected in page
    write_run(folder, rows[4]["run"])  # all of the last command are done
    page = text(read_study(folder), NOW, 80)
    assert f"the same command goes on:\n    {COMMANDS[0]['command']}\n" in page
    path = write_run(folder, "mgu-charlm-12345678", "interrupted")
    (path / "overrides.yaml").write_text("- cell=mgu\n- task=charlm\n")
    left = plain(read_study(folder), NOW)["commands_left"]
    assert left == {"python train.py cell=mgu task=charlm": 1, COMMANDS[0]["command"]: 3}


def test_a_run_of_several_commands_is_the_latest_ones(tmp_path: Path) -> None:
    rows = plan({"cell": ["rnn"], "seed": [0, 1]})
    again = [row | {"trial": "7", "command": "2"} for row in rows[:1]]
    rows = [row | {"command": "0"} for row in rows]
    write_plan(tmp_path / "s", [*again, *rows], commands=COMMANDS)
    left = {COMMANDS[2]["command"]: 1, COMMANDS[0]["command"]: 1}
    assert commands_left(read_study(tmp_path / "s")) == left


def test_rows_of_an_earlier_version_are_the_last_commands(tmp_path: Path) -> None:
    write_plan(tmp_path / "s", plan({"cell": ["rnn", "gru"]}), commands=COMMANDS)
    assert commands_left(read_study(tmp_path / "s")) == {COMMANDS[2]["command"]: 2}
