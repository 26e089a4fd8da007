"""The LightningModule of a run: one training step, one validation step, and what they leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from odyssey.errors import UserError
from odyssey.nn import StackState, detach
from odyssey.tasks.base import Batch, Sums, Task
from odyssey.training.confusion import Confusion
from odyssey.training.items import Items
from odyssey.training.optim import Decay, clip_gradients, make_decay, make_optimizer
from odyssey.training.schedule import Schedule

FAR = 2.0  # times the loss of guessing: beyond it a model has not learned badly, it has exploded


class Diverged(Exception):
    """The loss or a metric is not finite, or far worse than guessing. A result, not an error."""


class Meter:
    """Sums of what each step gives, kept on the device; only `means` waits for it."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor | float] = {}

    def add(self, values: Mapping[str, tuple[Tensor, Tensor | float]]) -> None:
        """Add (sum, count) under each name."""
        for name, (total, count) in values.items():
            # Sums over a whole split want more than float32, which rounds off past 2^24.
            total = total.detach().double()
            if isinstance(count, Tensor):
                count = count.double()
            if name in self.sums:
                self.sums[name] = self.sums[name] + total
                self.counts[name] = self.counts[name] + count
            else:
                self.sums[name], self.counts[name] = total, count

    def means(self, of_nothing: float = 0.0) -> dict[str, float]:
        """Sum over count of each name, `of_nothing` where the count is 0; starts anew."""
        counts = {name: float(count) for name, count in self.counts.items()}
        means = {
            name: float(total) / counts[name] if counts[name] else of_nothing
            for name, total in self.sums.items()
        }
        self.sums, self.counts = {}, {}
        return means


class RecurrentModule(LightningModule):
    """A model on a task, trained with truncated backpropagation through time.

    Streamed tasks give windows; the state goes from one to the next, cut from its graph. Sequence
    tasks give whole sequences; the model cuts the gradient every `bptt.length` steps.

    A callback may read these attributes:

    updates: optimizer steps done, over all sessions of the run
    stepped: whether the last batch ended in one; not so amid the batches of an accumulated gradient
    rate: the learning rate of the last update
    trained: means of loss, gradient norm and clipping between the last two lines of metrics
    evaluated: metrics of the last validation or test
    best_step, best_metrics: the best validation so far, by the task's monitor
    """

    def __init__(
        self, model: nn.Module, task: Task, cfg: Any, schedule: Schedule | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.schedule = schedule
        # Read once: each look into an OmegaConf configuration costs some ten microseconds.
        self.optimizer_cfg, self.decay_cfg = cfg.optimizer, cfg.decay
        self.clip = (cfg.clip.kind, cfg.clip.threshold)
        self.truncation, self.overfit = cfg.bptt.length, cfg.trainer.overfit_batch
        self.optimizer: Optimizer | None = None
        self.decay: Decay | None = None
        self.updates = 0
        self.stepped = False
        self.rate = 0.0
        self.carried: StackState | None = None  # of a streamed task, from window to window
        self.losses = torch.zeros(())  # sum since the last look, to see a loss that is not finite
        self.train_meter = Meter()
        self.trained: dict[str, float] = {}
        self.clipped: list[float] = [0.0, 0]  # clipped updates, all updates, as far as `trained`
        self.eval_meter = Meter()
        self.eval_carried: StackState | None = None
        self.evaluated: dict[str, float] = {}
        self.guess_meter = Meter()
        self.guessed: dict[str, float] = {}  # the metrics of guessing, on the test part
        self.items: Items | None = None  # the scores of each test sequence, where they are kept
        self.confusion: Confusion | None = None  # of the test, where it is kept
        self.program: Any = None  # where updates are made in C, what makes them
        self.best_step: int | None = None
        self.best_metrics: dict[str, float] = {}

    def forward(
        self, batch: Batch, state: StackState | None = None, truncation: int | None = None
    ) -> tuple[Tensor, StackState]:
        """Logits of a batch and the state after it."""
        more = {} if batch.starts is None else {"starts": batch.starts}
        return self.model(
            batch.inputs,
            batch.lengths,
            state,
            truncation=truncation,
            decoder=batch.decoder,
            **more,
        )

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """The task knows which parts stay on the CPU."""
        return self.task.transfer_batch_to_device(batch, device, dataloader_idx)

    # -- training ---------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        self.stepped = False
        if not self.overfit:
            batch = self.task.perturb(batch)
        if self.task.streamed:
            logits, state = self(batch, None if batch.reset else self.carried)
            self.carried = detach(state)
        else:
            logits, _ = self(batch, truncation=self.truncation)
        loss = self.task.checked_loss(logits, batch)
        self.losses = self.losses.to(loss.device) + loss.detach()
        self.train_meter.add({"loss": (loss, 1.0)})
        return loss

    def configure_optimizers(self) -> Optimizer:
        """The configuration's optimizer over all weights, with its decay; made once."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.optimizer_cfg, self.parameters())
            if self.schedule is not None:
                self.decay = make_decay(
                    self.decay_cfg, self.optimizer, self.schedule, self.task.mode
                )
        return self.optimizer

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as `clip` says, and keep the norm before it."""
        norm, clipped = clip_gradients(self.parameters(), *self.clip)
        self.train_meter.add({"grad_norm": (norm, 1.0), "clipped": (clipped, 1.0)})

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """One update of the weights, then of the learning rate.

        Raises UserError where an optimizer of the user's own does not evaluate the loss.
        """
        evaluated = False

        def closure() -> Any:
            nonlocal evaluated
            evaluated = True
            return optimizer_closure()

        optimizer.step(closure=closure)
        if not evaluated:
            raise UserError(
                f"optimizer._target_={self.optimizer_cfg._target_} does not call the closure that "
                "its step is given: begin it with loss = closure(), under torch.enable_grad()"
            )
        self.updates += 1
        self.stepped = True
        self.rate = optimizer.param_groups[0]["lr"]
        if self.decay is not None:
            self.decay.after_update(self.updates)

    def collect_trained(self) -> dict[str, float]:
        """Set and return `trained`, the means since the last call. Waits for the device."""
        steps = int(self.train_meter.counts["clipped"])
        self.trained = self.train_meter.means()
        self.clipped = [self.clipped[0] + self.trained["clipped"] * steps, self.clipped[1] + steps]
        return self.trained

    def check_finite(self) -> None:
        """Raise Diverged if a loss since the last look was not finite. Waits for the device."""
        finite = bool(torch.isfinite(self.losses))
        self.losses = torch.zeros_like(self.losses)
        if not finite:
            raise Diverged(f"the loss is not finite at update {self.updates}")

    # -- validation and test ----------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the metrics of the split."""
        if self.program is None:
            self._evaluate(batch)
        elif (found := self.program.scores(batch, self._state_before(batch))) is None:
            self._evaluate(batch)
        else:
            scores, self.eval_carried = found
            self.eval_meter.add({k: (torch.tensor(v), n) for k, (v, n) in scores.items()})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same, with what guessing would get, and the scores of each sequence where kept."""
        logits = self._evaluate(batch)
        if (guess := self.task.guess(logits)) is not None:
            self.guess_meter.add(self.task.scores(guess, batch))
        if self.items is not None:
            self.items.add(logits, batch, batch_idx)
        if self.confusion is not None:
            self.confusion.add(logits, self.task.right(batch))

    def _evaluate(self, batch: Batch) -> Tensor:
        """The logits of a batch, with the state carried where it is streamed."""
        state = self._state_before(batch)
        logits, after = (self if self.program is None else self.program.forward)(batch, state)
        if self.task.streamed:
            self.eval_carried = after
        scores: Sums = self.task.all_scores(logits, batch)
        self.eval_meter.add(scores)
        return logits

    def _state_before(self, batch: Batch) -> StackState | None:
        """The state that an evaluation has come to, of a streamed task."""
        return self.eval_carried if self.task.streamed and not batch.reset else None

    def on_validation_epoch_end(self) -> None:
        """Turn the sums into metrics; note the best, and let the rate fall on a plateau."""
        if self.trainer.sanity_checking:
            self._collect_evaluated()
        else:
            self.close_validation()
        # For callbacks of Lightning that watch a metric; RunLogger gets it from ours, unrounded.
        self.log_dict({f"valid/{k}": v for k, v in self.evaluated.items()}, logger=False)

    def close_validation(self) -> None:
        """What follows from the sums of a validation."""
        self._collect_evaluated()
        value = self.evaluated[self.task.monitor]
        if self.decay is not None:
            self.decay.after_validation(value)
        if math.isfinite(value) and self._is_better(value):
            self.best_step, self.best_metrics = self.updates, dict(self.evaluated)

    def _is_better(self, value: float) -> bool:
        if self.best_step is None:
            return True
        best = self.best_metrics[self.task.monitor]
        return value < best if self.task.mode == "min" else value > best

    def on_test_epoch_end(self) -> None:
        """Turn the sums into metrics."""
        self._collect_evaluated()
        guessed = self.guess_meter.means(math.nan)
        self.guessed = self.task.metrics(guessed) if guessed else {}

    def _collect_evaluated(self) -> None:
        self.eval_carried = None
        self.evaluated = self.task.all_metrics(self.eval_meter.means(math.nan))

    def check_tested(self) -> None:
        """Raise Diverged where a metric of the test is infinite, or its loss far above guessing's.

        A metric of nothing, such as of a class that is not there, is nan and no divergence.
        """
        for name, value in self.evaluated.items():
            if math.isinf(value):
                raise Diverged(f"test/{name} is not finite")
        name = self.task.monitor
        value, guess = self.evaluated[name], self.guessed.get(name, math.nan)
        if math.isnan(value):
            raise Diverged(f"test/{name} is not a number")
        if self.task.mode == "min" and guess > 0 and value > FAR * guess:
            raise Diverged(
                f"test/{name} is {value:.3g}, far worse than guessing, which gives {guess:.3g}"
            )

    def sampler(self) -> Any:
        """The model as a function of (inputs, state) for drawing samples."""
        dtype = next(self.model.parameters()).dtype

        def step(inputs: Tensor, state: StackState | None) -> tuple[Tensor, StackState]:
            if inputs.is_floating_point():
                inputs = inputs.to(dtype)
            with torch.inference_mode():
                return self.model(inputs, None, state)

        return step
