"""Samples of what the model writes or plays, at each validation."""

from __future__ import annotations

from pytorch_lightning import Callback, Trainer

from odyssey.tasks.base import Task
from odyssey.training.logger import run_logger
from odyssey.training.module import RecurrentModule


class Samples(Callback):
    """Writes a sample to `samples/` and W&B at each validation, where the task has samples."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def on_validation_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Draw by a generator of its own, so that no later number depends on it."""
        task = module.task
        if not self.enabled or trainer.sanity_checking:
            return
        if type(task).write_sample is Task.write_sample:
            return  # no samples: no folder either
        logger = run_logger(trainer)
        folder = logger.folder.samples
        folder.mkdir(parents=True, exist_ok=True)
        path = task.write_sample(
            module.sampler(),
            folder / f"step-{module.updates:07d}",
            seed=task.seed,
            device=module.device,
        )
        if path is not None:
            logger.log_sample(path)
