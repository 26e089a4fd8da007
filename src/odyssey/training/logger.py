"""The logger of a run: what is logged goes to its folder's `metrics.csv`, then to W&B."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from odyssey.training.module import RecurrentModule
from odyssey.training.run_dir import RunFolder
from odyssey.training.wandb import Tracker


class RunLogger(Logger):
    """Lightning's logger of a run, so that `self.log` in a user's callback is kept as well.

    A line stands at the number of updates done so far, whatever step Lightning counts.
    """

    def __init__(self, folder: RunFolder, tracker: Tracker, module: RecurrentModule) -> None:
        super().__init__()
        self.folder, self.tracker, self.module = folder, tracker, module

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.path.name

    @property
    def version(self) -> str:
        """Nothing: a run has one version."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.folder.path)

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        return str(self.folder.path)

    @property
    def experiment(self) -> Any:
        """W&B's run; None without W&B."""
        return self.tracker.run

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write a line of metrics at the current update."""
        assert self.module.schedule is not None
        values = {name: value for name, value in metrics.items() if name not in ("epoch", "step")}
        step = self.module.updates
        epoch = self.module.schedule.epoch(step)
        self.folder.log(step, epoch, values)
        self.tracker.log(step, epoch, values)

    def log_sample(self, path: Path) -> None:
        """Upload a sample that lies in the run's folder."""
        self.tracker.sample(self.module.updates, path)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration is in the run's folder and at W&B already."""


def run_logger(trainer: Trainer) -> RunLogger:
    """The RunLogger among the trainer's loggers."""
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            return logger
    raise RuntimeError("Odyssey's callbacks need its RunLogger; train with odyssey.training.train")
