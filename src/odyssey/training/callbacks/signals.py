"""Stopping on Ctrl-C and SIGTERM where everything is consistent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pytorch_lightning import Callback, Trainer

from odyssey.training import console
from odyssey.training.module import RecurrentModule


class Interrupted(Exception):
    """A signal asked the run to stop; it can resume from its last checkpoint."""


class Signals(Callback):
    """Stops a run that a signal has asked to, after the update under way.

    The checkpoint of that update is written first, and its lines of metrics: `Interrupted` is
    raised when the next update, or the next validation, would begin. A validation or test is cut
    short after the batch under way, and is done again from its start when the run resumes.
    """

    def __init__(self) -> None:
        self.requested = False
        self.stopping = False  # at the end of this update; a checkpoint is due

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: RecurrentModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.requested and module.stepped:
            self.stopping = True

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        if self.stopping:
            raise Interrupted

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        self.raise_if_requested()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.raise_if_requested()

    on_test_batch_end = on_validation_batch_end

    def raise_if_requested(self) -> None:
        """Raises Interrupted if a signal came."""
        if self.requested:
            raise Interrupted

    @contextmanager
    def handled(self) -> Iterator[None]:
        """While it lasts, SIGINT or SIGTERM asks for a stop; a second one raises at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            if self.requested:
                raise KeyboardInterrupt
            self.requested = True
            with suppress(Exception):  # the signal came in the middle of a print, or of a bar
                console.line("stopping at the next update (again to stop at once) …")

        # What a shell has set to be ignored, as for `… &` in a script, stays ignored.
        numbers = [
            n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN
        ]
        before = {n: signal.signal(n, ask) for n in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
