"""The progress bar of a run, and lines that do not break it."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from odyssey.training.rounds import Plan


class Bar:
    """Updates done out of all, with the loss and the last validation; nothing where there is no
    terminal to draw it on."""

    def __init__(self, plan: Plan, done: int, show: bool) -> None:
        self.plan = plan
        self._bar: Any = tqdm(
            total=plan.total,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
            disable=None if show else True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total} "
            "[{elapsed}<{remaining}{postfix}]",
        )
        self._shown: dict[str, str] = {}

    def update(self, step: int) -> None:
        """Move to `step` updates."""
        self._bar.update(step - self._bar.n)

    def show(self, step: int, **values: float) -> None:
        """Put numbers beside the bar."""
        self._shown.update({name: f"{value:.4g}" for name, value in values.items()})
        epochs = -(-self.plan.total // self.plan.steps_per_epoch)
        epoch = min(step // self.plan.steps_per_epoch + 1, epochs)
        self._bar.set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
        self._bar.set_postfix(self._shown, refresh=False)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
