"""Backends against torch.nn and others: one layer of a cell, forward and backward."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import torch
from torch import nn

from odyssey.benchmark.timing import Row, compare, rounds, summarize
from odyssey.cells import CELLS, Cell
from odyssey.recurrence import run

log = logging.getLogger("odyssey")

SIZES = ((100, 32, 128), (64, 1, 100), (100, 64, 256), (28, 128, 128))  # T, B, H
LIBRARY = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru_reset_after": nn.GRU}
INPUTS = (88, 64, 128, 28)  # X of each size in `compiled_rows`; elsewhere X = H
# Our cell -> the one of the package torchrecurrent, whose equations may differ in details.
TORCHRECURRENT = {
    "lstm_peephole": "PeepholeLSTM",
    "mut1": "MUT1",
    "mut2": "MUT2",
    "mut3": "MUT3",
    "mgu": "MGU",
    "janet": "JANET",
    "ugrnn": "UGRNN",
}


def backend_step(cell: Cell, x: torch.Tensor, backend: str) -> Callable[[], None]:
    """A function that runs the cell forward and backward."""

    def work() -> None:
        cell.zero_grad()
        run(cell, x, backend=backend)[0].sum().backward()

    return work


def torch_step(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A function that runs a module of torch.nn's form forward and backward."""

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


class _TimedOut(BaseException):
    """torch.compile took longer than allowed; it turns an Exception into one of its own."""


def compiled_rows(
    device: torch.device, pairs: int, names: list[str], inductor: int
) -> Iterator[list[Row]]:
    """For each size, every implementation of each cell against nn.LSTM, all timed in alternation.

    inductor: seconds allowed to torch.compile for one plain loop; 0 leaves it out.
    """
    for (T, B, H), X in zip(SIZES, INPUTS, strict=True):
        x = torch.randn(T, B, X, device=device, requires_grad=True)
        works = {
            "torch.nn.LSTM": torch_step(nn.LSTM(X, H).to(device), x),
            "torch.nn.GRU": torch_step(nn.GRU(X, H).to(device), x),
        }
        for name in names:
            cell = CELLS[name](X, H).to(device)
            works[f"{name} compiled"] = backend_step(cell, x, "compiled")
            works[f"{name} reference"] = backend_step(cell, x, "reference")
            other = _torchrecurrent(name, X, H)
            if other is not None:
                works[f"{name} torchrecurrent"] = torch_step(other.to(device), x)
            if inductor:
                inducted = _inductor(cell, x, inductor, f"{name} at T={T}")
                if inducted is not None:
                    works[f"{name} torch.compile"] = inducted
        times = rounds(works, device=device, count=pairs)
        size = f"T={T} B={B} X={X} H={H}"
        rows = []
        for what, ours in times.items():
            name, _, kind = what.partition(" ")
            limit = 1.0 if kind == "compiled" else None
            against = list(zip(ours, times["torch.nn.LSTM"], strict=True))
            rows.append(summarize(f"{what}  {size}", "torch.nn.LSTM", against, limit))
            if kind == "compiled":
                against = list(zip(ours, times[f"{name} reference"], strict=True))
                limit = 0.2 if B <= 32 else None
                rows.append(summarize(f"{what}  {size}", f"{name} reference", against, limit))
        yield rows


def _torchrecurrent(name: str, X: int, H: int) -> nn.Module | None:
    if name not in TORCHRECURRENT or importlib.util.find_spec("torchrecurrent") is None:
        return None
    package = importlib.import_module("torchrecurrent")
    layer: nn.Module = getattr(package, TORCHRECURRENT[name])(X, H)
    return layer


def _inductor(cell: Cell, x: torch.Tensor, seconds: int, what: str) -> Callable[[], None] | None:
    """The plain loop through torch.compile, or None where that takes too long or fails."""

    def loop(x: torch.Tensor) -> torch.Tensor:
        return run(cell, x, backend="reference")[0]

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TimedOut

    torch._dynamo.reset()
    compiled = torch.compile(loop)

    def work() -> None:
        cell.zero_grad()
        compiled(x).sum().backward()

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        work()
    except _TimedOut:
        log.warning("torch.compile of %s did not end within %d s", what, seconds)
        return None
    except Exception as error:  # torch.compile may raise anything
        log.warning("torch.compile of %s fails: %s", what, str(error).splitlines()[:1])
        return None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return work
