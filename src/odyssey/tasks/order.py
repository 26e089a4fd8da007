"""In which order rows of a data set make up batches: a function of seed and epoch alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POOL = 50  # batches whose rows are sorted by length together

Rows = NDArray[np.int64]


class Order:
    """Every row once in each epoch, `batch_size` at a time, the rest in a smaller batch.

    shuffle: a new order each epoch; else always the same. lengths: rows of like length share a
    batch; where shuffled, rows are sorted only within pools of 50 batches, and batches are mixed.
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
        self._kept: tuple[int, list[Rows]] = (-1, [])  # the epoch in use

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def get(self, epoch: int, index: int) -> Rows:
        """The rows of batch `index` of epoch `epoch`."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        key = epoch if self.shuffle else 0
        if self._kept[0] != key:
            self._kept = (key, self._epoch(key))
        return self._kept[1][index]

    def _epoch(self, epoch: int) -> list[Rows]:
        chance = np.random.default_rng([self.seed, epoch])
        rows = np.arange(self.rows)
        size = self.batch_size
        if self.shuffle:
            chance.shuffle(rows)
        if self.lengths is not None:
            pool = POOL * size if self.shuffle else max(self.rows, 1)
            for at in range(0, self.rows, pool):
                part = rows[at : at + pool]
                rows[at : at + pool] = part[np.argsort(self.lengths[part], kind="stable")]
        batches = [rows[at : at + size] for at in range(0, self.rows, size)]
        if self.shuffle and self.lengths is not None:
            batches = [batches[i] for i in chance.permutation(len(batches))]
        return batches
