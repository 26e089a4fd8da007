"""The schedule of a run: updates, epochs, and where its validations lie.

A run is a count of updates. Which batch comes next, whether a validation is due and when to stop
are functions of that count, so a run that resumes from a checkpoint needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from odyssey.errors import UserError

MOST = 50  # validations of a run whose epochs are short


@dataclass(frozen=True)
class Schedule:
    """How long a run is, and how often it is validated.

    steps_per_epoch: updates in an epoch
    total: updates in the whole run
    val_every: updates between two validations; the last update is followed by one in any case
    accumulate: batches whose gradients make one update
    """

    steps_per_epoch: int
    total: int
    val_every: int
    accumulate: int = 1

    @classmethod
    def make(
        cls,
        batches_per_epoch: int,
        max_epochs: int | None,
        max_steps: int | None,
        val_every: int | None,
        val_within: int | None = None,
        *,
        accumulate: int = 1,
    ) -> Schedule:
        """From the configuration; one of the two limits is given.

        Without `val_every` there is a validation after each epoch. With `val_within`, there is one
        after that many updates where epochs are longer, and where they are short, at most MOST in
        the run (or one each `val_within` updates, if that is more).

        Batches that are left over at the end of an epoch, fewer than `accumulate`, are not used.
        Raises UserError where an epoch has fewer batches than one update takes.
        """
        steps_per_epoch = batches_per_epoch // accumulate
        if not steps_per_epoch:
            raise UserError(
                f"trainer.lightning.accumulate_grad_batches={accumulate} is more than the "
                f"{batches_per_epoch} batches of an epoch; type a smaller number, or a smaller "
                "task.batch_size"
            )
        limits = [max_steps, max_epochs and max_epochs * steps_per_epoch]
        total = min(n for n in limits if n is not None)
        every = val_every or steps_per_epoch
        if not val_every and val_within:
            every = min(val_within, max(steps_per_epoch, -(-total // MOST)))
        return cls(steps_per_epoch, total, every, accumulate)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch that are used."""
        return self.steps_per_epoch * self.accumulate

    def next_validation(self, step: int) -> int:
        """The update that the first validation after `step` updates follows."""
        return min((step // self.val_every + 1) * self.val_every, self.total)

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows update number `step`."""
        return step == self.total or step % self.val_every == 0

    def validations_left(self, step: int) -> int:
        """Validations still to come after `step` updates."""
        return -(-self.total // self.val_every) - step // self.val_every if step < self.total else 0

    def round(self, step: int) -> tuple[int, int]:
        """The batches from here to the next validation: first and last + 1, over all epochs."""
        return step * self.accumulate, self.next_validation(step) * self.accumulate

    def epoch(self, step: int) -> float:
        """Epochs done after `step` updates, with the fraction of the one under way."""
        return step / self.steps_per_epoch
