"""Layers of cells, in one or two directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from odyssey.cells.cell import Cell
from odyssey.recurrence import choose, compiled, run

MakeCell = Callable[[int, int], Cell]
WITHOUT_KERNELS = "compiled, by torch operations"
StackState = list[tuple[Any, ...]]  # [layer][direction] -> cell.State, each of (B, H)


class Stack(nn.Module):
    """`num_layers` layers of a cell; a layer reads the one below, through dropout.

    Input (T, B, X); output (T, B, H·directions), the forward direction's units first. Dropout
    lies between layers, as in torch.nn.LSTM: not before the first and not after the last.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.output_size = hidden_size * self.directions
        self.backend = backend
        self.dropout = nn.Dropout(dropout)
        sizes = [input_size] + [self.output_size] * (num_layers - 1)
        self.layers = nn.ModuleList(
            nn.ModuleList(make_cell(size, hidden_size) for _ in range(self.directions))
            for size in sizes
        )
        if backend != "auto":
            choose(self.cells()[0], backend)  # to raise an error now and not in the first step

    def chosen(self, device: torch.device) -> str:
        """The backend that runs the layers on `device`, in the type of the weights."""
        return choose(self.cells()[0], self.backend, device, next(self.parameters()).dtype)

    def runs(self, device: torch.device) -> str:
        """As `chosen`, but WITHOUT_KERNELS where `compiled` has none there, by no compiler say."""
        name = self.chosen(device)
        if name != "compiled":
            return name
        dtype = next(self.parameters()).dtype
        why = compiled.why_no_kernels(self.cells()[0], device, dtype)
        return name if why is None else WITHOUT_KERNELS

    def why_plain(self, device: torch.device) -> str | None:
        """Why only the plain loop can run this cell with backend `auto`; None if another one can.

        A missing C compiler is no reason here: it is reported when kernels are built.
        """
        cell = self.cells()[0]
        if self.backend != "auto" or self.chosen(device) != "reference":
            return None
        if device.type == "cpu" and compiled.reason_against(cell) is None:
            return None
        return compiled.why_no_kernels(cell, device, next(self.parameters()).dtype)

    def grid(self) -> list[list[Cell]]:
        """The cells by layer and direction: `grid()[layer][direction]`."""
        return [list(cast(Iterable[Cell], layer)) for layer in self.layers]

    def cells(self) -> list[Cell]:
        """All cells, layer by layer, forward direction first."""
        return [cell for layer in self.grid() for cell in layer]

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        state: StackState | None = None,
        truncation: int | None = None,
    ) -> tuple[Tensor, StackState]:
        """Outputs of the top layer, zero at padding, and the state at each sequence's end."""
        last: StackState = []
        for i, layer in enumerate(self.grid()):
            if i:
                x = self.dropout(x)
            outputs, ends = [], []
            for d, cell in enumerate(layer):
                y, end = run(
                    cell,
                    x,
                    state[i][d] if state is not None else None,
                    lengths,
                    reverse=d == 1,
                    truncation=truncation,
                    backend=self.backend,
                )
                outputs.append(y)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            last.append(tuple(ends))
        return x, last


def detach(state: StackState) -> StackState:
    """The state without its autograd graph."""
    return [tuple(type(s)(*(v.detach() for v in s)) for s in layer) for layer in state]


def read_end(outputs: Tensor, lengths: Tensor | None, directions: int) -> Tensor:
    """Each direction's output after it has read a whole sequence: outputs (T, B, K) -> (B, K).

    The forward half is taken at each sequence's last valid step, the backward half at its first.
    """
    if lengths is None:
        end = outputs[-1]
    else:
        index = (lengths - 1).to(outputs.device, non_blocking=True)
        end = outputs.gather(0, index.view(1, -1, 1).expand(1, -1, outputs.shape[-1]))[0]
    if directions == 1:
        return end
    half = outputs.shape[-1] // 2
    return torch.cat([end[:, :half], outputs[0, :, half:]], -1)


def flatten_state(state: StackState) -> list[list[list[Tensor]]]:
    """Plain lists of tensors, for a checkpoint."""
    return [[list(s) for s in layer] for layer in state]


def unflatten_state(stack: Stack, saved: Sequence[Sequence[Sequence[Tensor]]]) -> StackState:
    """The state of `stack` from the lists of `flatten_state`."""
    return [
        tuple(cell.State(*s) for cell, s in zip(cells, layer, strict=True))
        for cells, layer in zip(stack.grid(), saved, strict=True)
    ]
