"""The logger of a run: what is logged goes to its folder's `metrics.csv`, then to W&B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger

from odyssey.training.module import RecurrentModule
from odyssey.training.run_dir import RunFolder
from odyssey.training.wandb import Tracker


class RunLogger(Logger):
    """Lightning's logger of a run, so that `self.log` in a user's callback is kept as well.

    A line stands at the number of updates done so far, whatever step Lightning counts. `others`,
    the loggers of the user's own, get the same lines.
    """

    def __init__(
        self,
        folder: RunFolder,
        tracker: Tracker,
        module: RecurrentModule,
        others: Sequence[Logger] = (),
    ) -> None:
        super().__init__()
        self.folder, self.tracker, self.module = folder, tracker, module
        self.others = others

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
        for other in self.others:
            other.log_metrics({"epoch": epoch, **values}, step)

    def save(self) -> None:
        """Let the others write what they have."""
        for other in self.others:
            other.save()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Tell the others the run's settings, by their keys."""
        for other in self.others:
            other.log_hyperparams(dict(settings))

    def finalize(self, status: str) -> None:
        """Close the others. Lightning calls this after training and again after the test."""
        for other in self.others:
            other.save()
            other.finalize(status)

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
