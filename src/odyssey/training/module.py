"""The LightningModule: one training step, one validation step, and what they leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from odyssey.nn import StackState, detach
from odyssey.tasks.base import Batch, Sums, Task
from odyssey.training.optim import clip_gradients, make_optimizer


class Diverged(Exception):
    """The loss is no longer a finite number: a result, not a mistake."""


class Meter:
    """Sums of what each step gives, kept on the device; `means` is the one place that waits."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, tuple[Tensor, Tensor | float]]) -> None:
        """Add (sum, count) under each name."""
        for name, (total, count) in values.items():
            # Sums over a whole split want more than float32, which rounds off past 2^24.
            total = total.detach().double()
            count = torch.as_tensor(count, dtype=torch.float64)
            if name in self.sums:
                self.sums[name] = self.sums[name] + total
                self.counts[name] = self.counts[name] + count
            else:
                self.sums[name], self.counts[name] = total, count

    def means(self) -> dict[str, float]:
        """Sum over count of each name; starts anew."""
        means = {
            name: float(total) / float(self.counts[name]) if float(self.counts[name]) else 0.0
            for name, total in self.sums.items()
        }
        self.sums, self.counts = {}, {}
        return means


class RecurrentModule(LightningModule):
    """A model on a task, trained with truncated backpropagation through time.

    Streamed tasks hand over windows; the state goes from one to the next, cut from its graph.
    Sequence tasks hand over whole sequences; the model cuts the gradient every `length` steps.
    """

    def __init__(self, model: nn.Module, task: Task, cfg: Any) -> None:
        super().__init__()
        self.model = model
        self.task = task
        # Read once: each look into an OmegaConf configuration costs some ten microseconds.
        self.optimizer_cfg, self.clip = cfg.optimizer, (cfg.clip.kind, cfg.clip.threshold)
        self.truncation, self.overfit = cfg.bptt.length, cfg.trainer.overfit_batch
        self.updates = 0  # done so far, over all sessions of the run
        self.carried: StackState | None = None
        self.train_meter = Meter()
        self.eval_meter = Meter()
        self.eval_carried: StackState | None = None
        self.evaluated: dict[str, float] = {}  # the last validation's or test's metrics
        self.losses = torch.zeros(())  # sum since the last look, to see a loss that is not finite

    def forward(
        self, batch: Batch, state: StackState | None = None, truncation: int | None = None
    ) -> tuple[Tensor, StackState]:
        """Logits of a batch and the state after it."""
        return self.model(
            batch.inputs, batch.lengths, state, truncation=truncation, decoder=batch.decoder
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        if not self.overfit:
            batch = self.task.perturb(batch)
        if self.task.streamed:
            logits, state = self(batch, None if batch.reset else self.carried)
            self.carried = detach(state)
        else:
            logits, _ = self(batch, truncation=self.truncation)
        loss = self.task.loss(logits, batch)
        self.losses = self.losses.to(loss.device) + loss.detach()
        self.train_meter.add({"loss": (loss, 1.0)})
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Our own clipping, which also keeps the norm before it."""
        norm, clipped = clip_gradients(self.parameters(), *self.clip)
        self.train_meter.add({"grad_norm": (norm, 1.0), "clipped": (clipped, 1.0)})

    def configure_optimizers(self) -> Optimizer:
        """The configuration's optimizer over all weights."""
        return make_optimizer(self.optimizer_cfg, self.parameters())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the metrics of the split, with the state carried where it is streamed."""
        state = None
        if self.task.streamed and not batch.reset:
            state = self.eval_carried
        logits, after = self(batch, state)
        if self.task.streamed:
            self.eval_carried = after
        scores: Sums = self.task.scores(logits, batch)
        self.eval_meter.add(scores)

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        """Turn the sums into metrics."""
        self.eval_carried = None
        self.evaluated = self.task.metrics(self.eval_meter.means())

    on_test_epoch_end = on_validation_epoch_end

    def check_finite(self) -> None:
        """Raise Diverged if a loss since the last look was not finite. Waits for the device."""
        finite = bool(torch.isfinite(self.losses))
        self.losses = torch.zeros_like(self.losses)
        if not finite:
            raise Diverged(f"the loss is not finite at update {self.updates}")

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """The task knows which parts stay on the CPU."""
        return self.task.transfer_batch_to_device(batch, device, dataloader_idx)

    def sampler(self) -> Any:
        """The model as a function of (inputs, state) for drawing samples."""

        def step(inputs: Tensor, state: StackState | None) -> tuple[Tensor, StackState]:
            with torch.inference_mode():
                return self.model(inputs, None, state)

        return step
