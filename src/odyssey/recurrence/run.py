"""Running one cell over time: the choice of a backend, lengths, direction and truncation."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from odyssey.cells.cell import Cell, a_weight, check_tensor
from odyssey.errors import UserError, did_you_mean
from odyssey.recurrence import compiled, library, reference

log = logging.getLogger("odyssey")

BACKENDS = ("reference", "compiled", "library")
_MODULES: dict[str, Any] = {"reference": reference, "compiled": compiled, "library": library}
_announced: set[tuple[type, str]] = set()  # choices of `auto` that have been logged


def exporting() -> bool:
    """Whether torch.export, torch.onnx or torch.jit.trace is reading what is called.

    Values of tensors must not be looked at then, and kernels cannot be part of what they write.
    """
    return torch.compiler.is_exporting() or torch._C._is_tracing()


def backends(cell: Cell) -> tuple[str, ...]:
    """The backends that can run this cell, the fastest last."""
    return tuple(backend for backend in BACKENDS if reason_against(cell, backend) is None)


def reason_against(cell: Cell, backend: str) -> str | None:
    """Why `backend` cannot run this cell, as a sentence that names those that can, or None."""
    if backend == "library" and not library.supports(cell):
        others = [b for b in ("reference", "compiled") if reason_against(cell, b) is None]
        return (
            f"model.backend=library cannot run the cell {type(cell).__name__}, because torch.nn "
            f"has no such cell; choose model.backend=auto or {' or '.join(others)}"
        )
    if backend == "compiled":
        return compiled.reason_against(cell)
    return None


def choose(
    cell: Cell,
    backend: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> str:
    """The backend to which `backend`, one of BACKENDS or `auto`, resolves for such tensors.

    `auto` is the fastest: kernels derived from the cell's equations where there are some for this
    dtype and device, else torch.nn's, else the plain loop. That order was measured on the CPU, by
    `scripts/benchmark.py`. On a GPU cuDNN's kernels come first, since the derived ones have not
    been timed beside them.

    While something is exported, it is the plain loop whatever was asked for.

    Raises UserError where the cell cannot run on the backend that was asked for.
    """
    if exporting():
        return "reference"
    if backend == "auto":
        device = torch.device(device)
        if device.type != "cpu" and library.supports(cell):
            return "library"
        if compiled.why_no_kernels(cell, device, dtype) is None:
            return "compiled"
        return "library" if library.supports(cell) else "reference"
    if backend not in BACKENDS:
        names = ("auto", *BACKENDS)
        raise UserError(
            f"model.backend={backend} is not a backend{did_you_mean(backend, names)}; "
            f"choose one of {', '.join(names)}"
        )
    why = reason_against(cell, backend)
    if why is not None:
        raise UserError(why)
    return backend


def run(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...] | None = None,
    lengths: Tensor | None = None,
    *,
    reverse: bool = False,
    truncation: int | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Any]:
    """Run `cell` over x (T, B, X).

    state: initial states, each (B, H), in the order of `cell.state`; zeros if None.
    lengths: valid steps of each sequence (B), int64 on the CPU, 1 to T; T for all if None.
    reverse: read each sequence from its own last valid step to its first.
    truncation: steps between cuts of the gradient, counted from where the direction starts; it
    changes no value of the forward pass. None, or T and more, is full backpropagation.

    Returns the outputs (T, B, H), zero at padding and in the order of the input's time, and the
    state at each sequence's own end (with `reverse`, after its step 0).

    Raises ValueError for shapes, dtypes, devices and lengths that do not fit, UserError for the
    backend. Under autocast dtypes may differ.

    Example:
        >>> import torch, odyssey
        >>> lstm = odyssey.cells.LSTM(3, 4)
        >>> outputs, (h, c) = odyssey.run(lstm, torch.randn(7, 5, 3), truncation=2)
        >>> outputs.shape, torch.equal(outputs[-1], h)
        (torch.Size([7, 5, 4]), True)
    """
    _check(cell, x, state, lengths, truncation)
    dtype = a_weight(cell).dtype
    chosen = choose(cell, backend, x.device, dtype)
    if backend == "auto" and not exporting() and (type(cell), chosen) not in _announced:
        _announced.add((type(cell), chosen))
        why = compiled.why_no_kernels(cell, x.device, dtype)
        log.info(
            "model.backend=auto runs %s on the backend %s%s",
            type(cell).__name__,
            chosen,
            "" if why is None else f", because {why}",
        )
    ragged = None
    if lengths is not None and _ragged(lengths, x.shape[0]):
        ragged = lengths
        valid = _valid(x, lengths)
        # Padding may hold anything, NaN too, which a product with zero would not remove.
        x = x.masked_fill(~valid, 0.0)
    given = cell.initial_state(x[0]) if state is None else cell.State(*state)
    if reverse:
        x = _flip(x, ragged)
    if truncation is not None and truncation >= x.shape[0]:
        truncation = None
    outputs, last = _MODULES[chosen].forward(cell, x, given, ragged, truncation)
    if ragged is not None:
        outputs = outputs.masked_fill(~valid, 0.0)
    if reverse:
        outputs = _flip(outputs, ragged)
    elif ragged is None and chosen != "reference" and outputs.requires_grad:
        # Kernels read their outputs again in the backward pass. A copy (1% of the time) can be
        # changed in place, as the loop's outputs can.
        outputs = outputs.clone()
    return outputs, last


def _ragged(lengths: Tensor, steps: int) -> bool:
    """Whether there is padding; while something is exported there may always be."""
    return exporting() or (lengths.numel() > 0 and int(lengths.min()) < steps)


def _valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Mask (T, B, 1), true at the valid steps of each sequence."""
    time = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    return (time < lengths.to(x.device, non_blocking=True)).unsqueeze(-1)


def _flip(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (T, B, K) with each sequence reversed within its own length; padding stays at the end."""
    if lengths is None:
        return x.flip(0)
    time = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    n = lengths.to(x.device, non_blocking=True)
    index = torch.where(time < n, n - 1 - time, time)
    return x.gather(0, index.unsqueeze(-1).expand_as(x))


def _check(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...] | None,
    lengths: Tensor | None,
    truncation: int | None,
) -> None:
    """Raise ValueError for arguments of `run` that do not fit the cell or each other."""
    if x.dim() != 3 or x.shape[-1] != cell.input_size or x.shape[0] == 0:
        raise ValueError(
            f"x must be (T, B, {cell.input_size}) with T of at least 1, not {tuple(x.shape)}"
        )
    check_tensor(cell, "x", x)
    if state is not None:
        want = (x.shape[1], cell.hidden_size)
        if len(state) != len(cell.state) or any(tuple(v.shape) != want for v in state):
            raise ValueError(
                f"the state of {type(cell).__name__} is {', '.join(cell.state)}, each {want}, "
                f"not {[tuple(v.shape) for v in state]}"
            )
        for name, value in zip(cell.state, state, strict=True):
            check_tensor(cell, f"the state {name}", value)
    if lengths is not None:
        if lengths.device.type != "cpu" or lengths.dtype != torch.int64:
            raise ValueError("lengths must be int64 on the CPU")
        if tuple(lengths.shape) != (x.shape[1],):
            raise ValueError(f"lengths must be ({x.shape[1]},), not {tuple(lengths.shape)}")
        known = lengths.numel() and not exporting()
        if known and (int(lengths.min()) < 1 or int(lengths.max()) > x.shape[0]):
            raise ValueError(
                f"lengths must be 1 to {x.shape[0]} (T), not {int(lengths.min())} to "
                f"{int(lengths.max())}"
            )
    if truncation is not None and truncation < 1:
        raise ValueError(f"truncation must be at least 1 step, not {truncation}")
