"""Recurrent cells, each a class that writes one time step as the equations of its paper.

In the docstrings `*` is the elementwise product, `sigm` the logistic function, x_t the input at
step t, h_{t-1} the output of the step before; W, R, b and p are input weights, recurrent weights,
biases and peepholes, with the name of their gate as index. There is no loop over time here, no
device and no configuration.

`CELLS` has the classes by their names on the command line:

>>> from odyssey import cells
>>> cells.CELLS["lstm_peephole"]
<class 'odyssey.cells.lstm.PeepholeLSTM'>
>>> cells.PeepholeLSTM.count(3, 4)  # parameters with 3 inputs and 4 units
140
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from odyssey import registry
from odyssey.cells.cell import Cell
from odyssey.cells.elman import IRNN, Elman, ElmanReLU, Jordan
from odyssey.cells.greff import CIFG, FGR, NFG, NIAF, NIG, NOAF, NOG, NP
from odyssey.cells.gru import GRU, GRUResetAfter, SimpleGRU
from odyssey.cells.init import Init
from odyssey.cells.layernorm import LayerNormLSTM
from odyssey.cells.lstm import LSTM, PeepholeLSTM
from odyssey.cells.minimal import JANET, MGU, UGRNN
from odyssey.cells.mut import MUT1, MUT2, MUT3

__all__ = [
    "CELLS",
    "CIFG",
    "FGR",
    "GRU",
    "IRNN",
    "JANET",
    "LSTM",
    "MGU",
    "MUT1",
    "MUT2",
    "MUT3",
    "NFG",
    "NIAF",
    "NIG",
    "NOAF",
    "NOG",
    "NP",
    "UGRNN",
    "Cell",
    "Elman",
    "ElmanReLU",
    "GRUResetAfter",
    "Init",
    "Jordan",
    "LayerNormLSTM",
    "PeepholeLSTM",
    "SimpleGRU",
]

for _module in iter_modules(__path__):  # with the classes of files that are not named above
    for _name, _found in vars(import_module(f"{__name__}.{_module.name}")).items():
        if isinstance(_found, type) and issubclass(_found, Cell):
            globals().setdefault(_name, _found)

# Name on the command line -> class, as the files of conf/cell/ have them.
CELLS: dict[str, type[Cell]] = {
    name: globals()[entry.kind] for name, entry in registry.CELLS.items()
}
