"""`hydra/launcher=slurm_local`: the ways of Slurm, on submitit's local executor."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launchers_kit import (
    STUDY,
    command,
    conduct,
    environment,
    folders,
    in_training,
    plan,
    results,
    until,
)
from odyssey.config.schema import register
from odyssey.study.spec import hydras_part
from run_kit import ROOT, record
from study_kit import LONG

pytest.importorskip(
    "hydra_plugins.hydra_submitit_launcher", reason="needs pip install -e '.[slurm]'"
)


@pytest.mark.slow
def test_a_job_that_is_requeued_and_one_that_fails(tmp_path: Path) -> None:
    """The signal that Slurm sends before a job's time is up reaches one run; others are as ever."""
    out = tmp_path / "slurm"
    cells = "cell._target_=odyssey.cells.LSTM,study_kit.Buggy,study_kit.Killed"
    words = [w for w in STUDY if w.partition("=")[0] not in ("cell", "seed", "trainer.max_steps")]
    words += [cells, "model.backend=reference", "trainer.max_steps=75"]
    study = subprocess.Popen(
        command(out, "slurm_local", *words),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    name, job = next(iter(until(lambda: in_training(out)).items()))
    os.kill(job, signal.SIGUSR2)
    said, err = study.communicate(timeout=150)
    assert study.returncode == 1 and "Traceback" not in said, err
    pool = conduct(tmp_path / "pool", "local_pool", "hydra.launcher.n_jobs=2", *words)
    assert pool.returncode == 1
    left, right = results(out), results(tmp_path / "pool")
    errors = {}
    for found in (left, right):
        for run in found.values():
            errors.setdefault(run["cell"], []).append(run.pop("error"))
    assert len(left) == 3 and left == right
    assert plan(out) == plan(tmp_path / "pool")
    assert {run["cell"]: run["status"] for run in left.values()} == {
        "lstm": "finished",
        "buggy": "failed",
        "killed": "failed",
    }
    assert errors["lstm"] == [None, None]
    assert errors["buggy"][0].endswith("ZeroDivisionError: a bug in a cell")
    assert (
        errors["killed"][0].startswith("job ") and "ended without a result" in errors["killed"][0]
    )
    log = (out / "same" / "logs" / f"{name}.log").read_text()
    assert "interrupted after update" in log and log.count("going on after update") == 1, log
    assert {p.name for p in (out / "same").iterdir() if p.is_dir()} == {*folders(out), "logs"}


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs(tmp_path: Path) -> None:
    study = subprocess.Popen(
        command(tmp_path, "slurm_local", *LONG, "seed=0,1", "logger.mode=disabled"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(in_training(tmp_path)) == 2)
    study.send_signal(signal.SIGINT)
    err = study.communicate(timeout=60)[1]
    assert study.returncode == 130 and "Traceback" not in err
    said = [(record(p)["status"], record(p)["error"]) for p in folders(tmp_path).values()]
    assert said == [("interrupted", None)] * 2


@pytest.mark.slow
def test_where_there_is_no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = conduct(tmp_path, "slurm", *STUDY)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "hydra/launcher=slurm: nothing was submitted" in done.stderr
    assert not folders(tmp_path)


def script(tmp_path: Path, *words: str) -> str:
    """What sbatch would be given for a study."""
    from submitit.slurm.slurm import SlurmExecutor

    from odyssey.study.launchers.slurm import _executor

    register()
    cfg = hydras_part(["hydra/launcher=slurm", f"output_dir={tmp_path}", *words])
    settings: dict[str, Any] = dict(cfg.launcher)
    settings.pop("_target_")
    settings["additional_parameters"] = dict(settings["additional_parameters"])
    executor: SlurmExecutor = _executor("slurm", settings)._executor
    executor.parameters["map_count"] = 10
    assert executor.max_num_timeout == 100
    return executor._make_submission_file_text("the command", "id")


def test_the_script_for_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text("#!/bin/sh\n")
    (tools / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    text = script(tmp_path, "study=night", "hydra.launcher.gpus_per_node=1")
    for line in (
        "--array=0-9%10",
        "--cpus-per-task=1",
        "--gpus-per-node=1",
        "--job-name=night",
        "--mem=4GB",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--requeue",
        "--signal=USR2@120",
        "--time=240",
        f"--output={tmp_path}/night/logs/slurm/%A_%a_0_log.out",
    ):
        assert f"#SBATCH {line}\n" in text, text
    assert "partition" not in text and "account" not in text
    assert "--partition=long" in script(tmp_path, "hydra.launcher.partition=long")
