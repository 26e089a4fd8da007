"""Further arguments of Lightning's Trainer: which are passed on, and which are refused."""

from __future__ import annotations

import inspect
import random
import signal
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from odyssey.config.compose import compose
from odyssey.config.identity import config_hash
from odyssey.config.lightning import REFUSED
from odyssey.errors import UserError
from odyssey.training.callbacks import Signals
from run_kit import STREAMED, assert_same_run, folder, metrics, record, train, write_text

L = "trainer.lightning."
MNIST = [
    "task=mnist",
    "task.data=mnist5k",
    "task.order=rows",
    "cell=lstm",
    "model.hidden_size=7",
    "clip.threshold=0.1",
    "decay=cosine",
    "trainer.max_epochs=null",
    "trainer.max_steps=12",
    "trainer.val_every=4",
    "trainer.log_every=1",
]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    text = write_text(tmp_path / "text.txt", 2000)
    return [*STREAMED, "task.data=file", f"task.path={text}"]


def mistake(*overrides: str) -> str:
    with pytest.raises(UserError) as error:
        compose(list(overrides))
    (sentence,) = error.value.messages
    return sentence


def numbers(out: Path, prefix: str) -> list[tuple[int, str, float]]:
    rows = metrics(folder(out))
    return [(int(s), name, float(value)) for s, _, name, value in rows if name.startswith(prefix)]


# -- refused ---------------------------------------------------------------------------------


def test_every_refusal_is_of_an_argument_that_there_is() -> None:
    assert set(REFUSED) <= set(inspect.signature(Trainer.__init__).parameters)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_would_break_a_promise_is_refused_with_the_reason(name: str) -> None:
    sentence = mistake(f"{L}{name}=2")
    assert sentence.startswith(f"{L}{name}=2 is not allowed, since ") and ": type " in sentence


def test_mistakes_are_sentences() -> None:
    assert "trainer.max_epochs=3" in mistake(f"{L}max_epochs=3")
    assert "one process trains a run" in mistake(f"{L}devices=2")
    assert "did you mean 'profiler'?" in mistake(f"{L}profler=simple")
    assert "advanced, pytorch, simple" in mistake(f"{L}profiler=fancy")
    assert "whole number of batches, or a share" in mistake(f"{L}limit_train_batches=1.5")
    assert f"{L}limit_val_batches=0 is out of range" in mistake(f"{L}limit_val_batches=0")
    assert "is not a whole number" in mistake(f"{L}accumulate_grad_batches=two")
    assert f"type {L}detect_anomaly=true" in mistake(f"{L}detect_anomaly=1")
    assert "keys with values" in mistake("trainer.lightning=5")


def test_one_device_is_what_there_is() -> None:
    compose([f"{L}devices=1"])


def test_more_batches_than_an_epoch_has_are_a_sentence(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "out", *options, f"{L}accumulate_grad_batches=900") == 2
    err = capsys.readouterr().err
    assert f"{L}accumulate_grad_batches=900 is more than the" in err and "Traceback" not in err


# -- identity --------------------------------------------------------------------------------


def test_what_changes_numbers_is_part_of_the_run() -> None:
    plain = config_hash(compose())
    for word in ("profiler=simple", "detect_anomaly=true", "num_sanity_val_steps=2"):
        assert config_hash(compose([f"{L}{word}"])) == plain, word
    for word in ("accumulate_grad_batches=2", "limit_train_batches=3", "limit_val_batches=0.5"):
        assert config_hash(compose([f"{L}{word}"])) != plain, word


# -- passed on -------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_only_looks_changes_nothing(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*options, "trainer.loop=lightning"]
    assert train(tmp_path / "plain", *options) == 0
    looks = ("profiler=simple", "detect_anomaly=true", "num_sanity_val_steps=2")
    looks += ("deterministic=true", "enable_model_summary=true")
    capsys.readouterr()
    assert train(tmp_path / "looks", *options, *(f"{L}{word}" for word in looks)) == 0
    run = folder(tmp_path / "looks")
    assert_same_run(folder(tmp_path / "plain"), run)
    assert "run_training_batch" in (run / "profiles" / "fit-simple.txt").read_text()
    assert f"profile     {run / 'profiles'}" in capsys.readouterr().out
    assert not torch.are_deterministic_algorithms_enabled()  # put back for the next run


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["norm", "value"])
def test_two_batches_of_n_are_one_of_twice_the_size(clip: str, tmp_path: Path) -> None:
    """Losses, gradient norms, clipping, rates, validations and weights, update by update."""
    same = [*MNIST, f"clip={clip}", "trainer.precision=64"]
    assert train(tmp_path / "one", *same, "task.batch_size=16") == 0
    two = ["task.batch_size=8", f"{L}accumulate_grad_batches=2"]
    assert train(tmp_path / "two", *same, *two) == 0
    one, other = record(folder(tmp_path / "one")), record(folder(tmp_path / "two"))
    assert one["steps"] == other["steps"] == 12 and one["epochs"] == other["epochs"]
    assert one["clipped_share"] == other["clipped_share"] > 0
    for prefix in ("train/", "valid/"):
        a, b = (numbers(tmp_path / out, prefix) for out in ("one", "two"))
        assert [row[:2] for row in a] == [row[:2] for row in b]
        assert [row[2] for row in a] == pytest.approx([row[2] for row in b], rel=1e-6)
    a, b = (
        torch.load(folder(tmp_path / out) / "checkpoints/last.ckpt", weights_only=True)["model"]
        for out in ("one", "two")
    )
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_accumulating_interrupted_at_any_update(
    tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*options, f"{L}accumulate_grad_batches=3", "trainer.max_epochs=4"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, *options) == 0
    total = record(folder(whole))["steps"]
    real = Signals.on_train_batch_end
    for stop in sorted({random.randrange(1, total), 25, total}):

        def signalled(self: Signals, trainer, module, *rest, stop: int = stop) -> None:
            if module.updates == stop - 1 and not module.stepped or stop == 1:
                self.requested = True  # amid the batches of the update
            real(self, trainer, module, *rest)

        monkeypatch.setattr(Signals, "on_train_batch_end", signalled)
        assert train(broken, *options) == 130
        assert record(folder(broken))["steps"] == stop
    monkeypatch.setattr(Signals, "on_train_batch_end", real)
    assert train(broken, *options) == 0
    assert_same_run(folder(whole), folder(broken))


@pytest.mark.slow
def test_limits(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """So many training batches make an epoch; a validation of one batch is another number."""
    options = [*options, "trainer.val_every=null", "task.eval_batch_size=1"]
    options += ["trainer.loop=lightning"]
    assert train(tmp_path / "train", *options, f"{L}limit_train_batches=6") == 0
    assert record(folder(tmp_path / "train"))["steps"] == 12
    assert "6 updates an epoch, 12 in all, a validation every 6" in capsys.readouterr().out
    assert train(tmp_path / "half", *options, f"{L}limit_train_batches=0.5") == 0
    assert train(tmp_path / "whole", *options) == 0
    half, whole = record(folder(tmp_path / "half")), record(folder(tmp_path / "whole"))
    assert half["steps"] // 2 == whole["steps"] // 2 // 2
    limits = [f"{L}limit_val_batches=1", f"{L}limit_test_batches=2"]
    assert train(tmp_path / "valid", *options, *limits) == 0
    valid = record(folder(tmp_path / "valid"))
    assert valid["steps"] == whole["steps"]
    for name in ("valid/nats_per_char", "test/nats_per_char"):
        assert valid["metrics"][name] != whole["metrics"][name]
    trained = [numbers(tmp_path / out, "train/loss") for out in ("valid", "whole")]
    assert trained[0] == trained[1]


def test_of_a_limited_epoch_every_epoch_has_the_first_batches(tmp_path: Path) -> None:
    """And the carried state starts anew with each."""
    from odyssey.tasks.base import Pass

    class Numbered:
        def __len__(self) -> int:
            return 7

        def get(self, epoch: int, index: int) -> tuple[int, int]:
            return epoch, index

    found = list(Pass(Numbered(), 0, 9, 3))  # type: ignore[arg-type]
    assert found == [(e, i) for e in range(3) for i in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_sigterm_after_a_validation_is_an_interruption(
    number: signal.Signals, tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning ends the process then; the run says that it was interrupted."""
    from odyssey.training.callbacks import Checkpoints

    real, calls = Checkpoints.on_train_epoch_end, []

    def signalled(self: Checkpoints, *rest) -> None:
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(number)
        real(self, *rest)

    assert train(tmp_path / "whole", *options) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "on_train_epoch_end", signalled)
        calls.clear()
        assert train(tmp_path / "broken", *options) == 130
    assert record(folder(tmp_path / "broken"))["status"] == "interrupted"
    assert train(tmp_path / "broken", *options) == 0
    assert_same_run(folder(tmp_path / "whole"), folder(tmp_path / "broken"))
