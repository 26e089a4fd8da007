"""The callback that writes metrics, and ends a run whose numbers are not finite."""

from __future__ import annotations

import math
import time
from typing import Any

from pytorch_lightning import Callback, Trainer

from odyssey.training.logger import run_logger
from odyssey.training.module import Diverged, RecurrentModule


class Metrics(Callback):
    """Writes the metrics of training and of each validation to `metrics.csv` and W&B.

    every: updates between two lines of training metrics, which are means over these updates

    Raises Diverged where the loss, or the monitored metric of a validation, is not finite.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._since = (0, 0.0)  # update and time of the last line

    def on_train_epoch_start(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Begin to measure the speed; a validation and its samples are not part of it."""
        self._since = (module.updates, time.monotonic())

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: RecurrentModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line where one is due, or where the loss is not finite."""
        if not module.stepped:
            return
        assert module.schedule is not None
        step = module.updates
        if (
            step % self.every == 0
            or module.schedule.validates_after(step)
            # On a GPU the question would wait for the device, and is put at each line only.
            or (module.device.type == "cpu" and not math.isfinite(float(module.losses)))
        ):
            self._write_trained(trainer, module)
            module.check_finite()

    def _write_trained(self, trainer: Trainer, module: RecurrentModule) -> None:
        step, now = module.updates, time.monotonic()
        values = {f"train/{name}": value for name, value in module.collect_trained().items()}
        values["train/lr"] = module.rate
        since, then = self._since
        if now > then:
            values["time/steps_per_s"] = (step - since) / (now - then)
        self._since = (step, now)
        run_logger(trainer).log_metrics(values)

    def on_validation_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Write what the validation found."""
        if trainer.sanity_checking:
            return
        metrics = module.evaluated
        run_logger(trainer).log_metrics({f"valid/{k}": v for k, v in metrics.items()})
        monitor = module.task.monitor
        if not math.isfinite(metrics[monitor]):
            raise Diverged(f"valid/{monitor} is not finite at update {module.updates}")
