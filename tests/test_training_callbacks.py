"""The section `callbacks`: what can be switched off, and callbacks of a user's own."""

from __future__ import annotations

import importlib
import random
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

from odyssey.config.compose import compose
from odyssey.config.identity import config_hash
from odyssey.errors import UserError
from odyssey.training.callbacks import ORDER, Checkpoints, Signals
from run_kit import ROOT, STREAMED, assert_same_run, folder, metrics, record, train, write_text
from wandb_kit import parts, rows_in, rows_of

# A callback with a state, with draws from torch's generator, and with lines of its own.
MINE = """
import torch
from pytorch_lightning import Callback


class Mine(Callback):
    def __init__(self, scale: float, stop_at: int | None = None) -> None:
        self.scale, self.stop_at, self.total = scale, stop_at, 0.0

    def on_train_start(self, trainer, module):
        torch.rand(3)  # before the state of the generator is put back

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.total += self.scale * float(torch.rand(()))
        self.log("mine/total", self.total)
        if module.updates == self.stop_at:
            trainer.should_stop = True

    def on_validation_epoch_end(self, trainer, module):
        self.log("valid/mine", float(module.updates))

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


class Breaks(Callback):
    def __init__(self) -> None:
        raise ValueError("not today")


class Odd(Callback):
    def state_dict(self):
        return {"what": object}
"""
OWN = ["callbacks.mine._target_=own_callbacks.Mine", "callbacks.mine.scale=2"]


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small run, started from a folder with own_callbacks.py."""
    (tmp_path / "own_callbacks.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = write_text(tmp_path / "text.txt", 2000)
    return [*STREAMED, "task.data=file", f"task.path={text}"]


def mistakes(*overrides: str) -> list[str]:
    with pytest.raises(UserError) as error:
        compose(list(overrides))
    return list(error.value.messages)


def test_the_order_has_every_callback_of_ours_once() -> None:
    named = [name for name in ORDER if name != "*"]
    assert sorted(named) == sorted(compose().callbacks) and len(set(named)) == len(named)
    assert ORDER.index("metrics") < ORDER.index("early_stopping") < ORDER.index("*")
    assert ORDER[-1] == "checkpoints"


@pytest.mark.slow
def test_what_changes_no_number_can_be_switched_off(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "all", *options) == 0
    assert "valid  nats_per_char" in capsys.readouterr().out
    off = ["callbacks.samples=null", "callbacks.progress=null", "callbacks.early_stopping=null"]
    assert train(tmp_path / "few", *options, *off) == 0
    assert "valid  nats_per_char" not in capsys.readouterr().out
    one, other = folder(tmp_path / "all"), folder(tmp_path / "few")
    assert (one / "samples").exists() and not (other / "samples").exists()
    assert one.name == other.name and metrics(one) == metrics(other)
    assert train(tmp_path / "quiet", *options, "callbacks=quiet") == 0
    assert metrics(folder(tmp_path / "quiet")) == metrics(one)
    weights = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["model"]
        for run in (one, other)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("name", ["metrics", "signals", "checkpoints"])
def test_what_a_promise_depends_on_stays_on(name: str) -> None:
    (sentence,) = mistakes(f"callbacks.{name}=null")
    assert sentence.startswith(f"callbacks.{name}=null is not allowed, since without it ")


def test_mistakes_are_sentences(options: list[str]) -> None:
    cases = {
        "callbacks.metrics.every=7": "is set by trainer.log_every: type trainer.log_every=7",
        "callbacks.signals.x=1": "is not an option of signals",
        "callbacks.samples._target_=own_callbacks.Mine": "callbacks.my_samples._target_=",
        "callbacks.mine=3": "type callbacks.mine._target_=my_callbacks.Mine",
        "callbacks.mine.scale=3": "callbacks.mine={scale:3} is not a callback",
        "callbacks.mine._target_=own_callbacks.Mind": "did you mean 'Mine'?",
        "callbacks.mine._target_=nowhere.Mine": "put nowhere.py into the folder you start from",
        "callbacks.mine._target_=own_callbacks.torch": "type own_callbacks. and one of Breaks",
        "callbacks.mine._target_=own_callbacks.Mine": "callbacks.mine.scale is not set",
        "callbacks.mine._target_=Mine": "is not module.Class",
        "callbacks=none": "type one of default, quiet",
        "callback.samples=null": "did you mean 'callbacks'?",
    }
    for word, wanted in cases.items():
        (sentence,) = mistakes(word)
        assert wanted in sentence, (word, sentence)
    (sentence,) = mistakes(*OWN, "callbacks.mine.scle=3")
    assert "callbacks.mine.scle=3 is not an option of Mine (did you mean 'scale'?)" in sentence
    (sentence,) = mistakes("trainer.patience=3", "callbacks.early_stopping=null")
    assert "trainer.patience=null" in sentence


def test_a_callback_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "out", *options, "callbacks.x._target_=own_callbacks.Breaks") == 2
    assert "callbacks.x._target_=own_callbacks.Breaks" in (err := capsys.readouterr().err)
    assert "not today" in err
    assert train(tmp_path / "out", *options, "callbacks.x._target_=own_callbacks.Odd") == 2
    assert "callbacks.x: what its state_dict() returns" in capsys.readouterr().err


def test_it_is_part_of_what_the_run_is(tmp_path: Path, options: list[str]) -> None:
    plain, own = compose(options[1:]), compose([*options[1:], *OWN])
    other = compose([*options[1:], OWN[0], "callbacks.mine.scale=3"])
    off = compose([*options[1:], "callbacks.samples=null"])
    hashes = [config_hash(cfg) for cfg in (plain, own, other, off)]
    assert len(set(hashes)) == 3 and hashes[0] == hashes[3]


@pytest.mark.slow
def test_what_it_logs_is_in_metrics_csv_and_wandb(tmp_path: Path, options: list[str]) -> None:
    assert train(tmp_path / "out", *options, *OWN, mode="offline") == 0
    run = folder(tmp_path / "out")
    rows = metrics(run)
    every = [int(step) for step, _, name, _ in rows if name == "mine/total"]
    lines = {int(step) for step, _, name, _ in rows if name == "train/loss"}
    assert every and set(every) == {step for step in lines if step % 7 == 0}
    assert [(int(s), float(v)) for s, _, n, v in rows if n == "valid/mine"] == [
        (int(s), float(s)) for s, _, n, _ in rows if n == "valid/bits_per_char"
    ]
    (part,) = parts(tmp_path / "out")
    assert sorted(rows_of(part.history)) == sorted(rows_in(run))
    assert list(record(run)["callback_sources"]) == ["mine"]


@pytest.mark.slow
def test_interrupted_anywhere_it_goes_on_bit_for_bit(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, *options, *OWN) == 0
    total = record(folder(whole))["steps"]
    real = Signals.on_train_batch_end
    for stop in sorted({*random.sample(range(1, total), 2), 14, 20, 25, total}):

        def signalled(self: Signals, trainer, module, *rest, stop: int = stop) -> None:
            if module.updates == stop:
                signal.raise_signal(signal.SIGINT)
            real(self, trainer, module, *rest)

        monkeypatch.setattr(Signals, "on_train_batch_end", signalled)
        assert train(broken, *options, *OWN) == 130
        assert record(folder(broken))["steps"] == stop
    monkeypatch.setattr(Signals, "on_train_batch_end", real)
    assert train(broken, *options, *OWN) == 0
    assert_same_run(folder(whole), folder(broken))
    last = torch.load(folder(broken) / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["callbacks"]["mine"]["total"] > 0


@pytest.mark.slow
def test_one_that_ends_the_training_ends_it_for_good(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the test that follows, the run is not trained any further."""
    stop = [*OWN, "callbacks.mine.stop_at=31"]
    assert train(tmp_path / "whole", *options, *stop) == 0
    run = record(folder(tmp_path / "whole"))
    assert run["status"] == "finished" and run["steps"] == 31
    real = Signals.on_test_batch_end

    def signalled(self: Signals, *rest, **named) -> None:
        signal.raise_signal(signal.SIGINT)
        real(self, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Signals, "on_test_batch_end", signalled)
        assert train(tmp_path / "broken", *options, *stop) == 130
    assert train(tmp_path / "broken", *options, *stop) == 0
    assert record(folder(tmp_path / "broken"))["steps"] == 31
    assert_same_run(folder(tmp_path / "whole"), folder(tmp_path / "broken"))


@pytest.mark.slow
def test_lightnings_own_can_be_used(tmp_path: Path, options: list[str]) -> None:
    """Its early stopping stops where ours does."""
    still = ["optimizer=sgd", "optimizer.lr=1e-30", "decay=none", "trainer.max_epochs=9"]
    theirs = [
        "callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping",
        "callbacks.stop.monitor=valid/nats_per_char",
        "callbacks.stop.patience=2",
    ]
    still += ["trainer.loop=lightning"]  # as with callbacks: in C the last digits are others
    assert train(tmp_path / "ours", *options, *still, "trainer.patience=2") == 0
    assert train(tmp_path / "theirs", *options, *still, *theirs) == 0
    ours, other = record(folder(tmp_path / "ours")), record(folder(tmp_path / "theirs"))
    assert ours["steps"] == other["steps"] == 75 and ours["metrics"] == other["metrics"]


def test_a_changed_callback_makes_another_run(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source counts; comments do not, and neither do other classes of the file."""

    def name(source: str) -> str:
        (tmp_path / "own_callbacks.py").write_text(source)
        monkeypatch.delitem(sys.modules, "own_callbacks", raising=False)
        importlib.invalidate_caches()
        return config_hash(compose([*options[1:], *OWN]))

    first = name(MINE)
    assert name(f"# a comment\n{MINE}") == first
    assert name(MINE.replace("not today", "not tomorrow")) == first
    assert name(MINE.replace("self.scale * float", "2 * self.scale * float")) != first


def test_checkpoints_say_how_long_the_training_took() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.count_seconds()
    assert checkpoints.seconds == 0
    checkpoints.count_seconds()
    assert checkpoints.seconds > 0


@pytest.mark.slow
def test_the_example_of_the_page(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (words,) = re.findall(r"(callbacks\.norm\._target_=.*)", page)
    (tmp_path / "my_callbacks.py").write_text(code)
    monkeypatch.delitem(sys.modules, "my_callbacks", raising=False)  # another test's
    assert train(tmp_path / "out", *options, *words.split()) == 0
    rows = [(int(s), float(v)) for s, _, n, v in metrics(folder(tmp_path / "out")) if n == "w"]
    assert len(rows) > 10 and all(step % 7 == 0 and value > 0 for step, value in rows)
