"""The equations. No loop over time, no device, no configuration."""

from __future__ import annotations

import re

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
    "name_of",
]

# Name on the command line -> class, by family. Each has a file conf/cell/NAME.yaml.
CELLS: dict[str, type[Cell]] = {
    "rnn": Elman,
    "elman_relu": ElmanReLU,
    "irnn": IRNN,
    "jordan": Jordan,
    "gru_simple": SimpleGRU,
    "gru": GRU,
    "gru_reset_after": GRUResetAfter,
    "lstm": LSTM,
    "lstm_peephole": PeepholeLSTM,
    "lstm_layernorm": LayerNormLSTM,
    "nig": NIG,
    "nfg": NFG,
    "nog": NOG,
    "niaf": NIAF,
    "noaf": NOAF,
    "cifg": CIFG,
    "np": NP,
    "fgr": FGR,
    "mgu": MGU,
    "mut1": MUT1,
    "mut2": MUT2,
    "mut3": MUT3,
    "janet": JANET,
    "ugrnn": UGRNN,
}


def name_of(cls: type[Cell]) -> str:
    """The name a cell has on the command line; a user's own class in snake_case (MyCell: my_cell).

    A run folder is called after it.
    """
    for name, registered in CELLS.items():
        if registered is cls:
            return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__)
    return words.lower()
