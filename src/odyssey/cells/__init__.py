"""The equations. No loop over time, no device, no configuration."""

from __future__ import annotations

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

# Name on the command line -> class, by family.
CELLS: dict[str, type[Cell]] = {
    name: globals()[entry.kind] for name, entry in registry.CELLS.items()
}
