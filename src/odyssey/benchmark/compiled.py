"""Compiled cells against whatever else runs such a cell: one layer, forward and backward."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import torch
from torch import nn

from odyssey.benchmark.cells import SIZES, backend_step, torch_step
from odyssey.benchmark.timing import Row, rounds, summarize
from odyssey.cells import CELLS, Cell
from odyssey.recurrence import run

log = logging.getLogger("odyssey")

INPUTS = (88, 64, 128, 28)  # X of the four sizes
# Our cell -> that of the package torchrecurrent (whose equations may differ in detail: for time).
TORCHRECURRENT = {
    "lstm_peephole": "PeepholeLSTM",
    "mut1": "MUT1",
    "mut2": "MUT2",
    "mut3": "MUT3",
    "mgu": "MGU",
    "janet": "JANET",
    "ugrnn": "UGRNN",
}


class _Late(Exception):
    """It took longer than it was given."""


def compiled_rows(
    device: torch.device, pairs: int, names: list[str], inductor: int
) -> Iterator[list[Row]]:
    """For each size the rows of all that ran, everything timed in turn in each round.

    inductor: seconds that torch.compile is given for a loop; 0 leaves it out.
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

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late

    torch._dynamo.reset()
    compiled = torch.compile(loop)

    def work() -> None:
        cell.zero_grad()
        compiled(x).sum().backward()

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        work()
    except _Late:
        log.warning("torch.compile of %s did not end within %d s", what, seconds)
        return None
    except Exception as error:  # whatever torch.compile raises is its own affair
        log.warning("torch.compile of %s fails: %s", what, str(error).splitlines()[:1])
        return None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return work
