"""The task function of a study: one trial, in whatever process, that never takes others along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from odyssey.cells import CELLS
from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.registry import cell_name
from odyssey.study.trial import RUN, died, job
from odyssey.training import train as training
from odyssey.training.failure import record_failure
from odyssey.training.run_dir import RunFolder, run_path
from run_kit import folder, record, write_text
from study_kit import config, launch


def log(out: Path) -> str:
    (found,) = (out / "default" / "logs").iterdir()
    return found.read_text(encoding="utf-8")


def test_a_finished_trial(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    found = job(cfg)
    run = record(folder(tmp_path))
    assert found == {
        "status": "finished",
        "folder": str(tmp_path / "default" / run_name(cfg)),
        "objective": run["metrics"]["valid/bits_per_char"],
        "error": None,
        "reusable": True,
    }
    assert (
        "1 threads" in run["device"]
        and "threads: 1" in (folder(tmp_path) / "config.yaml").read_text()
    )
    assert f"run folder {found['folder']}" in log(tmp_path)
    again = job(cfg)
    assert again == found and "finished already" in log(tmp_path)


def test_the_log_holds_what_any_part_of_the_process_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(cfg: object, overrides: object, **others: object) -> None:
        print("python")
        print("python's errors", file=sys.stderr)
        os.write(1, b"descriptor\n")
        os.write(2, b"its errors\n")
        subprocess.run(["echo", "child"], check=True)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(training, "train", train)
    before = sys.stdout, sys.stderr
    print("before")
    assert job(config(tmp_path))["status"] == "failed"
    assert (sys.stdout, sys.stderr) == before
    print("after")
    os.write(1, b"after too\n")
    lines = log(tmp_path).splitlines()
    wanted = ["python", "python's errors", "descriptor", "its errors", "child"]
    assert lines[:5] == wanted and lines[-1] == "ZeroDivisionError: a bug"
    out, err = capfd.readouterr()
    assert out == "before\nafter\nafter too\n" and err == ""


@pytest.mark.slow
def test_without_any_console(tmp_path: Path) -> None:
    """As a service starts it: both descriptors closed, no streams."""
    code = (
        "import os, sys; os.close(1); os.close(2); sys.stdout = sys.stderr = None\n"
        "from study_kit import *\n"
        f"found = job(config(Path({str(tmp_path)!r})))\n"
        "try: os.fstat(1)\n"
        "except OSError: sys.exit(found['status'] != 'finished')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent)
    assert done.returncode == 0
    assert "finished" in log(tmp_path)


@pytest.mark.parametrize(
    "cell, says",
    [
        ("Buggy", "ZeroDivisionError: a bug in a cell"),
        ("NoMemory", "or bptt.length=64 smaller"),
        ("GivesUp", None),
    ],
)
def test_whatever_a_trial_raises_is_recorded_and_not_raised(
    cell: str, says: str | None, tmp_path: Path
) -> None:
    found = job(config(tmp_path, f"cell._target_=study_kit.{cell}", "model.backend=reference"))
    run = record(folder(tmp_path))
    assert found["status"] == run["status"] == "failed" and found["objective"] != found["objective"]
    assert run["data"]["name"] == "hello" and run["steps"] == 0
    if says is not None:
        assert found["error"].endswith(says) and run["error"].endswith(says)
        assert log(tmp_path).rstrip().endswith(says)


def test_ctrl_c_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(cfg: object, overrides: object, **others: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", train)
    streams = sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt):
        job(config(tmp_path))
    assert (sys.stdout, sys.stderr) == streams and not run_path(config(tmp_path)).exists()


@pytest.mark.slow
def test_a_failure_before_the_first_record_is_recorded_and_can_be_tried_again(
    tmp_path: Path,
) -> None:
    """Data that is not to be had; the record is that of the planned run, and has what one has."""
    out, text = tmp_path / "out", write_text(tmp_path / "text.txt")
    words = ["task.data=file", f"task.path={text}"]
    planned = run_name(config(out, *words))

    def run_trial() -> dict[str, Any]:
        trial = [*words, f"{RUN}'{planned}'"]
        return launch(out, [trial], launcher="basic")[0].return_value

    kept = text.read_bytes()
    text.unlink()
    found = run_trial()
    run = record(folder(out))
    assert folder(out).name == planned and found["folder"] == str(folder(out))
    assert found["status"] == run["status"] == "failed"
    assert found["error"] == run["error"] and str(text) in run["error"]
    assert "Traceback" not in log(out)
    assert (folder(out) / "config.yaml").exists()
    assert run_trial()["status"] == "failed"  # again: the record is made once
    text.write_bytes(kept + b"x")
    found = run_trial()
    assert found["status"] == "failed" and str(text) in found["error"]
    assert "is another than when the study was planned" in found["error"]
    text.write_bytes(kept)
    assert run_trial()["status"] == "finished"
    after = record(folder(out))
    assert set(after) == set(run)
    assert after["started"] == run["started"] and after["error"] is None
    assert {k: after[k] for k in ("cell", "task", "seed", "versions")} == {
        k: run[k] for k in ("cell", "task", "seed", "versions")
    }
    assert run["config_hash"] == "" and after["config_hash"].startswith(planned[-8:])


@pytest.mark.slow
def test_a_cell_or_text_that_is_mended_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file, text = tmp_path / "mended_cell.py", write_text(tmp_path / "text.txt")
    body = "from study_kit import Ends\n\n\nclass Mended(Ends):\n    def end(self):\n        "
    file.write_text(f"{body}raise ValueError('not yet')\n")
    words = ["cell._target_=mended_cell.Mended", "task.data=file", f"task.path={text}"]
    words += ["model.backend=reference"]
    assert job(config(tmp_path / "out", *words))["error"].endswith("ValueError: not yet")
    failed = folder(tmp_path / "out")
    before = (failed / "run.json").read_bytes()
    file.write_text(f"{body}pass\n")
    write_text(text, 2500)
    code = (
        "from study_kit import *\n"
        f"found = job(config(Path({str(tmp_path / 'out')!r}), *{words!r}))\n"
        "assert found['status'] == 'finished', found\n"
    )
    here = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", code], env=os.environ | here, check=True)
    assert (failed / "run.json").read_bytes() == before
    found = [record(path.parent) for path in (tmp_path / "out").glob("*/*/run.json")]
    assert sorted(run["status"] for run in found) == ["failed", "finished"]
    assert len({run["cell_source"] for run in found}) == 2


def test_a_failed_process_is_recorded_but_never_over_a_result(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    assert died(cfg, "ended by a signal")["error"] == "ended by a signal"
    run = record(folder(tmp_path))
    assert run["status"] == "failed" and run["error"] == "ended by a signal"
    assert job(cfg)["status"] == "finished"
    before = (folder(tmp_path) / "run.json").read_bytes()
    assert record_failure(cfg, [], "too late") is False
    assert (folder(tmp_path) / "run.json").read_bytes() == before


@pytest.mark.slow
def test_what_is_refused_leaves_the_record_as_it_is(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    assert job(cfg)["status"] == "finished"
    path = folder(tmp_path) / "run.json"
    path.write_text(path.read_text().replace('"finished"', '"interrupted"'))
    before = path.read_bytes()
    found = job(config(tmp_path, "resume=never"))
    assert found["status"] == "failed" and "resume=never" in found["error"]
    assert path.read_bytes() == before
    path.write_text("{")
    found = job(cfg)
    assert found["status"] == "failed" and "not readable JSON" in found["error"]
    assert path.read_text() == "{"


def test_a_run_of_another_process_is_elsewhere(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    other = RunFolder(run_path(cfg))
    other.acquire()
    try:
        found = job(cfg)
    finally:
        other.release()
    assert found["status"] == "elsewhere" and "another process" in found["error"]
    assert not run_path(cfg).exists()


def test_a_look_at_the_lock_is_not_another_process(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    other = RunFolder(run_path(cfg))
    held = threading.Event()

    def look() -> None:
        other.acquire()
        held.set()
        time.sleep(0.05)
        other.release()

    thread = threading.Thread(target=look)
    thread.start()
    held.wait()
    ours = RunFolder(run_path(cfg))
    ours.acquire()
    ours.release()
    thread.join()


@pytest.mark.slow
def test_nothing_of_a_trial_stays_in_the_process(tmp_path: Path) -> None:
    def state() -> list[object]:
        return [
            torch.get_default_dtype(),
            torch.get_num_threads(),
            [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
            list(warnings.filters),
            plt.get_fignums(),
            sys.stdout,
            sys.stderr,
            dict(os.environ),
            os.getcwd(),
            threading.active_count(),
        ]

    assert job(config(tmp_path / "first"))["status"] == "finished"  # imports what there is
    before, open_files = state(), len(os.listdir("/proc/self/fd"))
    words = ["cell._target_=study_kit.Float64", "model.backend=reference"]
    assert job(config(tmp_path / "own", *words))["status"] in ("finished", "failed")
    for seed in range(3):
        assert job(config(tmp_path / "more", f"seed={seed}"))["status"] == "finished"
    assert state() == before
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_wrong_configuration_is_a_failed_trial(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    cfg.optimizer.lr = -1.0
    found = job(cfg)
    assert found["status"] == "failed" and found["error"].startswith("optimizer.lr=-1")
    assert record(folder(tmp_path))["status"] == "failed"


def test_no_room_for_the_log_is_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "default").write_text("a file where the study's folder should be")
    found = job(config(tmp_path))
    assert found["status"] == "failed" and found["error"]


@pytest.mark.slow
def test_the_names_of_runs_take_no_torch(tmp_path: Path) -> None:
    for name in CELLS:
        assert cell_name(compose([f"cell={name}"]).cell._target_) == name
    own = compose(["cell._target_=study_kit.NoMemory"])
    assert cell_name(own.cell._target_) == "no_memory" and run_name(own).startswith(
        "no_memory-charlm-"
    )
    code = (
        "import sys; from hydra import compose, initialize_config_dir\n"
        "from odyssey.config import sources; from odyssey.config.schema import register\n"
        "from odyssey.training.run_dir import run_path; register()\n"
        "with initialize_config_dir(str(sources.CONF), version_base='1.3'):\n"
        "    cfg = compose('config')\n"
        "print(run_path(cfg)); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(run_path(compose([])))
