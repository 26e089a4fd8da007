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
        self.handlers: dict[int, Any] = {}  # while signals are handled, ours by their numbers

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

    def on_train_start(self, trainer: Trainer, *args: Any) -> None:
        self._take_back(trainer)

    def on_validation_start(self, trainer: Trainer, *args: Any) -> None:
        self._take_back(trainer)

    def on_test_start(self, trainer: Trainer, *args: Any) -> None:
        self._take_back(trainer)

    def _take_back(self, trainer: Trainer) -> None:
        """Handle signals ourselves again: Lightning puts a handler of SIGTERM in front of ours.

        It ends a fit at once, as if it had failed and without the checkpoint of the last update.
        """
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        if self.handlers:
            trainer._signal_connector.received_sigterm = False

    def raise_if_requested(self) -> None:
        """Raises Interrupted if a signal came."""
        if self.requested:
            raise Interrupted

    @contextmanager
    def handled(self) -> Iterator[None]:
        """While it lasts, SIGINT or SIGTERM asks for a stop; a second one of a kind raises at once.

        One of each is one request: who ends a whole job sends SIGTERM to each of its processes, of
        which the first may pass it on as SIGINT.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        seen: set[int] = set()

        def ask(number: int, frame: Any) -> None:
            if number in seen:
                raise KeyboardInterrupt
            seen.add(number)
            if self.requested:
                return
            self.requested = True
            with suppress(Exception):  # the signal came in the middle of a print, or of a bar
                console.line("stopping at the next update (again to stop at once) …")

        # What a shell has set to be ignored, as for `… &` in a script, stays ignored.
        numbers = [
            n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN
        ]
        self.handlers = dict.fromkeys(numbers, ask)
        before = {n: signal.signal(n, ask) for n in numbers}
        try:
            yield
        finally:
            self.handlers = {}
            for number, handler in before.items():
                signal.signal(number, handler)
