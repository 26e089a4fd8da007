"""Sequences of unequal length: held end to end, handed out padded, masked by their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Sequences:
    """N sequences in one tensor (sum of lengths, ...) of a small type on `device`."""

    def __init__(
        self, sequences: Sequence[NDArray[Any]], device: torch.device | str = "cpu"
    ) -> None:
        self.lengths = np.array([len(s) for s in sequences], np.int64)
        self.ends = np.cumsum(self.lengths)
        self.flat = torch.from_numpy(np.concatenate(sequences)).to(device)

    def padded(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """These sequences side by side (T, B, ...), and their lengths (B) on the CPU.

        Padding is whatever comes next in memory.
        """
        lengths = self.lengths[rows]
        time = np.arange(lengths.max())[:, None]
        places = np.minimum((self.ends - self.lengths)[rows] + time, len(self.flat) - 1)
        on_device = torch.from_numpy(places.ravel()).to(self.flat.device, non_blocking=True)
        block = self.flat.index_select(0, on_device).view(*places.shape, *self.flat.shape[1:])
        return block, torch.from_numpy(lengths)


def valid(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Which of (steps, B) are within `lengths` (B, on the CPU): bool on `device`."""
    time = torch.arange(steps, device=device).unsqueeze(1)
    return time < lengths.to(device, non_blocking=True)
