"""However a run ends, run.json says so, nothing stays open, and the same command goes on."""

from __future__ import annotations

import errno
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from odyssey.config.compose import compose
from odyssey.training import checkpoint
from odyssey.training.callbacks import Checkpoints
from odyssey.training.module import RecurrentModule
from odyssey.training.program import Program
from odyssey.training.wandb import Tracker
from run_kit import STREAMED, assert_same_run, folder, record, train, write_text


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    text = write_text(tmp_path_factory.mktemp("data") / "text.txt", 2000)
    return [*STREAMED, "task.data=file", f"task.path={text}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Path:
    """The same run, undisturbed; read only."""
    out = tmp_path_factory.mktemp("whole")
    assert train(out, *options) == 0
    return folder(out)


def once_at(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, what: Any) -> None:
    """Do `what` at the first call of a method, before the method itself."""
    real, calls = getattr(kind, name), []

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            what()
        return real(self, *args, **kwargs)

    monkeypatch.setattr(kind, name, method)


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, name, signals",
    [
        pytest.param(Tracker, "start", 1, marks=SLOW),  # W&B starts: nobody heeds signals yet
        (Program, "advance", 2),  # at once, before some updates
        pytest.param(RecurrentModule, "validation_step", 1, marks=SLOW),
        pytest.param(RecurrentModule, "test_step", 1, marks=SLOW),
        pytest.param(Tracker, "finish", 1, marks=SLOW),  # all is done but the closing
        (Checkpoints, "begin", 1),
    ],
)
def test_interrupted_anywhere_and_gone_on(
    kind: type,
    name: str,
    signals: int,
    tmp_path: Path,
    options: list[str],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask() -> None:
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "out"
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        once_at(patched, kind, name, ask)
        assert train(out, *options) == 130
    assert signal.getsignal(signal.SIGINT) is before
    run = record(folder(out))
    assert run["status"] == "interrupted" and run["error"] is None
    assert train(out, *options) == 0
    assert record(folder(out))["status"] == "finished"
    assert_same_run(whole, folder(out))


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_run_goes_on(
    tmp_path: Path,
    options: list[str],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, calls = os.fsync, []

    def full(file: int) -> None:
        calls.append(1)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert train(out, *options) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "No space left on device" in sentence and str(folder(out)) in sentence
    assert record(folder(out))["status"] == "running"  # nothing more could be written
    assert train(out, *options) == 0
    assert_same_run(whole, folder(out))


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    """A limit of the operating system stands for the full disk."""
    import resource

    path, content = tmp_path / "best.ckpt", {"step": 1, "model": {}, "task": None}
    checkpoint.save(content, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError) as error:
            checkpoint.save({"step": 2, "bytes": "x" * 100_000}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.errno == errno.EFBIG
    assert checkpoint.load(path) == {**content, "sealed": True}


def test_a_study_that_cannot_be_written_to_is_one_sentence(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "first").write_text("a file where the study's folder should be")
    assert train(out, *options, "study=first") == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert str(out / "first") in sentence and "output_dir=" in sentence


@pytest.mark.slow
def test_a_bug_closes_the_lock_and_says_how_far_it_got(
    tmp_path: Path, options: list[str], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Program.advance

    def breaks(self: Program, count: int) -> int:
        if self.module.updates >= 13:
            raise ZeroDivisionError("a bug")
        return real(self, min(count, 13 - self.module.updates))

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Program, "advance", breaks)
        with pytest.raises(ZeroDivisionError):
            train(out, *options)
    assert record(folder(out))["steps"] == 13
    assert train(out, *options) == 0
    assert_same_run(whole, folder(out))


def test_no_best_update_where_no_validation_was(tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "out"
    wild = ["cell=elman_relu", "optimizer=sgd", "optimizer.lr=1e30", "clip=none"]
    assert train(out, *options, *wild, "trainer.checkpoint_every=null") == 0
    run = record(folder(out))
    assert run["status"] == "diverged" and run["metrics"] == {} and run["seconds"] > 0
    assert run["best_step"] is None and run["best_epoch"] is None


WILD = ["optimizer=sgd", "clip=none", "trainer.max_epochs=null", "trainer.max_steps=5"]


@pytest.mark.parametrize(
    "words, why",
    [
        (
            ["cell=irnn", "task=synthetic", "task.kind=adding", "task.length=30"]
            + ["task.train_size=640", "model.hidden_size=16", "optimizer.lr=0.1", "seed=0"],
            "far worse than guessing, which gives 1.",
        ),
        (
            ["cell=rnn", "task=mnist", "optimizer.lr=1e38", "trainer.max_steps=1"],
            "test/nats is not finite",
        ),
    ],
)
def test_a_run_that_explodes_and_stays_finite_has_diverged(
    tmp_path: Path, words: list[str], why: str
) -> None:
    out = tmp_path / "out"
    assert train(out, *WILD, *words) == 0
    run = record(folder(out))
    assert run["status"] == "diverged" and why in run["error"]
    assert "valid/" in "".join(run["metrics"])


def test_guessing_is_the_metric_of_equal_chances(tmp_path: Path) -> None:
    """So a model with zero weights, which guesses, has just finished."""
    out = tmp_path / "out"
    words = ["cell=gru", "task=charlm", "task.data=hello", "optimizer.lr=1e-30"]
    zeros = ["cell.init.input=zeros", "cell.init.recurrent=zeros", "cell.init.bias=zeros"]
    zeros += ["model.init.kind=uniform", "model.init.scale=1e-30"]
    assert train(out, *WILD, *words, *zeros) == 0
    run = record(folder(out))
    assert run["status"] == "finished"
    assert run["metrics"]["test/bits_per_char"] == pytest.approx(math.log2(5))  # 4 and <unk>


@pytest.mark.slow
def test_a_finished_run_is_not_taken_for_one_on_other_data(
    tmp_path: Path, options: list[str], whole: Path
) -> None:
    out = tmp_path / "whole"
    shutil.copytree(whole.parents[1], out)
    own, before = folder(out), (whole / "run.json").read_bytes()
    options = [*options, f"task.path={write_text(tmp_path / 'text.txt', 1500)}"]
    assert train(out, *options) == 0
    assert (own / "run.json").read_bytes() == before
    (other,) = (p.parent for p in own.parent.glob("*/run.json") if p.parent != own)
    assert record(other)["data"]["sha256"] != record(own)["data"]["sha256"]


@pytest.mark.slow
def test_a_sweeper_gets_the_monitored_metric(options: list[str], whole: Path) -> None:
    """The best validation value of what chooses the checkpoint, from a run made or found."""
    from odyssey.training.train import train as train_one

    words = list({o.split("=")[0]: o for o in options}.values())
    cfg = compose([*words, f"output_dir={whole.parents[1]}", "logger.mode=disabled"])
    result = train_one(cfg)
    assert not result.ran and result.monitor == "bits_per_char"
    assert result.objective == record(whole)["metrics"]["valid/bits_per_char"]
    assert math.isfinite(result.objective)
