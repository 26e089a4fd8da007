"""Where a run stands: updates, epochs, and the rounds between validations.

A run is a count of updates. Which batch comes next, whether a validation is due and when to stop
are functions of that count, so a run that goes on from a checkpoint needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long a run is and where its validations lie, in updates."""

    steps_per_epoch: int
    total: int
    val_every: int

    @classmethod
    def make(
        cls,
        steps_per_epoch: int,
        max_epochs: int | None,
        max_steps: int | None,
        val_every: int | None,
    ) -> Schedule:
        """From the configuration; one of the two limits is given."""
        limits = [max_steps, max_epochs and max_epochs * steps_per_epoch]
        total = min(n for n in limits if n is not None)
        return cls(steps_per_epoch, total, val_every or steps_per_epoch)

    def boundary(self, step: int) -> int:
        """The first validation after `step` updates."""
        return min((step // self.val_every + 1) * self.val_every, self.total)

    def is_boundary(self, step: int) -> bool:
        """Whether a validation follows update number `step`."""
        return step == self.total or step % self.val_every == 0

    def rounds(self, step: int) -> int:
        """Validations still to come after `step` updates."""
        return -(-self.total // self.val_every) - step // self.val_every if step < self.total else 0

    def epoch(self, step: int) -> float:
        """Epochs done after `step` updates, with the fraction of the one under way."""
        return step / self.steps_per_epoch
