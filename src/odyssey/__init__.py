"""Odyssey: a recurrent cell is written once, as its paper prints it; the rest is derived.

>>> import torch, odyssey
>>> rnn = odyssey.RNN("lstm_peephole", input_size=3, hidden_size=4)  # in place of torch.nn.LSTM
>>> y, (h, c) = rnn(torch.randn(7, 5, 3))
>>> y.shape
torch.Size([7, 5, 4])

>>> cfg = odyssey.compose("cell=gru task=charlm")  # as `python train.py cell=gru task=charlm`
>>> cfg.model.hidden_size
128

The public names are those of `odyssey.__all__`, with what their objects have without a leading
underscore. Everything else is private and may change. `docs/notebook.ipynb` uses all of them.

Importing this package takes milliseconds; torch is loaded when one of these names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odyssey import cells
    from odyssey.api.run import Run, compose, load, train
    from odyssey.api.study import Study, compare, study
    from odyssey.cells.cell import Cell
    from odyssey.errors import UserError
    from odyssey.nn.rnn import RNN
    from odyssey.recurrence import run

__version__ = "0.1.0"

# Public name -> the module that has it, or is it.
_PUBLIC = {
    "RNN": "odyssey.nn.rnn",
    "Cell": "odyssey.cells.cell",
    "cells": "odyssey.cells",
    "run": "odyssey.recurrence",
    "compose": "odyssey.api.run",
    "train": "odyssey.api.run",
    "load": "odyssey.api.run",
    "Run": "odyssey.api.run",
    "study": "odyssey.study",  # a package that can be called, as it has the name already
    "Study": "odyssey.api.study",
    "compare": "odyssey.api.study",
    "UserError": "odyssey.errors",
}

__all__ = [
    "RNN",
    "Cell",
    "Run",
    "Study",
    "UserError",
    "__version__",
    "cells",
    "compare",
    "compose",
    "load",
    "run",
    "study",
    "train",
]


def __getattr__(name: str) -> Any:
    """A public name, when it is first used (PEP 562)."""
    where = _PUBLIC.get(name)
    if where is None:
        raise AttributeError(f"module 'odyssey' has no attribute {name!r}")
    module = import_module(where)
    value = module if where == f"odyssey.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
