"""The scores of an evaluation by document and by class, collected while it is made."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey.errors import UserError
from odyssey.tasks.base import Batch, Batches, Task
from odyssey.training.confusion import Confusion
from odyssey.training.items import Items
from odyssey.training.module import Meter

BROKEN = (ValueError, KeyError, TypeError, OverflowError, UserError)  # of a user's own metrics


class Tables(Items):
    """Scores of each sequence, or of each document of a streamed text; and predicted classes."""

    def __init__(self, task: Task, batches: Batches) -> None:
        super().__init__(task, batches)
        self.meters: dict[int, Meter] = defaultdict(Meter)  # by document, of a streamed text
        self.classes = task.answers == "class" and task.spec.head == "last"
        self.confusion = Confusion.of(task)
        self.found: list[tuple[Tensor, Tensor, NDArray[Any]]] = []  # predicted, right, place

    def add(self, logits: Tensor, batch: Batch, index: int) -> None:
        """Take the scores of batch `index`."""
        if self.task.streamed:
            if hasattr(self.batches, "document"):
                number = self.batches.document(index)
                self.meters[number].add(self.task.all_scores(logits, batch))
            return
        if self.classes:
            order = getattr(self.batches, "order", None)
            rows = np.arange(self.seen, self.seen + len(logits))
            rows = rows if order is None else order.get(0, index)
            right = self.task.right(batch)
            if self.confusion is not None:
                self.confusion.add(logits, right)
            self.found.append((logits.detach().argmax(1).cpu(), right.cpu(), rows))
        super().add(logits, batch, index)

    def documents(self) -> list[tuple[int, float, dict[str, float]]]:
        """Of each document its number, how many targets it has, and its metrics.

        Empty where a task's scores cannot be taken apart.
        """
        if self.task.streamed:
            scores = []
            for number, meter in self.meters.items():
                count = max((float(c) for c in meter.counts.values()), default=0.0)
                scores.append((number, count, meter.means(math.nan)))
        else:
            scores = self._sequences()
        try:
            return [(number, count, self.task.all_metrics(m)) for number, count, m in scores]
        except BROKEN:
            return []

    def _sequences(self) -> list[tuple[int, float, dict[str, float]]]:
        if not self.usable or not self.values:
            return []
        where, values = np.concatenate(self.where), torch.cat(self.values).cpu().numpy()
        sums, counts = np.split(values, 2, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = sums / counts
        return [
            (int(where[i]), float(counts[i].max()), dict(zip(self.names, row, strict=True)))
            for i, row in zip(np.argsort(where), means[np.argsort(where)].tolist(), strict=True)
        ]

    def answers(self) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Of each sequence the number of the predicted and of the right class, in their order."""
        if not self.found:
            return None
        predicted, right, rows = zip(*self.found, strict=True)
        order = np.argsort(np.concatenate(rows))
        return torch.cat(predicted).numpy()[order], torch.cat(right).numpy()[order]
