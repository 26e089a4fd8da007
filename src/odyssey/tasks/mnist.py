"""Sequential MNIST: the digit in an image that is read row by row or pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey import data
from odyssey.data.types import Images
from odyssey.errors import UserError
from odyssey.tasks.base import Batch, ModelSpec, Split, check_finite
from odyssey.tasks.batching import Order
from odyssey.tasks.classification import Classification


class Mnist(Classification):
    """Images as sequences; logits (B, 10), loss: mean cross-entropy in nats of an image.

    `rows`: inputs (28, B, 28), from the top. `pixels`: (784, B, 1), row by row. `permuted`: the
    pixels in one random order for all images, from `permutation_seed` (Le, Jaitly and Hinton 2015,
    arXiv 1504.00941). Grey values are scaled to [0, 1], or with `normalization=standard` to mean 0
    and standard deviation 1 over all pixels of the training part. Metrics: those
    of `Classification`.
    """

    name = "mnist"

    def load(self) -> None:
        parts = data.images(self.cfg.data, self.data_dir, split_seed=self.split_seed)
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self._parts: dict[Split, Images] = {
            "train": parts.train,
            "valid": parts.valid,
            "test": parts.test,
        }
        self.count_classes(parts.train.labels, 10)
        self.mean, self.deviation = 0.0, 255.0
        if self.cfg.normalization == "standard":
            # By counts of the 256 values: no float copy of all images.
            counts = np.bincount(parts.train.images.ravel(), minlength=256)
            grey = np.arange(256)
            self.mean = float(np.average(grey, weights=counts))
            self.deviation = float(np.average((grey - self.mean) ** 2, weights=counts) ** 0.5)
        self._set_spec()

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Digits:
        train = split == "train"
        part = self._parts[split]
        pixels = _tensor(part.images).reshape(-1, 784)
        if self.cfg.order == "permuted":
            pixels = pixels[:, self.permutation()]
        order = Order(
            len(pixels),
            self.cfg.batch_size if train else self.cfg.eval_batch_size or self.cfg.batch_size,
            seed=self.seed,
            shuffle=train,
        )
        labels = _tensor(part.labels)
        scale = (self.mean, self.deviation)
        width = self.spec.input_size
        return Digits(pixels.to(device), labels.to(device), order, width=width, scale=scale)

    def read(self, inputs: Any) -> Batch:
        """An image (28, 28) of grey values from 0 to 255, or several (N, 28, 28).

        Raises UserError where they are none.
        """
        images = np.asarray(inputs)
        check_finite(images)
        images = images[None] if images.ndim == 2 else images
        if images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
            raise UserError(
                f"the inputs are of shape {images.shape}: give images (28, 28) or (N, 28, 28) of "
                "grey values from 0 to 255"
            )
        pixels = torch.from_numpy(images.astype(np.float64)).reshape(-1, 784)
        if self.cfg.order == "permuted":
            pixels = pixels[:, self.permutation()]
        grey = pixels.to(torch.get_default_dtype()).sub_(self.mean).div_(self.deviation)
        steps = grey.reshape(len(grey), -1, self.spec.input_size).transpose(0, 1).contiguous()
        return Batch(steps, torch.empty(0))

    def permutation(self) -> Tensor:
        """The index of the pixel that is read at each of the 784 steps of `permuted`."""
        return torch.from_numpy(np.random.RandomState(self.cfg.permutation_seed).permutation(784))

    def export(self) -> dict[str, Any]:
        return {"mean": self.mean, "deviation": self.deviation, "commonest": self.commonest}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.mean, self.deviation = saved["mean"], saved["deviation"]
        self.restore_classes(10, saved.get("commonest"))
        self._set_spec()

    def _set_spec(self) -> None:
        self.spec = ModelSpec("real", 28 if self.cfg.order == "rows" else 1, 10, "last")


class Digits:
    """Batches of images, which are held on the device as bytes."""

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        order: Order,
        *,
        width: int,
        scale: tuple[float, float],
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        self.order = order
        self.width = width
        self.mean, self.deviation = scale

    def __len__(self) -> int:
        return len(self.order)

    def get(self, epoch: int, index: int) -> Batch:
        """Inputs (784 / width, B, width), targets (B)."""
        rows = torch.from_numpy(self.order.get(epoch, index))
        rows = rows.to(self.labels.device, non_blocking=True)
        grey = self.pixels.index_select(0, rows).to(torch.get_default_dtype())
        grey = grey.sub_(self.mean).div_(self.deviation)
        steps = grey.reshape(len(rows), -1, self.width).transpose(0, 1).contiguous()
        return Batch(steps, self.labels.index_select(0, rows))


def _tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of the array's memory, or of a copy where the array is read-only."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
