"""The training of a run whose updates are made in C: Lightning's loop, in the few lines it takes.

The run's callbacks are called at the same places and in the same order as Lightning calls them,
with a `Host` in place of its Trainer; but the hooks around a batch are called once for the updates
of a stretch, which ends where a line of metrics, a checkpoint or a validation is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from odyssey.tasks.base import Batch, Split
from odyssey.training.callbacks import Checkpoints, EarlyStopping, Metrics, Signals
from odyssey.training.logger import RunLogger
from odyssey.training.module import RecurrentModule
from odyssey.training.program import Program

SECONDS = 0.25  # of a stretch, at most: a signal is heeded at its end


@dataclass
class Host:
    """What our callbacks ask of Lightning's Trainer."""

    lightning_module: RecurrentModule
    callbacks: Sequence[Callback]
    logger: RunLogger
    should_stop: bool = False
    sanity_checking: bool = False

    @property
    def loggers(self) -> list[RunLogger]:
        """The run's logger."""
        return [self.logger]

    def call(self, hook: str, *more: Any) -> None:
        """Call a hook of all callbacks, in their order."""
        for callback in self.callbacks:
            getattr(callback, hook)(self, self.lightning_module, *more)


class Loop:
    """Trains and tests a run by its program. `fit` and `test` are what Lightning's Trainer does."""

    def __init__(
        self,
        module: RecurrentModule,
        program: Program,
        callbacks: Sequence[Callback],
        logger: RunLogger,
    ) -> None:
        self.module, self.program = module, program
        self.host = Host(module, callbacks, logger)
        self.signals = next(c for c in callbacks if isinstance(c, Signals))
        self.seconds = 0.0  # that an update takes
        module.program = program

    def fit(self) -> None:
        """Train to the end of the schedule, or until a callback stops the run.

        Raises Diverged, or Interrupted or KeyboardInterrupt after a signal.
        """
        module, host = self.module, self.host
        assert module.schedule is not None
        try:
            self._begin()
            while module.updates < module.schedule.total and not host.should_stop:
                host.call("on_train_epoch_start")
                end = module.schedule.next_validation(module.updates)
                while module.updates < end:
                    self._advance(end)
                self._evaluate("valid", module.validation_step)
                host.call("on_validation_end")
                module.train()  # not before: callbacks draw samples, without dropout
                host.call("on_train_epoch_end")
            host.call("on_train_end")
        except BaseException as error:
            host.call("on_exception", error)
            raise

    def test(self) -> None:
        """Compute the metrics of the test part with the weights as they are."""
        self._evaluate("test", self.module.test_step)

    def _begin(self) -> None:
        for callback in self.host.callbacks:
            if isinstance(callback, EarlyStopping):
                callback.setup(self.host, self.module, "fit")  # type: ignore[arg-type]
            if isinstance(callback, Checkpoints):
                callback.begin()
            elif not isinstance(callback, Signals):
                callback.on_train_start(self.host, self.module)  # type: ignore[arg-type]

    def _advance(self, end: int) -> None:
        """One stretch of updates: to what is due next, and to `end` at most."""
        at = self.module.updates
        self.signals.on_train_batch_start()
        every = [c.every for c in self.host.callbacks if isinstance(c, (Metrics, Checkpoints))]
        count = min([end - at, *(n - at % n for n in every if n)])
        # The first update tells how long one takes.
        count = min(count, max(1, int(SECONDS / self.seconds))) if self.seconds else 1
        began = time.monotonic()
        made = self.program.advance(count)
        self.seconds = (time.monotonic() - began) / made
        self.host.call("on_train_batch_end", None, None, 0)

    def _evaluate(self, split: Split, step: Callable[[Batch, int], None]) -> None:
        module = self.module
        batches = module.task.ready(split)
        module.eval()
        with torch.inference_mode():
            for index in range(len(batches)):
                step(batches.get(0, index), index)
                self.signals.raise_if_requested()
            if split == "valid":
                module.close_validation()
            else:
                module.on_test_epoch_end()


class LightningLoop:
    """The same by Lightning's Trainer."""

    def __init__(self, module: RecurrentModule, trainer: Trainer) -> None:
        self.module, self.trainer = module, trainer

    def fit(self) -> None:
        """As `Loop.fit`."""
        self.trainer.fit(self.module, datamodule=self.module.task)

    def test(self) -> None:
        """As `Loop.test`."""
        self.trainer.test(self.module, datamodule=self.module.task, verbose=False)
