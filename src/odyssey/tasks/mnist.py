"""Sequential MNIST, and other images: the class of one that is read by rows or by pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey import data
from odyssey.data.image_files import other_images
from odyssey.data.types import Images
from odyssey.errors import UserError
from odyssey.tasks.base import Batch, ModelSpec, Other, Split, check_finite
from odyssey.tasks.batching import Order
from odyssey.tasks.classification import Classification


class Mnist(Classification):
    """Images as sequences; logits (B, K), loss: mean cross-entropy in nats of an image.

    Of images of H × W pixels with C values each, 1 in grey and 3 in colour; MNIST's are 28 × 28 × 1
    and of K = 10 classes. `rows`: inputs (H, B, W·C), from the top. `pixels`: (H·W, B, C), row by
    row. `permuted`: the pixels in one random order for all images, from `permutation_seed` (Le,
    Jaitly and Hinton 2015, arXiv 1504.00941). Values are scaled to [0, 1], or with
    `normalization=standard` to mean 0 and standard deviation 1 over all pixels and colours of the
    training part. Metrics: those of
    `Classification`.
    """

    name = "mnist"
    classes: tuple[str, ...] | None = None  # None: digits
    shape: tuple[int, int, int] = (28, 28, 1)  # height, width, values a pixel

    def load(self) -> None:
        parts = data.images(
            self.cfg.data,
            self.data_dir,
            path=self.cfg.path,
            size=self.cfg.size,
            split_seed=self.split_seed,
        )
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self.notes = parts.notes
        self.classes = parts.train.classes
        height, width, *colours = parts.train.images.shape[1:]
        self.shape = (height, width, colours[0] if colours else 1)
        self._parts: dict[Split, Images] = {
            "train": parts.train,
            "valid": parts.valid,
            "test": parts.test,
        }
        self.count_classes(parts.train.labels, len(self.names()))
        self.mean, self.deviation = 0.0, 255.0
        if self.adopted:
            self.mean, self.deviation = self.adopted["mean"], self.adopted["deviation"]
        elif self.cfg.normalization == "standard":
            # By counts of the 256 values: no float copy of all images.
            counts = np.bincount(parts.train.images.ravel(), minlength=256)
            grey = np.arange(256)
            self.mean = float(np.average(grey, weights=counts))
            deviation = float(np.average((grey - self.mean) ** 2, weights=counts) ** 0.5)
            self.deviation = deviation or 1.0  # of images that are all of one value
        self._set_spec()

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """A folder of classes or an .npz file, in the run's size, scale and classes."""
        images, files, digest, notes = other_images(
            path,
            split,
            classes=[str(name) for name in self.names()],
            shape=self.shape,
            size=self.cfg.size,
        )
        self._parts = {"test": images}
        return Other(
            self.batches("test", self.device),
            {"name": path.resolve().name, "sha256": digest},
            documents=files,
            notes=notes,
        )

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Digits:
        train = split == "train"
        part = self._parts[split]
        pixels = self._in_order(_tensor(part.images))
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
        """An image of values from 0 to 255, or several; of the size of those of the task.

        (H, W) or (N, H, W) in grey, (H, W, 3) or (N, H, W, 3) in colour. Raises UserError where
        they are none.
        """
        images = np.asarray(inputs)
        check_finite(images)
        form = self.shape if self.shape[2] > 1 else self.shape[:2]
        images = images[None] if images.ndim == len(form) else images
        if images.shape[1:] != form or not len(images) or images.dtype.kind not in "buif":
            size = ", ".join(map(str, form))
            raise UserError(
                f"the inputs are of shape {images.shape}: give images ({size}) or (N, {size}) of "
                f"{'grey ' * (len(form) == 2)}values from 0 to 255"
            )
        pixels = self._in_order(torch.from_numpy(images.astype(np.float64)))
        grey = pixels.to(torch.get_default_dtype()).sub_(self.mean).div_(self.deviation)
        steps = grey.reshape(len(grey), -1, self.spec.input_size).transpose(0, 1).contiguous()
        return Batch(steps, torch.empty(0))

    def names(self) -> Sequence[Any]:
        """The classes: digits, or what they are called."""
        return range(10) if self.classes is None else self.classes

    def permutation(self) -> Tensor:
        """The index of the pixel that is read at each of the H·W steps of `permuted`."""
        chance = np.random.RandomState(self.cfg.permutation_seed)
        return torch.from_numpy(chance.permutation(self.shape[0] * self.shape[1]))

    def export(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "deviation": self.deviation,
            "shape": list(self.shape),
            "classes": None if self.classes is None else list(self.classes),
            "commonest": self.commonest,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.mean, self.deviation = saved["mean"], saved["deviation"]
        height, width, values = saved.get("shape", self.shape)
        self.shape = (height, width, values)
        classes = saved.get("classes")
        self.classes = None if classes is None else tuple(classes)
        self.restore_classes(len(self.names()), saved.get("commonest"))
        self._set_spec()

    def _in_order(self, images: Tensor) -> Tensor:
        """Images (N, H, W) or (N, H, W, C) as (N, H·W·C), the pixels in the order of reading."""
        height, width, values = self.shape
        if self.cfg.order == "permuted":
            pixels = images.reshape(-1, height * width, values)
            images = pixels[:, self.permutation()]
        return images.reshape(-1, height * width * values)

    def _set_spec(self) -> None:
        values = self.shape[2] * (self.shape[1] if self.cfg.order == "rows" else 1)
        self.spec = ModelSpec("real", values, len(self.names()), "last")


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
        """Inputs (H·W·C / width, B, width), targets (B)."""
        rows = torch.from_numpy(self.order.get(epoch, index))
        rows = rows.to(self.labels.device, non_blocking=True)
        grey = self.pixels.index_select(0, rows).to(torch.get_default_dtype())
        grey = grey.sub_(self.mean).div_(self.deviation)
        steps = grey.reshape(len(rows), -1, self.width).transpose(0, 1).contiguous()
        return Batch(steps, self.labels.index_select(0, rows))


def _tensor(array: NDArray[Any]) -> Tensor:
    """A tensor of the array's memory, or of a copy where the array is read-only."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
