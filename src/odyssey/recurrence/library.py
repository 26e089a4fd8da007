"""The backend `library`: torch.nn's own kernels (cuDNN on a GPU), for cells that they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from odyssey.cells.cell import Cell

# Class name -> (torch's function, the cell's gates in torch's order). By name instead of class, so
# that a user's cell which inherits from one of these and changes its step is not run as it.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "odyssey.cells.elman.Elman": (torch.rnn_tanh, ("h",)),
    "odyssey.cells.elman.ElmanReLU": (torch.rnn_relu, ("h",)),
    "odyssey.cells.elman.IRNN": (torch.rnn_relu, ("h",)),
    "odyssey.cells.lstm.LSTM": (torch.lstm, ("i", "f", "z", "o")),
    "odyssey.cells.greff.NP": (torch.lstm, ("i", "f", "z", "o")),
    "odyssey.cells.gru.GRUResetAfter": (torch.gru, ("r", "z", "n")),
}


def _name(kind: type[Cell]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def supports(cell: Cell) -> bool:
    """Whether torch.nn computes the same function as this cell."""
    return has_class(type(cell))


def has_class(kind: type[Cell]) -> bool:
    """Whether torch.nn computes the same function as the cells of this class."""
    return _name(kind) in FUNCTIONS


def function(cell: Cell) -> Callable[..., Any]:
    """torch's function for a cell that `supports` says it has."""
    return FUNCTIONS[_name(type(cell))][0]


def weights(cell: Cell) -> list[Tensor]:
    """[W, R, b, second bias], gates in torch's order; the second bias is zero but for GRUs."""
    order = FUNCTIONS[_name(type(cell))][1]
    if cell.gates == order:
        W, R, b = cell.W, cell.R, cell.b
    else:
        W, R, b = (torch.cat([cell.part(k, g) for g in order]) for k in "WRb")
    second = torch.zeros_like(b)
    if cell.vectors:  # the bias inside the GRU's reset is the last third of torch's second bias
        second = torch.cat([second[: -cell.hidden_size], cell.part("p", cell.vectors[0])])
    return [W, R, b, second]


def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`, in one call of torch for each window of `truncation` steps."""
    torchs, values = function(cell), weights(cell)
    device = x.device.type
    if torch.is_autocast_enabled(device):
        # Autocast itself would run cuDNN in float16, even if it is set to bfloat16.
        dtype = torch.get_autocast_dtype(device)
        x, state = x.to(dtype), cell.State(*(v.to(dtype) for v in state))
        values = [w.to(dtype) for w in values]
        with torch.autocast(device, enabled=False):
            return _windows(cell, torchs, values, x, state, lengths, truncation)
    return _windows(cell, torchs, values, x, state, lengths, truncation)


def _windows(
    cell: Cell,
    function: Callable[..., Any],
    weights: list[Tensor],
    x: Tensor,
    state: Any,
    lengths: Tensor | None,
    truncation: int | None,
) -> tuple[Tensor, Any]:
    """Window by window, with the states detached between windows."""
    window = truncation or x.shape[0]
    if lengths is None:
        outputs = []
        for start in range(0, x.shape[0], window):
            y, state = _call(function, weights, x[start : start + window], state)
            outputs.append(y)
            state = tuple(v.detach() for v in state) if start + window < x.shape[0] else state
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), cell.State(*state)
    return _ragged(cell, function, weights, x, state, lengths, window)


def _ragged(
    cell: Cell,
    function: Callable[..., Any],
    weights: list[Tensor],
    x: Tensor,
    state: Any,
    lengths: Tensor,
    window: int,
) -> tuple[Tensor, Any]:
    """Sequences of different lengths, window by window.

    They are sorted by length, the longest first, so that those that go on are the first rows of
    each window.
    """
    lengths, order = lengths.sort(descending=True, stable=True)
    order = order.to(x.device)
    back = order.argsort()
    x = x.index_select(1, order)
    state = tuple(v.index_select(0, order) for v in state)
    outputs = []
    for start in range(0, x.shape[0], window):
        piece = x[start : start + window]
        left = (lengths - start).clamp(max=piece.shape[0])
        running = int((left > 0).sum())  # lengths are on the CPU: no synchronization
        if running == 0:
            outputs.append(x.new_zeros(piece.shape[0], x.shape[1], cell.hidden_size))
            continue
        packed = pack_padded_sequence(piece[:, :running], left[:running])
        before = tuple(v[:running] for v in state)
        if start:
            before = tuple(v.detach() for v in before)
        y, after = _call(function, weights, packed.data, before, packed.batch_sizes)
        y, _ = pad_packed_sequence(packed._replace(data=y), total_length=piece.shape[0])
        if running < x.shape[1]:
            rest = y.new_zeros(y.shape[0], x.shape[1] - running, y.shape[2])
            y = torch.cat([y, rest], 1)
        outputs.append(y)
        state = tuple(torch.cat([a, v[running:]]) for a, v in zip(after, state, strict=True))
    return (
        torch.cat(outputs).index_select(1, back),
        cell.State(*(v.index_select(0, back) for v in state)),
    )


def _call(
    function: Callable[..., Any],
    weights: list[Tensor],
    x: Tensor,
    state: tuple[Tensor, ...],
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer, one direction, no dropout, with biases."""
    first = [v.unsqueeze(0).contiguous() for v in state]
    hidden: Any = first if function is torch.lstm else first[0]
    # With `train` cuDNN saves what its backward pass needs, and refuses to run it without.
    train = torch.is_grad_enabled()
    if batch_sizes is None:
        y, *last = function(x, hidden, weights, True, 1, 0.0, train, False, False)
    else:
        y, *last = function(x, batch_sizes, hidden, weights, True, 1, 0.0, train, False)
    return y, tuple(v.squeeze(0) for v in last)
