"""Base of the tasks that predict one class for each sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from odyssey.tasks.base import Batch, Sums, Task
from odyssey.tasks.metric import Metric

# Classes up to which macro F1 is a metric: it takes three sums for each. The table of the test has
# the figures of each class in any case.
MOST_CLASSES = 100
ACCURACY = Metric("accuracy", "max", "accuracy", "accuracy")
COMMONEST = Metric("accuracy_common", "max", "accuracy of the commonest class", "accuracy")
MACRO_F1 = Metric("macro_f1", "max", "macro F1", "macro F1")
NATS = Metric("nats", "min", "cross-entropy in nats", "nats")


class Classification(Task):
    """Logits (B, K) over K classes, targets (B). Loss: mean cross-entropy in nats.

    With class weights w (K) the loss is the sum of w times the cross-entropy over the B sequences,
    divided by B: a balanced weight n / (K n_k) is 1 on average over the n training sequences, of
    which n_k are of class k, as `class_weight="balanced"` in scikit-learn.

    Metrics, none of which is weighted: `accuracy` (0 to 1); `accuracy_common`, that of always
    answering the class that is commonest in the training part; `macro_f1`, the mean over the
    classes of F1 = 2 TP / (2 TP + FP + FN) over the whole split, of those classes that are answers
    or right answers there; `nats`. With more than 100 classes there is no `macro_f1`.
    """

    measures: ClassVar[tuple[Metric, ...]] = (ACCURACY, COMMONEST, MACRO_F1, NATS)
    commonest: int | None = None  # the class; None in what an earlier version saved
    weights: Tensor | None = None  # (K) of the loss

    def count_classes(
        self, labels: NDArray[np.int64], classes: int, weights: str | None = None
    ) -> None:
        """Note the commonest of K classes in the training part, and weight the loss.

        labels (N): those of the training part, in which each class occurs. weights: `balanced`, or
        None for a loss without weights.
        """
        counts = np.bincount(labels, minlength=classes)
        if weights == "balanced":
            each = len(labels) / (classes * np.maximum(counts, 1))
            self.weights = torch.from_numpy(each)
        self.restore_classes(classes, int(counts.argmax()))

    def restore_classes(self, classes: int, commonest: int | None) -> None:
        """Take the number of classes, and the commonest of them."""
        self.commonest = commonest
        own = [ACCURACY] if commonest is None else [ACCURACY, COMMONEST]
        own += [MACRO_F1] if classes <= MOST_CLASSES else []
        added = [m for m in self.measures if m.name in self.added]
        self.measures = (*own, NATS, *added)  # type: ignore[misc]

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(logits, batch.targets)
        each = F.cross_entropy(logits, batch.targets, reduction="none")
        self.weights = self.weights.to(logits.device)
        return (each * self.weights[batch.targets].to(each.dtype)).mean()

    def has_formula(self) -> bool:
        return self.weights is None

    def formula(self, batch: Batch) -> tuple[Literal["categorical"], float]:
        return "categorical", 1.0 / len(batch.targets)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        each = self._each(logits.detach(), batch.targets)
        return {name: (values.sum(), float(len(values))) for name, values in each.items()}

    def each_scores(self, logits: Tensor, batch: Batch) -> Sums | None:
        return {name: (v, 1.0) for name, v in self._each(logits, batch.targets).items()}

    def _each(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The scores (B) of each sequence, by name."""
        answers = logits.argmax(1)
        right = answers == targets
        found = {
            "right": right,
            "nats": F.cross_entropy(logits, targets, reduction="none"),
        }
        if self.commonest is not None:
            found["common"] = targets == self.commonest
        if logits.shape[1] <= MOST_CLASSES:
            for k in range(logits.shape[1]):
                found[f"right_{k}"] = right & (targets == k)
                # As many as there are of the class among the answers and the right answers.
                found[f"either_{k}"] = (answers == k).float() + (targets == k).float()
        return found

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        found = {"accuracy": means["right"]}
        if "common" in means:
            found["accuracy_common"] = means["common"]
        if "right_0" in means:
            found["macro_f1"] = macro_f1(means)
        return found | {"nats": means["nats"]}


def macro_f1(means: Mapping[str, Any]) -> float:
    """The mean of the F1 of the classes that there are; nan where there are none.

    means: `right_k` and `either_k` of each class k: the shares of sequences that are rightly
    answered k, and those answered k plus those that are k
    """
    each = []
    k = 0
    while f"either_{k}" in means:
        if math.isnan(means[f"either_{k}"]):
            return math.nan
        if means[f"either_{k}"] > 0:
            each.append(2 * means[f"right_{k}"] / means[f"either_{k}"])
        k += 1
    return sum(each) / len(each) if each else math.nan
