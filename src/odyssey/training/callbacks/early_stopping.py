"""Early stopping by the task's monitor."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping

from odyssey.training.module import RecurrentModule


class EarlyStopping(LightningEarlyStopping):
    """Lightning's early stopping, on the unrounded value of the metric that the task monitors.

    patience: validations in a row without a better one after which training stops; None: never
    """

    def __init__(self, patience: int | None) -> None:
        super().__init__(monitor="", check_finite=False, check_on_train_epoch_end=False)
        self.patience = patience  # type: ignore[assignment]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take over what the task monitors."""
        assert isinstance(pl_module, RecurrentModule)
        self.monitor, self.mode = f"valid/{pl_module.task.monitor}", pl_module.task.mode
        if not torch.isfinite(self.best_score):  # not resumed
            worst = torch.inf if self.mode == "min" else -torch.inf
            self.best_score = torch.tensor(worst, dtype=torch.float64)

    @property
    def state_key(self) -> str:
        return type(self).__qualname__

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the training where the patience is at its end."""
        if not trainer.sanity_checking:
            self._run_early_stopping_check(trainer)

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        if self.patience is None:
            return
        module: Any = trainer.lightning_module
        value = torch.tensor(module.evaluated[module.task.monitor], dtype=torch.float64)
        stop, self.stopping_reason_message = self._evaluate_stopping_criteria(value)
        if stop:
            self.stopped_epoch = math.ceil(module.schedule.epoch(module.updates))
            trainer.should_stop = True
