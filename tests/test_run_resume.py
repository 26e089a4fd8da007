"""A run that was stopped and goes on equals one that never stopped, bit for bit."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from run_kit import (
    SEQUENCES,
    STREAMED,
    assert_same_run,
    folder,
    kill,
    metrics,
    record,
    start,
    train,
    wait_for_step,
    write_text,
)


def overrides(task: str, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    if task == "streamed":
        path = tmp_path / "text.txt"
        if not path.exists():
            write_text(path)
        return [*STREAMED, "task.data=file", f"task.path={path}"]
    return [*SEQUENCES, f"data_dir={request.getfixturevalue('shared_data')}"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["streamed", "sequences"])
def test_killed_in_an_epoch_and_started_again(
    task: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = overrides(task, tmp_path, request)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, *options) == 0
    first = start(broken, *options)
    wait_for_step(broken, random.randint(7, 18), first)
    kill(first)
    at = record(folder(broken))
    assert at["status"] == "running" and at["metrics"] == {}
    again = start(broken, *options)
    wait_for_step(broken, 28, again)  # past the first validation
    kill(again)
    assert train(broken, *options) == 0
    assert record(folder(broken))["status"] == "finished"
    assert_same_run(folder(whole), folder(broken))


@pytest.mark.parametrize("task", [pytest.param("streamed", marks=pytest.mark.slow), "sequences"])
@pytest.mark.parametrize("loop", ["compiled", "lightning"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_update_in_one_process(
    task: str,
    number: signal.Signals,
    loop: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from odyssey.training.callbacks import Signals

    options = [*overrides(task, tmp_path, request), f"trainer.loop={loop}"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, *options) == 0
    total = record(folder(whole))["steps"]
    real = Signals.on_train_batch_end
    # Among them an update right before a validation, and the last one.
    stops = sorted({random.randrange(1, total), 20 if task == "sequences" else 25, total})

    stopped = [0]
    for stop in stops:
        if stop <= stopped[-1]:  # the updates before went so far
            continue
        stopped = []

        def signalled(self: Signals, trainer, module, *rest, stop: int = stop, stopped=stopped):
            if module.updates >= stop and not stopped:
                stopped.append(module.updates)  # several updates at a time, in C
                signal.raise_signal(number)
            real(self, trainer, module, *rest)

        monkeypatch.setattr(Signals, "on_train_batch_end", signalled)
        assert train(broken, *options) == 130
        now = record(folder(broken))
        assert now["status"] == "interrupted" and [now["steps"]] == stopped
        assert loop == "compiled" or stopped == [stop]
    monkeypatch.setattr(Signals, "on_train_batch_end", real)
    assert train(broken, *options) == 0
    assert_same_run(folder(whole), folder(broken))


@pytest.mark.slow
def test_rows_after_the_last_checkpoint_are_made_again(tmp_path: Path) -> None:
    options = [*STREAMED, "task.data=file", f"task.path={write_text(tmp_path / 'text.txt')}"]
    out = tmp_path / "out"
    process = start(out, *options, "trainer.checkpoint_every=null", "trainer.log_every=1")
    wait_for_step(out, 31, process)
    kill(process)
    assert len([r for r in metrics(folder(out)) if int(r[0]) > 25]) > 0
    # A row cut short, as a full disk might leave it.
    with (folder(out) / "metrics.csv").open("a") as file:
        file.write("31,0.4,train/lo")
    assert train(out, *options, "trainer.checkpoint_every=null", "trainer.log_every=1") == 0
    rows = metrics(folder(out))
    assert len(set(r[:3] for r in rows)) == len(rows)
    steps = [int(r[0]) for r in rows]
    assert steps == sorted(steps)
    assert {int(r[0]) for r in rows if r[2] == "train/loss"} == set(range(1, max(steps) + 1))
