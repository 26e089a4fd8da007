"""The progress bar, and a line for each validation."""

from __future__ import annotations

import sys
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ProgressBar

from odyssey.bars import new_bar
from odyssey.training import console
from odyssey.training.module import RecurrentModule


class Progress(ProgressBar):
    """Shows the updates done out of all, and prints a line for each validation.

    bar: whether to draw a bar; where there is neither a terminal nor a notebook there is none
    """

    def __init__(self, bar: bool = True) -> None:
        super().__init__()
        self._show = bar
        self._bar: Any = None
        self._numbers: dict[str, str] = {}  # beside the bar
        self._trained: dict[str, float] | None = None  # of which the bar shows the loss

    def disable(self) -> None:
        """Draw no bar."""
        self._show = False

    def enable(self) -> None:
        """Draw a bar where there is a terminal."""
        self._show = True

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Print above the bar."""
        console.line(sep.join(map(str, args)))

    def on_train_start(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Begin the bar, at the updates of earlier sessions."""
        assert module.schedule is not None
        self._bar = new_bar(
            total=module.schedule.total,
            initial=module.updates,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
            disable=None if self._show else True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total} "
            "[{elapsed}<{remaining}{postfix}]",
        )

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: RecurrentModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on, and show the loss of a new line of metrics."""
        if self._bar is None:
            return
        self._bar.update(module.updates - self._bar.n)
        if module.trained and module.trained is not self._trained:
            self._trained = module.trained
            self._show_numbers(module, loss=module.trained["loss"])

    def on_validation_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Print what the validation found."""
        if trainer.sanity_checking:
            return
        assert module.schedule is not None
        step, metrics = module.updates, module.evaluated
        values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        console.line(
            f"step {step:>6}  epoch {module.schedule.epoch(step):6.2f}  valid  {values}"
            f"{'  (best)' if module.best_step == step else ''}"
            f"{'  (see the warning)' if module.task.caveat else ''}"
        )
        self._show_numbers(module, **{module.task.monitor: metrics[module.task.monitor]})

    def _show_numbers(self, module: RecurrentModule, **values: float) -> None:
        if self._bar is None:
            return
        assert module.schedule is not None
        self._numbers.update({name: f"{value:.4g}" for name, value in values.items()})
        size, total = module.schedule.steps_per_epoch, module.schedule.total
        epochs = -(-total // size)
        epoch = min(module.updates // size + 1, epochs)
        self._bar.set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
        self._bar.set_postfix(self._numbers, refresh=False)

    def on_train_end(self, *args: Any) -> None:
        """Leave the terminal as it was."""
        self.close()

    def on_exception(self, *args: Any) -> None:
        """Leave the terminal as it was."""
        self.close()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
