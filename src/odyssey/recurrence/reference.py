"""The plain loop: it calls the cell's `step` as it stands, one time step after another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from odyssey.cells.cell import Cell, Products


def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """x (T, B, X), state of (B, H) each -> the output of every step (T, B, H), the last state.

    With `lengths` a state stays as it is after its sequence's end; what the outputs hold there
    is for the caller to blank.
    """
    steps = x.shape[0]
    inputs = cell.project(x)
    each = [v.unbind(0) if v.dim() == x.dim() else (v,) * steps for v in inputs]
    R, p = Products(cell), cell.peeps()
    valid = None
    if lengths is not None:
        time = torch.arange(steps, device=x.device).unsqueeze(1)
        valid = (time < lengths.to(x.device, non_blocking=True)).unsqueeze(-1).unbind(0)
    outputs = []
    for t, values in enumerate(zip(*each, strict=True)):
        if truncation is not None and t and t % truncation == 0:
            cut = [v.detach() for v in state]
            if valid is not None:  # a sequence that has ended has no more cuts
                cut = [torch.where(valid[t], a, b) for a, b in zip(cut, state, strict=True)]
            state = cell.State(*cut)
        result = cell.step(cell.Inputs(*values), R, p, state)
        new = (result,) if isinstance(result, Tensor) else tuple(result)
        if valid is not None:
            new = tuple(torch.where(valid[t], a, b) for a, b in zip(new, state, strict=True))
        state = cell.State(*new)
        outputs.append(state[0])
    return torch.stack(outputs), state
