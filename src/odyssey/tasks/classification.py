"""Base of the tasks that predict one class for each sequence."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from odyssey.tasks.base import Batch, Sums, Task
from odyssey.tasks.metric import Metric


class Classification(Task):
    """Logits (B, K) over K classes, targets (B). Loss: mean cross-entropy in nats.

    Metrics: `accuracy` (0 to 1) and `nats`.
    """

    measures = (
        Metric("accuracy", "max", "accuracy", "accuracy"),
        Metric("nats", "min", "cross-entropy in nats", "nats"),
    )

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits, batch.targets)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        logits, targets = logits.detach(), batch.targets
        right = (logits.argmax(1) == targets).sum()
        nats = F.cross_entropy(logits, targets, reduction="sum")
        count = float(len(targets))
        return {"right": (right, count), "nats": (nats, count)}

    def each_scores(self, logits: Tensor, batch: Batch) -> Sums | None:
        right = logits.argmax(1) == batch.targets
        nats = F.cross_entropy(logits, batch.targets, reduction="none")
        return {"right": (right, 1.0), "nats": (nats, 1.0)}

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": means["right"], "nats": means["nats"]}
