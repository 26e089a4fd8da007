"""One long sequence of ids, cut into lanes and the lanes into windows."""

from __future__ import annotations

import torch
from torch import Tensor

from odyssey.tasks.base import Batch

IGNORED = -1  # a target that is no target: past the end of a shorter lane


class Windows:
    """Windows of `window` steps over `lanes` stretches of a text, read side by side.

    N ids have N - 1 targets, each the id after its input. Lane b is a contiguous stretch of them;
    lanes differ by at most one target, and where they do, the shorter ones end in an `IGNORED`
    one. So every target is in exactly one window, once. The last window may be shorter. With
    `drop_last` all windows are whole, and what is over at the end of each lane is left out.

    The ids stay on `device` in their small type; a window of int64 is made when it is asked for.
    Inputs and targets are (window, lanes). Only window 0 says `reset`.
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

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`; all epochs are alike."""
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
            targets = targets.clone()  # inputs are the same memory
            targets[-1, self.longer :] = IGNORED
        return Batch(inputs, targets, reset=index == 0)
