"""A sequence said backwards: an encoder and a decoder, input and output of unequal length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from odyssey.tasks.base import Batch, ModelSpec, Sums
from odyssey.tasks.metric import Metric
from odyssey.tasks.sequences import valid
from odyssey.tasks.synthetic import Arrays, Synthetic

IGNORED = -1


class Reversal(Synthetic):
    """Reads n symbols (min_length <= n <= length), then says them from last to first, and stops.

    Symbols are 0..K-1, and K is start and end. Inputs (T, B) with lengths n. The decoder reads
    the start and then, teacher forcing, the right answer so far (T + 1, B); its targets are the
    reversed symbols and the end, n + 1 of them. Logits (T + 1, B, K + 1). Loss: mean
    cross-entropy in nats of a valid target.

    Metrics: `token_accuracy`, and `sequence_accuracy`, the share of sequences with every token
    right. The latter is also that of a model that reads its own answers: up to the first wrong
    one the two read the same.
    """

    name = "synthetic"
    measures = (
        Metric("sequence_accuracy", "max", "sequence accuracy", "sequence accuracy"),
        Metric("token_accuracy", "max", "token accuracy", "token accuracy"),
        Metric("nats", "min", "cross-entropy in nats", "nats"),
    )

    def make(self, chance: np.random.Generator, size: int) -> Arrays:
        end = self.cfg.symbols
        lengths = chance.integers(self.cfg.min_length, self.length, size, endpoint=True)
        time = np.arange(lengths.max())[:, None]
        inputs = chance.integers(0, end, (len(time), size))
        backwards = np.take_along_axis(inputs, np.maximum(lengths - 1 - time, 0), axis=0)
        edge = np.full((1, size), end)
        backwards = np.where(time < lengths, backwards, end)
        return {
            "inputs": inputs,
            "targets": np.concatenate([backwards, edge]),
            "lengths": lengths,
            "decoder": np.concatenate([edge, backwards]),
        }

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        logits, targets, _ = _masked(logits, batch)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        logits, targets, within = _masked(logits.detach(), batch)
        nats = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        right = logits.argmax(2) == targets
        whole = (right | ~within).all(0).sum()
        count = within.sum()
        return {
            "nats": (nats, count),
            "tokens": ((right & within).sum(), count),
            "whole": (whole, float(targets.shape[1])),
        }

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {
            "sequence_accuracy": means["whole"],
            "token_accuracy": means["tokens"],
            "nats": means["nats"],
        }

    def _set_spec(self) -> None:
        size = self.cfg.symbols + 1
        self.spec = ModelSpec("tokens", size, size, "decoder")


def _masked(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and targets with nothing left of the padding, and which steps are valid."""
    assert batch.lengths is not None
    within = valid(batch.lengths + 1, len(batch.targets), logits.device)
    logits = torch.where(within.unsqueeze(2), logits, 0.0)
    return logits, torch.where(within, batch.targets, IGNORED), within
