"""Running a stack over sequences whose state is set to zero at some steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from odyssey.nn.stack import Stack, StackState


def restarted(
    stack: Stack, x: Tensor, starts: Tensor, state: StackState | None
) -> tuple[Tensor, StackState]:
    """Run a stack of one direction over x (T, B, X) as if its state were zero before some steps.

    starts: (T, B), bool on the CPU; state: before step 0, zeros if None.

    The stretches between starts become sequences of a batch of their own, those of like length
    together, so that any backend runs them and no state is looked at step by step. Returns what
    the stack does: outputs (T, B, H), and the state of each sequence after its last step.
    """
    steps, lanes = starts.shape
    cuts = starts.numpy().copy()
    fresh_first = cuts[0].copy()
    cuts[0] = True
    lane, begin = np.nonzero(cuts.T)  # a stretch each, lane by lane, in the order of time
    last = np.append(lane[1:] != lane[:-1], True)
    length = np.where(last, steps, np.append(begin[1:], 0)) - begin
    fresh = (begin > 0) | fresh_first[lane]
    flat = x.reshape(steps * lanes, -1)
    device = x.device

    def there(indices: np.ndarray) -> Tensor:
        return torch.from_numpy(indices).to(device, non_blocking=True)

    outputs: list[Tensor] = []
    ends: list[StackState] = []
    where = np.empty(steps * lanes, np.int64)  # in the outputs below, of each step of each lane
    order: list[np.ndarray] = []
    at = 0
    # Of lengths 1, 2, 3-4, 5-8 and so on: fewer than half of the steps of a group are padding.
    kind = np.ceil(np.log2(length)).astype(np.int64)
    for each in np.unique(kind):
        rows = np.flatnonzero(kind == each)
        n, longest = length[rows], int(length[rows].max())
        time = np.arange(longest)[:, None]
        inside = time < n
        places = np.where(inside, (begin[rows] + time) * lanes + lane[rows], 0)
        block = flat.index_select(0, there(places.ravel())).view(longest, len(rows), -1)
        before = None
        if state is not None and not fresh[rows].all():
            before = _before(state, there(lane[rows]), there(~fresh[rows]))
        y, end = stack(block, torch.from_numpy(n), before)
        outputs.append(y.flatten(0, 1))
        ends.append(end)
        numbers = at + np.arange(longest * len(rows)).reshape(longest, len(rows))
        where[places[inside]] = numbers[inside]
        at += longest * len(rows)
        order.append(rows)
    y = torch.cat(outputs).index_select(0, there(where)).view(steps, lanes, -1)
    # Which of all stretches, in the order that they were run in, is the last of each lane.
    place = np.empty(len(lane), np.int64)
    place[np.concatenate(order)] = np.arange(len(lane))
    final = there(place[last])
    return y, [
        tuple(
            type(cells[0])(
                *(torch.cat(values).index_select(0, final) for values in zip(*cells, strict=True))
            )
            for cells in zip(*layers, strict=True)
        )
        for layers in zip(*ends, strict=True)
    ]


def _before(state: StackState, lanes: Tensor, kept: Tensor) -> StackState:
    """The states of these lanes, zero where they are not kept."""
    kept = kept.unsqueeze(-1)
    return [
        tuple(
            type(s)(*(v.index_select(0, lanes).masked_fill(~kept, 0.0) for v in s)) for s in layer
        )
        for layer in state
    ]
