"""Studies from the command to the last run: nothing twice, nothing lost, failures counted."""

from __future__ import annotations

import json
import shlex
import time

import pytest

from grid_kit import numbers, records, results, start, sweep
from odyssey import cli_utils
from odyssey.cli import main
from run_kit import write_text

GRID = ("cell=rnn,gru", "seed=0,1")
BASIC = "hydra/launcher=basic"  # where the launcher is not what is tested: no server to start


def test_a_grid_runs_every_combination_and_says_so(tmp_path, monkeypatch, capsys):
    assert sweep(tmp_path, *GRID) == 0
    told = capsys.readouterr().out
    assert "4 runs: 4 to do" in told
    lines = [line for line in told.splitlines() if "finished" in line and "/4" in line]
    assert len(lines) == 4 and lines[-1].startswith("4/4")
    assert "charlm on hello: bits_per_char" in told  # the closing table
    assert told.endswith(f"\nreport: python scripts/report.py {tmp_path / 's'}\n")
    monkeypatch.setattr(cli_utils, "_installed", True)
    assert sweep(tmp_path, *GRID) == 0
    assert capsys.readouterr().out.endswith(f"\nreport: odyssey report {tmp_path / 's'}\n")
    found = records(tmp_path)
    assert sorted((r["cell"], r["seed"]) for r in found.values()) == [
        ("gru", 0),
        ("gru", 1),
        ("rnn", 0),
        ("rnn", 1),
    ]
    assert {r["status"] for r in found.values()} == {"finished"}
    logs = sorted(p.stem for p in (tmp_path / "s" / "logs").iterdir())
    assert logs == sorted(found)


@pytest.mark.slow
def test_the_same_command_again_passes_over_what_is_done(tmp_path, capsys):
    sweep(tmp_path, BASIC, *GRID)
    before = {p: p.read_bytes() for p in tmp_path.rglob("run.json")}
    capsys.readouterr()
    assert sweep(tmp_path, BASIC, *GRID) == 0
    assert "4 runs: 4 finished already" in capsys.readouterr().out
    assert sweep(tmp_path, BASIC, *GRID, "cell=mut1") == 0
    assert {p: p.read_bytes() for p in before} == before
    assert len(records(tmp_path)) == 6


@pytest.mark.slow
def test_a_single_run_is_the_studys_run(tmp_path, capsys):
    sweep(tmp_path, BASIC, *GRID)
    lines = (tmp_path / "s" / "trials.csv").read_text().splitlines()[1:]
    words = shlex.split(lines[2].rpartition(",")[2])
    capsys.readouterr()
    assert main(words) == 0
    assert "finished already" in capsys.readouterr().out
    alone = tmp_path / "alone"
    assert main([w for w in words if "output_dir" not in w] + [f"output_dir={alone}"]) == 0
    (name,) = results(alone)
    assert numbers(alone)[name] == numbers(tmp_path)[name]
    assert results(alone)[name] == results(tmp_path)[name]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local_pool", "basic"])
def test_a_failing_trial_stops_no_other_and_is_told(tmp_path, monkeypatch, launcher, capfd):
    monkeypatch.chdir(tmp_path)
    for name, characters in (("a", 3000), ("c", 3100)):
        write_text(tmp_path / f"{name}.txt", characters)
    (tmp_path / "b.txt").write_bytes(b"\x00 not a text \x80" * 99)
    here = (f"hydra/launcher={launcher}", "cell=rnn", "task.data=file")
    assert sweep(tmp_path, *here, "task.path=b.txt") == 1  # alone it is only tried
    here += ("task.path=a.txt,b.txt,c.txt",)
    capfd.readouterr()
    assert sweep(tmp_path, *here) == 1
    said = capfd.readouterr()
    assert "UTF-8" in said.err and "task.path=b.txt" in said.err
    (command,) = [s.strip() for s in said.err.splitlines() if "python train.py" in s]
    states = sorted(r["status"] for r in records(tmp_path).values())
    assert states == ["failed", "finished", "finished"]
    (failed,) = [r for r in records(tmp_path).values() if r["status"] == "failed"]
    assert "b.txt" in failed["error"]

    assert sweep(tmp_path, *here) == 1  # not tried again unless asked for
    assert "failed" in capfd.readouterr().out
    failed_name = next(n for n, r in records(tmp_path).items() if r["status"] == "failed")
    write_text(
        tmp_path / "b.txt", 2900
    )  # another run now: nothing was trained in the one that failed
    assert sweep(tmp_path, *here) == 0
    found = {n: r for n, r in records(tmp_path).items() if "~" not in n}
    assert len(found) == 3 and {r["status"] for r in found.values()} == {"finished"}
    assert (tmp_path / "s" / f"{failed_name}~1" / "run.json").exists()
    assert failed_name not in (tmp_path / "s" / "trials.csv").read_text()
    words = shlex.split(command.partition("train.py")[2])
    assert main(words) == 0
    assert "finished already" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_data_that_changed_meanwhile_are_not_mixed_in(tmp_path, monkeypatch, mixed, capfd):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "a.txt")
    here = (BASIC, "cell=rnn,gru", "task.data=file", "task.path=a.txt")
    here += (f"resume.mixed={mixed}".lower(),)
    assert sweep(tmp_path, *here) == 0
    write_text(tmp_path / "a.txt", characters=2000)
    before = {p: p.read_bytes() for p in tmp_path.rglob("run.json")}
    assert sweep(tmp_path, *here, "cell=rnn,gru,mut1") == (0 if mixed else 2)
    said = capfd.readouterr().err
    assert ("study=s has runs of task=charlm task.data=file task.path=a.txt" in said) != mixed
    assert {p: p.read_bytes() for p in before} == before
    states = [r["status"] for r in records(tmp_path).values()]
    assert states == ["finished"] * (5 if mixed else 2)  # with the new data all are other runs


@pytest.mark.slow
def test_a_study_is_the_same_from_another_folder(tmp_path, monkeypatch, capfd):
    """By the content of its text, not by how its path is typed."""
    (tmp_path / "there").mkdir()
    write_text(tmp_path / "a.txt")
    monkeypatch.chdir(tmp_path)
    assert sweep(tmp_path, BASIC, "cell=rnn,gru", "task.data=file", "task.path=a.txt") == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("run.json")}
    capfd.readouterr()
    monkeypatch.chdir(tmp_path / "there")
    assert sweep(tmp_path, BASIC, "cell=rnn,gru", "task.data=file", "task.path=../a.txt") == 0
    assert "2 runs: 2 finished already" in capfd.readouterr().out
    assert {p: p.read_bytes() for p in tmp_path.rglob("run.json")} == before

    write_text(tmp_path / "b.txt", characters=2000)
    assert sweep(tmp_path, BASIC, "cell=rnn,gru", "task.data=file", "task.path=../b.txt") == 2
    said = capfd.readouterr().err
    assert "study=s is taken by another configuration: task.path is" in said


def test_two_paths_of_the_same_content_are_not_compared(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "a.txt")
    assert sweep(tmp_path, BASIC, "cell=rnn", "task.data=file", "task.path=a.txt,./a.txt") == 2
    assert capfd.readouterr().err == (
        "error: task.path=a.txt and task.path=./a.txt have the same content, so that they would be "
        "one run: type one of them\n"
    )
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_diverged_run_is_a_result(tmp_path, capsys):
    words = (BASIC, "cell=rnn", "optimizer=sgd", "clip=none", "optimizer.lr=0.1,1e38", "seed=0")
    assert sweep(tmp_path, *words) == 0
    assert sorted(r["status"] for r in records(tmp_path).values()) == ["diverged", "finished"]
    capsys.readouterr()
    assert sweep(tmp_path, *words) == 0
    assert "1 finished and 1 diverged already" in capsys.readouterr().out


@pytest.mark.slow
def test_resume_force_trains_all_anew_once(tmp_path):
    sweep(tmp_path, BASIC, *GRID)
    first = results(tmp_path)
    assert sweep(tmp_path, BASIC, *GRID, "resume=force") == 0
    now = {name: r for name, r in results(tmp_path).items() if "~" not in name}
    assert now == first
    assert sum("~1" in p.name for p in (tmp_path / "s").iterdir() if p.is_dir()) == 4
    assert not [p for p in (tmp_path / "s").iterdir() if "~2" in p.name]


@pytest.mark.slow
def test_a_search_and_more_trials_later(tmp_path):
    search = (
        BASIC,
        "hydra/sweeper=search",
        "cell=rnn,gru",
        "optimizer.lr=tag(log,interval(1e-4,1e-1))",
        "model.hidden_size=int(interval(2,9))",
    )
    assert sweep(tmp_path, *search, "hydra.sweeper.trials=2") == 0
    first = {p: p.read_bytes() for p in tmp_path.rglob("run.json")}
    assert len(first) == 4
    assert sweep(tmp_path, *search, "hydra.sweeper.trials=3") == 0
    assert len(records(tmp_path)) == 6
    assert {p: p.read_bytes() for p in first} == first
    definition = json.loads((tmp_path / "s" / "study.json").read_text())
    assert definition["trials"] == 3 and len(definition["commands"]) == 2


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path):
    words = ("cell=rnn,gru,mut1", "seed=0,1", "trainer.max_steps=150", "trainer.val_every=75")
    other = start(tmp_path, *words)
    while not (tmp_path / "s").exists():
        assert other.poll() is None, other.communicate()[0]
        time.sleep(0.01)
    assert sweep(tmp_path, *words) == 0  # this one begins as soon as the other does
    output = other.communicate(timeout=200)[0]
    assert other.returncode == 0, output
    assert len(records(tmp_path)) == 6
    assert {r["status"] for r in records(tmp_path).values()} == {"finished"}
    for rows in numbers(tmp_path).values():  # no row twice: no run was trained by both
        assert len(rows) == len(set(rows))
    opened = [
        (tmp_path / "s" / "logs" / f"{name}.log").read_text().count("run folder")
        for name in records(tmp_path)
    ]
    assert opened == [1] * 6
    quiet = tmp_path / "quiet"
    assert sweep(quiet, *words) == 0
    assert results(quiet) == results(tmp_path) and numbers(quiet) == numbers(tmp_path)
