"""Windows of a long text of ids: read in lanes side by side, with or without documents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from odyssey.tasks.base import Batch

IGNORED = -1  # in place of a target: past the end of a shorter lane


class Windows:
    """Batches of `window` steps from a text of N ids, read in `lanes` stretches side by side.

    N ids have N - 1 targets, each the id after its input. Lane b is a contiguous stretch of them;
    lanes differ by at most one target, and the shorter ones end in `IGNORED`. So each target is in
    exactly one window. The last window may be shorter; with `drop_last` it is left out.

    ids (N): of a small integer type, and kept in it on `device`; window: None for whole lanes.
    Inputs and targets are int64 (window, lanes). Only window 0 has `reset` set.
    """

    def __init__(
        self,
        ids: Tensor,
        *,
        lanes: int,
        window: int | None,
        drop_last: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        each, self.longer = divmod(len(ids) - 1, lanes)  # the first `longer` lanes have one more
        lane = torch.arange(lanes)
        starts = lane * each + lane.clamp(max=self.longer)
        if drop_last:
            self.longer = 0
            each = each // (window or each) * (window or each)
        self.steps = each + (self.longer > 0)
        self.window = min(window or self.steps, max(self.steps, 1))
        self.ids = ids.to(device)
        self.offsets = (starts + torch.arange(self.window + 1).unsqueeze(1)).to(device)

    def __len__(self) -> int:
        return -(-self.steps // self.window)

    @property
    def positions(self) -> int:
        """How many places there are in the text."""
        return len(self.ids)

    def places(self, index: int) -> Tensor:
        """Where in the text the inputs of window `index` are: (window, lanes)."""
        at = index * self.window
        return self.offsets[: min(self.window, self.steps - at)] + at

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`, the same in every epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        at = index * self.window
        steps = min(self.window, self.steps - at)
        places = self.offsets[: steps + 1] + at
        last = at + steps == self.steps
        if last and self.longer:
            places.clamp_(max=len(self.ids) - 1)
        # index_select: plain indexing wakes all CPU threads for these few numbers
        block = self.ids.index_select(0, places.flatten()).view(places.shape).long()
        inputs, targets = block[:-1], block[1:]
        if last and self.longer:
            targets = targets.clone()  # it shares its memory with the inputs
            targets[-1, self.longer :] = IGNORED
        return Batch(inputs, targets, reset=index == 0)


class DocumentWindows:
    """As `Windows`, of a text of documents, each of which is read from a state of zero.

    ids (N) begin and end with `end`, the id that is between documents as well; it is the first
    input of a document and its last target. A lane is some documents in a row, so that no number
    depends on how many lanes there are, and ends in `IGNORED` where it is shorter than the longest.
    There are fewer lanes than asked for where there are fewer documents, or very long ones.

    `Batch.starts` says where in a window the state is set to zero.
    """

    def __init__(
        self,
        ids: Tensor,
        *,
        lanes: int,
        window: int | None,
        end: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.host = ids.numpy()
        self.end = end
        begins = np.flatnonzero(self.host == end)  # of documents, and the end of the text
        goals = np.arange(1, lanes) * (len(ids) - 1) / lanes
        after = np.searchsorted(begins, goals).clip(1, len(begins) - 1)
        nearest = after - (goals - begins[after - 1] < begins[after] - goals)
        bounds = np.unique(np.concatenate([[0], begins[nearest], [len(ids) - 1]]))
        self.lane_starts, self.lane_steps = bounds[:-1], np.diff(bounds)
        self.steps = int(self.lane_steps.max())
        self.window = min(window or self.steps, self.steps)
        self.ids = ids.to(device)

    def __len__(self) -> int:
        return -(-self.steps // self.window)

    @property
    def positions(self) -> int:
        """How many places there are in the text."""
        return len(self.host)

    def places(self, index: int) -> Tensor:
        """Where in the text the inputs of window `index` are: (window, lanes)."""
        return torch.from_numpy(self._places(index)[0])

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`, the same in every epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        places, inside = self._places(index)
        starts = (self.host[places] == self.end) & inside
        device = self.ids.device
        on_device = torch.from_numpy(np.concatenate([places, places + 1])).to(device)
        block = self.ids.index_select(0, on_device.flatten()).view(on_device.shape).long()
        inputs, targets = block.chunk(2)
        if not inside.all():
            outside = torch.from_numpy(~inside).to(device, non_blocking=True)
            targets = targets.masked_fill(outside, IGNORED)
        return Batch(inputs, targets, reset=index == 0, starts=torch.from_numpy(starts))

    def _places(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The places of window `index`, and which of them are in their lanes: (window, lanes)."""
        at = index * self.window
        time = np.arange(at, min(at + self.window, self.steps))[:, None]
        return (self.lane_starts + time).clip(max=len(self.host) - 2), time < self.lane_steps
