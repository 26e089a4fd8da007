"""The plain backends against torch.nn: one layer, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from odyssey.benchmark.timing import Row, compare
from odyssey.cells import CELLS, Cell
from odyssey.recurrence import run

SIZES = ((100, 32, 128), (64, 1, 100), (100, 64, 256), (28, 128, 128))  # T, B, H; X = H
LIBRARY = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru_reset_after": nn.GRU}


def backend_step(cell: Cell, x: torch.Tensor, backend: str) -> Callable[[], None]:
    def work() -> None:
        cell.zero_grad()
        run(cell, x, backend=backend)[0].sum().backward()

    return work


def torch_step(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def work() -> None:
        layer.zero_grad()
        layer(x)[0].sum().backward()

    return work


def library_rows(device: torch.device, pairs: int) -> Iterator[Row]:
    """The library backend against torch.nn's own module: the same kernels, so about 1."""
    for name, kind in LIBRARY.items():
        for T, B, H in SIZES:
            x = torch.randn(T, B, H, device=device, requires_grad=True)
            yield compare(
                f"{name} library  T={T} B={B} H={H}",
                backend_step(CELLS[name](H, H).to(device), x, "library"),
                f"torch.nn.{kind.__name__}",
                torch_step(kind(H, H).to(device), x),
                device=device,
                pairs=pairs,
            )


def reference_rows(device: torch.device, pairs: int, names: list[str]) -> Iterator[Row]:
    """Cells in the plain loop, against nn.LSTM: what a variant costs without kernels."""
    T, B, H = SIZES[0]
    x = torch.randn(T, B, H, device=device, requires_grad=True)
    lstm = nn.LSTM(H, H).to(device)
    for name in names:
        cell = CELLS[name](H, H).to(device)
        yield compare(
            f"{name} reference  T={T} B={B} H={H}",
            backend_step(cell, x, "reference"),
            "torch.nn.LSTM",
            torch_step(lstm, x),
            device=device,
            pairs=max(pairs // 3, 3),
            warmup=1,
        )
