"""Run folders in which something is missing, damaged or another's: one sentence, nothing lost."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import random_kit
from odyssey.report.io.collect import collect
from odyssey.study.state import read_study
from odyssey.training.run_dir import RunFolder
from odyssey.training.sampling import main as sample
from run_kit import assert_same_run, folder, record, train, write_text

OPTIONS = [
    "task=charlm",
    "task.data=file",
    "task.batch_size=4",
    "bptt.length=10",
    "model.hidden_size=4",
    "trainer.max_epochs=null",
    "trainer.max_steps=6",
    "trainer.val_every=2",
    "trainer.log_every=1",
    "trainer.checkpoint_every=1",
    "trainer.sample=false",
    "trainer.progress_bar=false",
    "study=s",
]


class Runs:
    """A finished run, the same interrupted at its update 3, and one of another seed, as copies."""

    def __init__(self, place: Path) -> None:
        from odyssey.training.callbacks import Signals

        self.place = place
        self.options = [*OPTIONS, f"task.path={write_text(place / 'text.txt')}"]
        assert train(place / "whole", *self.options) == 0
        assert train(place / "other", *self.options, "seed=1") == 0
        real = Signals.on_train_batch_end

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Signals, "on_train_batch_end", interrupted_at_3(real))
            assert train(place / "cut", *self.options) == 130
        self.whole, self.other, self.cut = (
            folder(place / name) for name in ("whole", "other", "cut")
        )
        assert record(self.cut)["status"] == "interrupted" and record(self.cut)["steps"] == 3

    def copy(self, run: Path, out: Path) -> Path:
        """The run in a folder of outputs of its own."""
        shutil.copytree(run, out / "s" / run.name)
        return out / "s" / run.name

    def train(self, out: Path, *words: str) -> int:
        return train(out, *self.options, *words)


def interrupted_at_3(real: Callable[..., None]) -> Callable[..., None]:
    import signal

    def signalled(callback: Any, trainer: Any, module: Any, *rest: Any) -> None:
        if module.updates == 3:
            signal.raise_signal(signal.SIGINT)
        real(callback, trainer, module, *rest)

    return signalled


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error since it was last read, which is one line."""
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1, err
    return err


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


# -- run.json is not there ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "null", " null\n"])
def test_a_run_without_a_record_is_set_aside_and_trained_anew(
    text: str | None, runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.whole, tmp_path)
    (path / "run.json").unlink()
    if text is not None:
        (path / "run.json").write_text(text)
    before = content(path)
    path.with_name(f"{path.name}~1").mkdir()
    assert read_study(tmp_path / "s").runs == {}
    capsys.readouterr()
    assert runs.train(tmp_path) == 0
    out, err = capsys.readouterr()
    aside = path.with_name(f"{path.name}~2")
    assert err == "" and sum(str(aside) in line for line in out.splitlines()) == 1
    assert content(aside) == before and record(path)["status"] == "finished"
    assert_same_run(path, runs.whole)
    # What is set aside is no run of the study.
    (run,) = collect([tmp_path / "s"]).runs
    assert run.name == path.name
    assert runs.train(tmp_path) == 0 and "finished already" in capsys.readouterr().out


def test_never_leaves_a_run_without_a_record_where_it_is(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, tmp_path)
    (path / "run.json").unlink()
    before = content(path)
    capsys.readouterr()
    assert runs.train(tmp_path, "resume=never") == 2
    assert "(without run.json)" in one_sentence(capsys)
    assert content(path) == before and len(list((tmp_path / "s").iterdir())) <= 2


@pytest.mark.parametrize("left", [(), ("config.yaml",), ("config.yaml", "overrides.yaml")])
def test_a_run_that_was_killed_as_it_began_just_begins(
    left: tuple[str, ...], runs: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "s" / runs.whole.name
    (path / "checkpoints").mkdir(parents=True)
    for name in left:
        shutil.copy(runs.whole / name, path / name)
    (path / ".run.json.1-2.tmp").write_text("{")
    (path / "checkpoints" / ".last.ckpt.1-2.tmp").write_text("PK")
    assert runs.train(tmp_path) == 0
    assert not list((tmp_path / "s").glob("*~*")) and not list(path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_trial_without_a_record_is_run_anew_by_its_study(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", "seed=0,1", *runs.options]
    assert train(tmp_path, *words) == 0
    first, second = sorted(p.parent for p in (tmp_path / "s").glob("*/run.json"))
    before = content(second)
    (first / "run.json").write_text("null")
    capsys.readouterr()
    assert train(tmp_path, *words) == 0
    assert record(first)["status"] == "finished" and content(second) == before
    assert first.with_name(f"{first.name}~1").is_dir()
    log = (tmp_path / "s" / "logs" / f"{first.name}.log").read_text()
    assert f"{first.name}~1" in log
    assert len(collect([tmp_path / "s"]).runs) == 2


# -- an interrupted run ---------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_from_its_checkpoint(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What follows is refused for what was done to the folder, and for nothing else."""
    path = runs.copy(runs.cut, tmp_path)
    capsys.readouterr()
    assert runs.train(tmp_path) == 0
    assert "going on after update 3" in capsys.readouterr().out
    assert_same_run(path, runs.whole)


def flip(file: Path, rng: np.random.Generator) -> None:
    """Turn one bit over."""
    data = bytearray(file.read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


def rewritten(file: Path, **changes: Any) -> None:
    """The checkpoint with other values, without its hash and the word that it has one."""
    saved = torch.load(file, weights_only=True) | changes
    saved.pop("sealed")
    torch.save(saved, file)


def test_any_flipped_bit_of_a_checkpoint_is_found(
    runs: Runs, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    from odyssey.errors import UserError
    from odyssey.training.checkpoint import load

    for name in ("last", "best"):
        original = runs.cut / "checkpoints" / f"{name}.ckpt"
        load(original)
        for _ in range(20):
            file = tmp_path / f"{name}.ckpt"
            shutil.copy(original, file)
            flip(file, rng)
            with pytest.raises(UserError, match="resume=force"):
                load(file)


DAMAGE: dict[str, tuple[Callable[[Path, Runs, np.random.Generator], object], str]] = {
    "metrics gone": (lambda p, r, g: (p / "metrics.csv").unlink(), "metrics.csv is not there"),
    "metrics empty": (
        lambda p, r, g: (p / "metrics.csv").write_text(""),
        "metrics.csv is not there",
    ),
    "a digit of a metric": (
        lambda p, r, g: (p / "metrics.csv").write_text(
            (p / "metrics.csv").read_text().replace("0", "1", 1)
        ),
        "metrics.csv is not as the last checkpoint left it",
    ),
    "a flipped bit": (lambda p, r, g: flip(p / "checkpoints/last.ckpt", g), "last.ckpt"),
    "a flipped bit of the best": (lambda p, r, g: flip(p / "checkpoints/best.ckpt", g), "best"),
    "the best is gone": (
        lambda p, r, g: (p / "checkpoints/best.ckpt").unlink(),
        "best.ckpt: there is no such checkpoint",
    ),
    "an update before the first": (
        lambda p, r, g: rewritten(p / "checkpoints/last.ckpt", step=-5),
        "last.ckpt is of update -5, and the run has 6",
    ),
    "an update after the last": (
        lambda p, r, g: rewritten(p / "checkpoints/last.ckpt", step=10**9),
        "last.ckpt is of update 1000000000, and the run has 6",
    ),
    "a step that is no number": (
        lambda p, r, g: rewritten(p / "checkpoints/last.ckpt", step="3"),
        "as its step is no int",
    ),
    "weights of another size": (
        lambda p, r, g: rewritten(p / "checkpoints/last.ckpt", model={"a": torch.zeros(2)}),
        "last.ckpt does not fit this run",
    ),
    "without its hash": (
        lambda p, r, g: torch.save(
            torch.load(p / "checkpoints/last.ckpt", weights_only=True),
            p / "checkpoints/last.ckpt",
        ),
        "it is without its SHA-256",
    ),
    "of another run": (
        lambda p, r, g: shutil.copy(r.other / "checkpoints/last.ckpt", p / "checkpoints/last.ckpt"),
        "last.ckpt is the checkpoint of another run",
    ),
    "of other keys": (
        lambda p, r, g: torch.save({"state_dict": {}}, p / "checkpoints/last.ckpt"),
        "as it has no step",
    ),
    "a tensor": (
        lambda p, r, g: torch.save(torch.zeros(3), p / "checkpoints/last.ckpt"),
        "is not a checkpoint, but a Tensor",
    ),
    "checkpoints is a file": (
        lambda p, r, g: (shutil.rmtree(p / "checkpoints"), (p / "checkpoints").write_text("x")),
        "checkpoints is no folder",
    ),
    "metrics is a folder": (
        lambda p, r, g: ((p / "metrics.csv").unlink(), (p / "metrics.csv").mkdir()),
        "it is a folder and no file",
    ),
    "metrics is a pipe": (
        lambda p, r, g: ((p / "metrics.csv").unlink(), os.mkfifo(p / "metrics.csv")),
        "it is a pipe or a device and no file",
    ),
    "last.ckpt is a pipe": (
        lambda p, r, g: (
            (p / "checkpoints/last.ckpt").unlink(),
            os.mkfifo(p / "checkpoints/last.ckpt"),
        ),
        "last.ckpt cannot be read (it is a pipe or a device and no file)",
    ),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_an_interrupted_run_that_was_damaged_is_refused(
    damage: Callable[[Path, Runs, np.random.Generator], object],
    said: str,
    runs: Runs,
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = runs.copy(runs.cut, tmp_path)
    damage(path, runs, rng)
    before = content(path)
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    sentence = one_sentence(capsys)
    assert said in sentence
    assert content(path) == before, "a refused run is left as it is"
    assert runs.train(tmp_path, "resume=force") == 0
    assert_same_run(path, runs.whole)
    assert content(path.with_name(f"{path.name}~1")) == before


def test_a_kill_between_the_two_checkpoints_loses_nothing(runs: Runs, tmp_path: Path) -> None:
    """best.ckpt is then later than last.ckpt says, and metrics.csv longer."""
    path = runs.copy(runs.cut, tmp_path)
    shutil.copy(runs.whole / "checkpoints/best.ckpt", path / "checkpoints/best.ckpt")
    with (path / "metrics.csv").open("a") as file:
        file.write("4,0.1,train/loss,1.0,1.0\n4,0.1,tr")
    assert runs.train(tmp_path) == 0
    assert_same_run(path, runs.whole)


def test_what_was_logged_of_an_update_after_its_checkpoint_is_kept(
    runs: Runs, tmp_path: Path
) -> None:
    """As Lightning logs averages over an epoch, when the callbacks have been called."""
    path = runs.copy(runs.cut, tmp_path)
    late = "3,0.04,mine,0.5,1.000\n"
    with (path / "metrics.csv").open("a") as file:
        file.write(f"{late}4,0.05,mine,0.5,1.000\nrubbish\n3,0.04,mi")
    assert runs.train(tmp_path) == 0
    lines = (path / "metrics.csv").read_text().splitlines(keepends=True)
    assert late in lines and sum(",mine," in line for line in lines) == 1
    assert {line.count(",") for line in lines} == {4}


def test_checkpoints_that_are_gone_are_said_to_be(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, tmp_path)
    shutil.rmtree(path / "checkpoints")
    capsys.readouterr()
    assert runs.train(tmp_path) == 0
    assert "last.ckpt is not there, though 3 updates were made" in capsys.readouterr().out
    assert_same_run(path, runs.whole)


# -- run.json -------------------------------------------------------------------------------------

RECORDS: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "a list": lambda text: "[1, 2]",
    "a number": lambda text: "7",
    "nothing in it": lambda text: "{}",
    "cut": lambda text: text[: len(text) // 2],
    "nested": lambda text: "[" * 100_000,
    "binary": lambda text: "\0\1",
    "a status of its own": lambda text: text.replace('"interrupted"', '"going on"', 1),
    "a status of null": lambda text: text.replace('"interrupted"', "null", 1),
    "finished without metrics": lambda text: '{"status": "finished"}',
    "an odd value": lambda text: json.dumps(json.loads(text) | {"data": "text"}),
    "a step beyond all": lambda text: json.dumps(json.loads(text) | {"steps": 10**30}),
    "another run's": lambda text: json.dumps(json.loads(text) | {"config_hash": "0" * 64}),
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS.keys())
def test_a_damaged_record_is_refused(
    change: Callable[[str], str], runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, tmp_path)
    file = path / "run.json"
    file.write_text(change(file.read_text()))
    before = content(path)
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    assert "run.json" in (sentence := one_sentence(capsys)) and "resume=force" in sentence
    assert content(path) == before


THINGS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a loop of links": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("put", THINGS.values(), ids=THINGS.keys())
def test_a_record_that_is_no_file_is_refused(
    put: Callable[[Path], object], runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, tmp_path)
    (path / "run.json").unlink()
    put(path / "run.json")
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    assert f"{path / 'run.json'}" in one_sentence(capsys)
    assert read_study(tmp_path / "s").runs[path.name].state == "damaged"
    assert runs.train(tmp_path, "resume=force") == 0


@pytest.mark.parametrize("what", ["a file", "a loop of links", "a pipe"])
def test_something_else_where_the_run_is_to_be(
    what: str, runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    path = tmp_path / "s" / runs.whole.name
    (path.touch if what == "a file" else lambda: THINGS[what](path))()
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    assert f"{path} is no folder" in one_sentence(capsys)
    assert runs.train(tmp_path, "resume=force") == 0
    assert os.path.lexists(path.with_name(f"{path.name}~1")) and record(path)["steps"] == 6


def test_a_file_where_the_study_is_to_be(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").touch()
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    assert str(tmp_path / "s") in one_sentence(capsys)


# -- sampling -------------------------------------------------------------------------------------

CONFIGS: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "a word": lambda text: "yes",
    "a list": lambda text: "- a\n",
    "cut": lambda text: text[: len(text) // 3],
    "no initial weights": lambda text: re.sub(r"(?m)^  init:\n(    .*\n)*", "  init: null\n", text),
    "no metrics": lambda text: text.replace("metrics: {}", "metrics: null", 1),
    "metrics of a number": lambda text: text.replace("metrics: {}", "metrics: {a: 3}", 1),
    "no task": lambda text: text.replace("task:", "tusk:", 1),
    "a task of another name": lambda text: text.replace("name: charlm", "name: karlm", 1),
    "a size that is a word": lambda text: text.replace("hidden_size: 4", "hidden_size: four", 1),
    "a size beyond all": lambda text: text.replace("hidden_size: 4", "hidden_size: 1e12", 1),
    "a reference to nothing": lambda text: text.replace("seed: 0", "seed: ${no.such}", 1),
    "a date that is none": lambda text: text + "\nx: 2001-99-99\n",
    "a key that is a list": lambda text: text + "\n? [a, b]\n: 3\n",
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_damaged_configuration_is_one_sentence_of_sample(
    change: Callable[[str], str], runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.whole, tmp_path)
    file = path / "config.yaml"
    file.write_text(change(file.read_text()))
    capsys.readouterr()
    assert sample([str(path), "--length", "3"]) == 2
    assert str(file) in one_sentence(capsys)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/best.ckpt"])
@pytest.mark.parametrize("put", THINGS.values(), ids=THINGS.keys())
def test_what_sample_reads_is_a_file(
    name: str,
    put: Callable[[Path], object],
    runs: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = runs.copy(runs.whole, tmp_path)
    (path / name).unlink()
    put(path / name)
    capsys.readouterr()
    assert sample([str(path), "--length", "3"]) == 2
    assert str(path / name) in one_sentence(capsys)


def test_sample_looks_at_the_checkpoint(
    runs: Runs, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.whole, tmp_path)
    file = path / "checkpoints" / "best.ckpt"
    original = file.read_bytes()
    flip(file, rng)
    capsys.readouterr()
    assert sample([str(path), "--length", "3"]) == 2
    assert "best.ckpt" in one_sentence(capsys)
    shutil.copy(runs.other / "checkpoints" / "best.ckpt", file)
    assert sample([str(path), "--length", "3"]) == 2
    assert "is the checkpoint of another run" in one_sentence(capsys)
    file.write_bytes(original)
    assert sample([str(path), "--length", "3"]) == 0


# -- metrics.csv ----------------------------------------------------------------------------------


def test_the_table_of_metrics_is_read_for_what_is_one(runs: Runs, tmp_path: Path) -> None:
    import odyssey
    from odyssey.errors import UserError

    path = runs.copy(runs.whole, tmp_path)
    run, file = odyssey.load(path), path / "metrics.csv"
    text = file.read_text()
    whole = run.metrics
    assert run.metrics.index.tolist() == [1, 2, 3, 4, 5, 6]
    first, rest = text.split("\n", 1)
    file.write_text(rest)  # no header: every row says what it is all the same
    assert run.metrics.equals(whole)
    file.write_text(text + "7,0.1,train/lo")
    with pytest.warns(UserWarning, match="1 line that cannot be read"):
        assert run.metrics.equals(whole)
    for other in ("a,b\n1,2\n", "\0\1\2\n", "x", "step,value\n1,2\n"):
        file.write_text(other)
        with pytest.raises(UserError, match="is no table of step, epoch"):
            _ = run.metrics
        with pytest.raises(UserError, match="is no table of step, epoch"):
            run.plot()
    file.unlink()
    assert run.metrics.empty
    with pytest.raises(UserError, match="has no metrics yet"):
        run.plot()
    os.mkfifo(file)
    with pytest.raises(UserError, match="cannot be read"):
        _ = run.metrics


def test_an_own_zip_comment_leaves_a_checkpoint_readable_by_torch(tmp_path: Path) -> None:
    from odyssey.training.checkpoint import save

    save({"step": 3, "model": {}, "task": None}, tmp_path / "best.ckpt")
    for source in (tmp_path / "best.ckpt", io.BytesIO((tmp_path / "best.ckpt").read_bytes())):
        assert torch.load(source, weights_only=True)["step"] == 3


def test_a_seal_is_of_the_whole_file_however_often_it_was_made(tmp_path: Path) -> None:
    """Each reads only what is new, also after rows were taken back."""
    folder, rng = RunFolder(tmp_path / "run"), random_kit.rng()
    folder.path.mkdir()
    assert folder.seal_metrics() == {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    step = 0
    for _ in range(30):
        for _ in range(rng.integers(0, 4)):
            step += 1
            folder.log(step, step / 7, {"train/loss": float(rng.normal())})
        if rng.random() < 0.2:
            step = int(rng.integers(0, step + 1))
            folder.rewind_metrics(step)
        there = folder.metrics_path.read_bytes() if folder.metrics_path.exists() else b""
        seal = folder.seal_metrics()
        assert seal == {"bytes": len(there), "sha256": hashlib.sha256(there).hexdigest()}
        assert folder.seal_metrics() == seal
        if rng.random() < 0.3:
            assert folder.unseal_metrics(seal, step) == there
