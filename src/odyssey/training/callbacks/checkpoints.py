"""The callback that writes checkpoints, from which a run resumes bit for bit."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Checkpoint

from odyssey.errors import UserError
from odyssey.training import checkpoint
from odyssey.training.callbacks.signals import Signals
from odyssey.training.logger import run_logger
from odyssey.training.module import RecurrentModule


class Checkpoints(Checkpoint):
    """Writes `last.ckpt`, with all that the next update depends on, and `best.ckpt`.

    every: updates between two checkpoints besides those at each validation; None: none besides

    `last.ckpt` holds the state of the other callbacks too, as their `state_dict` gives it.
    """

    def __init__(self, every: int | None) -> None:
        self.every = every
        self.seconds = 0.0  # spent in training, over all sessions
        self.stopped = False  # a callback has ended the training before its last update
        self.run = ""  # the hash of the run's configuration, which its checkpoints are to have
        self.callbacks: dict[str, Callback] = {}  # by name, those whose state is kept
        self._random: Mapping[str, Any] | None = None  # to put back when training starts
        self._clock: float | None = None
        self._signals: Signals | None = None

    def watch(self, callbacks: Mapping[str, Callback]) -> None:
        """Keep the state of these callbacks, by name."""
        self.callbacks = {n: c for n, c in callbacks.items() if c is not self}
        self._signals = next((c for c in callbacks.values() if isinstance(c, Signals)), None)

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Take over a checkpoint's times, and the state of the callbacks."""
        self.seconds, self.stopped = saved["seconds"], saved["stopped"]
        self._random = saved["random"]
        for name, callback in self.callbacks.items():
            if name in saved["callbacks"]:
                try:
                    callback.load_state_dict(saved["callbacks"][name])
                except checkpoint.MISFITS as error:
                    if not type(callback).__module__.startswith("odyssey."):
                        raise
                    raise UserError(
                        f"last.ckpt has another state of callbacks.{name} than that has; "
                        f"{checkpoint.WAY_OUT}"
                    ) from error

    def count_seconds(self) -> None:
        """Bring `seconds` up to now."""
        now = time.monotonic()
        if self._clock is not None:
            self.seconds += now - self._clock
        self._clock = now

    def begin(self) -> None:
        """Start the clock, and put back the random state of the checkpoint."""
        self._clock = time.monotonic()
        if self._random is not None:
            checkpoint.set_random_state(self._random)
            self._random = None

    def on_train_start(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Put back the random state, after whatever other callbacks have drawn."""
        self.begin()
        # Lightning's count of updates is that of the whole run, for callbacks that look at it.
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped = module.updates
        loop.automatic_optimization.optim_progress.optimizer.step.total.completed = module.updates

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: RecurrentModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a checkpoint is due, or where the run is about to be interrupted."""
        if not module.stepped:
            return
        assert module.schedule is not None
        step = module.updates
        due = bool(self.every) and step % self.every == 0  # type: ignore[operator]
        stopping = self._signals is not None and self._signals.stopping
        if (due or stopping) and not module.schedule.validates_after(step):
            self.save(trainer, module)

    def on_validation_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Save the weights if they are the best so far."""
        if trainer.sanity_checking or module.best_step != module.updates:
            return
        assert module.schedule is not None
        content = {
            "step": module.updates,
            "epoch": module.schedule.epoch(module.updates),
            "model": module.model.state_dict(),
            "task": module.task.export(),
            "metrics": dict(module.evaluated),
            "run": self.run,
        }
        checkpoint.save(content, run_logger(trainer).folder.best_checkpoint)

    def on_train_epoch_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Save after each validation, when its metrics are written and nothing is under way."""
        self.stopped = trainer.should_stop
        self.save(trainer, module)

    def save(self, trainer: Trainer, module: RecurrentModule) -> None:
        """Write `last.ckpt`."""
        self.count_seconds()
        folder = run_logger(trainer).folder
        content = checkpoint.snapshot(module) | {
            "run": self.run,
            "written": folder.seal_metrics(),
            "random": checkpoint.random_state(),
            "seconds": self.seconds,
            "stopped": self.stopped,
            "callbacks": {name: _plain_state(name, c) for name, c in self.callbacks.items()},
        }
        checkpoint.save(content, folder.last_checkpoint)


def _plain_state(name: str, callback: Callback) -> dict[str, Any]:
    """A callback's state. Raises UserError where a checkpoint cannot hold it."""
    state = callback.state_dict()
    if state and not type(callback).__module__.startswith("odyssey."):
        whole = io.BytesIO()
        try:
            torch.save(state, whole)
            whole.seek(0)
            torch.load(whole, weights_only=True)
        except Exception:
            raise UserError(
                f"callbacks.{name}: what its state_dict() returns cannot be kept in a checkpoint; "
                "let it return tensors, numbers, texts, lists and dicts alone"
            ) from None
    return state
