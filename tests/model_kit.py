"""Models with random float64 weights, and torch.nn modules that hold the same ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cell_cases import normal
from odyssey.cells import CELLS
from odyssey.cells.cell import Cell
from odyssey.nn import SequenceModel, Sizes

# Cell -> the torch.nn module that computes the same function, and our gates in its order.
TORCH = {
    "rnn": (lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k), ("h",)),
    "elman_relu": (lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), ("h",)),
    "lstm": (nn.LSTM, ("i", "f", "z", "o")),
    "gru_reset_after": (nn.GRU, ("r", "z", "n")),
}


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight, biases too, random and far from zero; float64."""
    model.double()
    with torch.no_grad():
        for i, (name, weight) in enumerate(model.named_parameters()):
            scale = weight.shape[-1] ** -0.5 if name.endswith(".R") else 0.6
            weight.copy_(normal(*weight.shape, seed=1000 * seed + i) * scale)
    return model


def model(name: str, *, seed: int = 0, head_init=None, **options) -> SequenceModel:
    """A random SequenceModel of this cell; what is not a size goes to SequenceModel itself."""
    own = ("input", "input_size", "output_size", "head")
    spec = {"input": "real", "input_size": 3, "output_size": 4, "head": "step"}
    spec |= {k: options.pop(k) for k in own if k in options}
    sizes = Sizes(**({"hidden_size": 5} | options))
    return randomize(SequenceModel(CELLS[name], sizes, head_init=head_init, **spec), seed)


def twin(ours: SequenceModel, name: str) -> nn.Module:
    """torch's own module with the weights of our stack."""
    make, order = TORCH[name]
    grid = ours.stack.grid()
    first = grid[0][0]
    module = make(
        first.input_size, first.hidden_size, num_layers=len(grid), bidirectional=len(grid[0]) == 2
    ).double()
    with torch.no_grad():
        for i, layer in enumerate(grid):
            for d, cell in enumerate(layer):
                for key, value in to_torch(cell, order, cell.part).items():
                    getattr(module, f"{key}_l{i}{'_reverse' if d else ''}").copy_(value)
    return module


def to_torch(cell: Cell, order: tuple[str, ...], part) -> dict[str, Tensor]:
    """One cell's weights, or their gradients, under torch's names and in its gate order."""
    found = {
        key: torch.cat([part(letter, gate) for gate in order])
        for key, letter in (("weight_ih", "W"), ("weight_hh", "R"), ("bias_ih", "b"))
    }
    second = torch.zeros_like(found["bias_ih"])
    if cell.vectors:  # of the GRU's second bias only the candidate's third is not redundant
        second[2 * cell.hidden_size :] = part("p", cell.vectors[0])
    return found | {"bias_hh": second}


def gradient_part(cell: Cell):
    """As `cell.part`, of the gradients."""

    def part(letter: str, name: str) -> Tensor:
        i, h = cell.rows[letter].index(name), cell.hidden_size
        gradient = getattr(cell, letter).grad
        return gradient[i] if letter == "p" else gradient[i * h : (i + 1) * h]

    return part


def same(a, b, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
