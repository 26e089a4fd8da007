"""What one sees of a study that runs: every end of a run, once, whoever trained it."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from odyssey.study.display import Display
from odyssey.study.state import read_study
from records_kit import hold, let_go, plan, trial_rows, write_plan, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six runs, of which three are done and one was interrupted."""
    folder = tmp_path / "truncation"
    write_plan(folder, ROWS)
    write_run(folder, NAMES[0], value=3.0)
    write_run(folder, NAMES[1], value=2.0)
    write_run(folder, NAMES[2], "diverged")
    write_run(folder, NAMES[3], "interrupted")
    return folder


ROWS = plan({"cell": ["gru", "lstm"], "seed": [0, 1, 2]})
NAMES = [row["run"] for row in ROWS]
OPENING = "6 runs: 2 finished and 1 diverged already, 1 goes on, 2 to do"


def display(folder: Path, stream: io.StringIO, **options: bool) -> Display:
    return Display(
        folder, trial_rows(ROWS), read_study(folder), stream, options.pop("bar", False), **options
    )


def wait_for(text: str, stream: io.StringIO) -> None:
    """Until the display says it by itself."""
    until(lambda: text in stream.getvalue(), stream)


def until(there: Callable[[], bool], stream: io.StringIO) -> None:
    for _ in range(3000):
        if there():
            return
        time.sleep(0.01)
    raise AssertionError(f"not within 30 s: {stream.getvalue()}")


@pytest.mark.slow
def test_each_run_that_ends_is_one_line(folder: Path) -> None:
    stream = io.StringIO()
    with display(folder, stream):
        write_run(folder, NAMES[3], value=1.25, test=1.5, seconds=61.0)
        wait_for("4/6 finished  1.2500 (test 1.5000)     61 s  lstm seed=0", stream)
        write_run(folder, NAMES[4], "failed", error="Traceback\nValueError: no\n")
        wait_for("5/6 failed", stream)
        why = {"error": "the loss is nan", "seconds": 0.1}
        write_run(folder, NAMES[5], "diverged", value=9.0, test="nan", **why)
        wait_for("6/6 diverged", stream)
    assert stream.getvalue().splitlines() == [
        OPENING,
        "4/6 finished  1.2500 (test 1.5000)     61 s  lstm seed=0  (best of lstm so far)",
        "5/6 failed    lstm seed=1: ValueError: no",
        "6/6 diverged  9.0000 (test -)         0.1 s  lstm seed=2  (the loss is nan)",
    ]


def test_the_last_look_misses_nothing(folder: Path) -> None:
    stream = io.StringIO()
    shown = display(folder, stream)
    with shown:
        wait_for("to do", stream)
        for name in NAMES[3:]:
            write_run(folder, name, value=5.0, seconds=1.0)
    assert [line[:12] for line in stream.getvalue().splitlines()[1:]] == [
        "4/6 finished",
        "5/6 finished",
        "6/6 finished",
    ]
    length = len(stream.getvalue())
    shown.stop()  # again, and nothing more
    assert len(stream.getvalue()) == length


@pytest.mark.slow
def test_only_what_is_better_is_the_best_so_far(folder: Path) -> None:
    stream = io.StringIO()
    (folder / NAMES[2] / "run.json").unlink()
    with display(folder, stream):
        write_run(folder, NAMES[2], value=2.5)  # the best of gru is 2.0
        wait_for("gru seed=2", stream)
        for name, value in zip(NAMES[3:], (3.0, "nan", 2.75), strict=True):
            write_run(folder, name, value=value)
            wait_for(f"seed={NAMES[3:].index(name)}", stream)
    best = [line for line in stream.getvalue().splitlines() if "best" in line]
    assert [line.split("  ")[-2:] for line in best] == [
        ["lstm seed=0", "(best of lstm so far)"],
        ["lstm seed=2", "(best of lstm so far)"],
    ]


@pytest.mark.slow
def test_a_run_of_another_process_is_reported(folder: Path) -> None:
    """Also its death, and that it goes on afterwards and finishes."""
    path = folder / NAMES[4]
    holder = hold(path)
    write_run(folder, NAMES[4], "running", metrics={})
    stream = io.StringIO()
    with display(folder, stream):
        wait_for("1 running in another process, 1 goes on, 1 to do", stream)
        holder.kill()
        holder.wait()
        wait_for("3/6 interrupted  lstm seed=1", stream)
        holder = hold(path)
        write_run(folder, NAMES[4], "running", metrics={}, steps=3)
        write_run(folder, NAMES[4], value=1.0)
        let_go(holder)
        wait_for("4/6 finished  1.0000", stream)
    assert len(stream.getvalue().splitlines()) == 3


def test_a_failed_run_that_is_retried_and_fails_again(folder: Path) -> None:
    write_run(folder, NAMES[4], "failed", error="no")
    stream = io.StringIO()
    with display(folder, stream):
        wait_for("1 failed before, 1 goes on, 1 to do", stream)
        write_run(folder, NAMES[4], "failed", error="no")
        wait_for("4/6 failed    lstm seed=1: no", stream)
    assert stream.getvalue().count("lstm seed=1") == 1


def test_all_anew(folder: Path) -> None:
    stream = io.StringIO()
    with display(folder, stream, anew=True):
        wait_for("6 runs: all anew", stream)
        (folder / NAMES[0]).rename(folder / f"{NAMES[0]}~1")
        write_run(folder, NAMES[0], value=1.0, seconds=1.0)
        wait_for("1/6 finished", stream)
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.slow
def test_a_log_is_named_and_damage_is_said(folder: Path) -> None:
    log = folder / "logs" / f"{NAMES[4]}.log"
    log.parent.mkdir()
    log.touch()
    stream = io.StringIO()
    with display(folder, stream):
        write_run(folder, NAMES[4], "failed", error="no")
        wait_for(f"lstm seed=1: no (log {log})", stream)
        (folder / NAMES[3] / "run.json").write_text("{")
        wait_for(f"5/6 damaged   lstm seed=0: {folder / NAMES[3] / 'run.json'} is not", stream)


def test_trials_of_one_run_count_once(folder: Path) -> None:
    stream = io.StringIO()
    rows = [*ROWS, ROWS[0] | {"trial": "6"}]
    with Display(folder, trial_rows(rows), read_study(folder), stream, False):
        pass
    assert stream.getvalue() == f"7 trials, {OPENING}\n"
    stream = io.StringIO()
    with Display(folder, trial_rows(ROWS[4:]), read_study(folder), stream, False):
        pass
    assert stream.getvalue() == "2 runs: 2 to do\n"


def test_the_bar_has_what_is_done_and_the_best_of_each_cell(folder: Path) -> None:
    stream = io.StringIO()
    holder = hold(folder / NAMES[5])
    write_run(folder, NAMES[5], "running", metrics={}, seconds=0.0, at=time.time())
    write_run(folder, NAMES[0], value=3.0, seconds=3600.0)
    write_run(folder, NAMES[1], value=2.0, seconds=3600.0)
    with display(folder, stream, bar=True):
        wait_for("3/6 [00:00, 1 running, 3.0 h left]", stream)
        wait_for("best so far: gru 2.0000", stream)
        write_run(folder, NAMES[3], value=1.5, seconds=3600.0)
        write_run(folder, NAMES[4], "failed", error="no")
        wait_for("best so far: lstm 1.5000, gru 2.0000", stream)
        until(lambda: "1 running, 1 failed" in stream.getvalue(), stream)
    let_go(holder)
    assert "4/6 finished  1.5000" in stream.getvalue()
    assert stream.getvalue().rstrip("\r\n ").endswith("left]") and "5/6 [" in stream.getvalue()


@pytest.mark.parametrize("bar", [True, False])
def test_a_stream_that_is_closed_costs_nothing(folder: Path, bar: bool) -> None:
    stream = io.StringIO()
    with display(folder, stream, bar=bar):
        wait_for("to do", stream)
        stream.close()
        for name in NAMES[3:]:
            write_run(folder, name)


def test_runs_that_end_together(tmp_path: Path) -> None:
    """From several threads, as runs of this process; and nothing but the stream is written to."""
    rows = plan({"cell": ["rnn", "gru", "lstm"], "seed": range(20)})
    stream = io.StringIO()

    def work(part: list[str]) -> None:
        for name in part:
            write_run(tmp_path, name, "running", metrics={})
            write_run(tmp_path, name, value=2.0)

    names = [row["run"] for row in rows]
    workers = [threading.Thread(target=work, args=(names[k::4],)) for k in range(4)]
    write_run(tmp_path, "mgu-charlm-00000099")  # so that no thread makes the real run
    with Display(tmp_path, trial_rows(rows), read_study(tmp_path), stream, False):
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    ended = [line for line in stream.getvalue().splitlines() if " finished " in line]
    assert sorted(line.split("  ")[-2 if "best" in line else -1] for line in ended) == sorted(
        f"{cell} seed={seed}" for cell in ("rnn", "gru", "lstm") for seed in range(20)
    )
    assert ended[-1].startswith("60/60")


FORK = """
import io, os, sys, time
from odyssey.study.display import Bars
bars = Bars(io.StringIO(), 10)
with bars._bar.get_lock():  # as the display's thread has it while it draws
    pid = os.fork()
    if pid == 0:
        from tqdm import tqdm
        list(tqdm(range(3), file=io.StringIO()))
        os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_process_forked_while_the_bar_is_drawn_can_draw_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0\n", done.stderr
