"""The backend `reference`: a plain loop over time that calls the cell's `step`.

It defines what the other backends compute, and runs every cell.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from odyssey.cells.cell import Cell, Products


def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """x (T, B, X), state of (B, H) each -> the output of every step (T, B, H), the last state.

    lengths: valid steps of each sequence (B); beyond them its state stays as it is. `run` sets the
    outputs there to zero. truncation: steps between cuts of the gradient.
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
            if valid is not None:  # no cut after a sequence's end
                cut = [torch.where(valid[t], a, b) for a, b in zip(cut, state, strict=True)]
            state = cell.State(*cut)
        result = cell.step(cell.Inputs(*values), R, p, state)
        new = (result,) if isinstance(result, Tensor) else tuple(result)
        if valid is not None:
            new = tuple(torch.where(valid[t], a, b) for a, b in zip(new, state, strict=True))
        state = cell.State(*new)
        outputs.append(state[0])
    return torch.stack(outputs), state
