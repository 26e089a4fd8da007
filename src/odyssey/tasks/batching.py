"""Which rows make up each batch, and how sequences of unequal length are put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

POOL = 50  # batches whose rows are sorted by length together

Rows = NDArray[np.int64]


class Order:
    """The rows of each batch: a function of the seed, the epoch and the batch's number alone.

    Each epoch has every row once, `batch_size` at a time, the rest in a smaller batch.

    shuffle: a new order each epoch; else always the same. lengths (rows): rows of similar length
    share a batch; where shuffled, rows are sorted only within pools of 50 batches, and the batches
    are shuffled.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.lengths = lengths
        self._current: tuple[int, list[Rows]] = (-1, [])  # the order of the current epoch

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def get(self, epoch: int, index: int) -> Rows:
        """The rows of batch `index` of epoch `epoch`."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        key = epoch if self.shuffle else 0
        if self._current[0] != key:
            self._current = (key, self._order(key))
        return self._current[1][index]

    def _order(self, epoch: int) -> list[Rows]:
        rng = np.random.default_rng([self.seed, epoch])
        rows = np.arange(self.rows)
        size = self.batch_size
        if self.shuffle:
            rng.shuffle(rows)
        if self.lengths is not None:
            pool = POOL * size if self.shuffle else max(self.rows, 1)
            for at in range(0, self.rows, pool):
                part = rows[at : at + pool]
                rows[at : at + pool] = part[np.argsort(self.lengths[part], kind="stable")]
        batches = [rows[at : at + size] for at in range(0, self.rows, size)]
        if self.shuffle and self.lengths is not None:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return batches


class Sequences:
    """N sequences, each (length, ...), end to end in one tensor of their own type on `device`."""

    def __init__(
        self, sequences: Sequence[NDArray[Any]], device: torch.device | str = "cpu"
    ) -> None:
        self.lengths = np.array([len(s) for s in sequences], np.int64)
        self.ends = np.cumsum(self.lengths)
        self.flat = torch.from_numpy(np.ascontiguousarray(np.concatenate(sequences))).to(device)

    def one(self, row: int) -> Tensor:
        """The sequence `row` as a batch of one, (T, 1, ...): a view."""
        end = int(self.ends[row])
        return self.flat[end - int(self.lengths[row]) : end].unsqueeze(1)

    def padded(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The sequences `rows` (B) side by side (T, B, ...), and their lengths (B) on the CPU.

        Padding is whatever comes next in memory.
        """
        lengths = self.lengths[rows]
        time = np.arange(lengths.max())[:, None]
        places = np.minimum((self.ends - self.lengths)[rows] + time, len(self.flat) - 1)
        on_device = torch.from_numpy(places.ravel()).to(self.flat.device, non_blocking=True)
        block = self.flat.index_select(0, on_device).view(*places.shape, *self.flat.shape[1:])
        return block, torch.from_numpy(lengths)


def valid(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Whether each of (steps, B) is within `lengths` (B, on the CPU): bool on `device`."""
    time = torch.arange(steps, device=device).unsqueeze(1)
    return time < lengths.to(device, non_blocking=True)
