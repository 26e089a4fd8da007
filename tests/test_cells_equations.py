"""Every cell computes its paper's equations, and their exact derivative."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cell_cases import NAMES, inputs, make
from odyssey.recurrence import run
from oracles import ORACLES, Weights, batch

#       X   H  B  T
SIZES = [
    (1, 1, 1, 1),
    (3, 5, 2, 7),
    (5, 5, 3, 4),
    (7, 2, 5, 13),
    (2, 11, 1, 1),
    (13, 13, 1, 17),
]


def test_there_is_an_oracle_for_every_cell():
    assert sorted(ORACLES) == NAMES


def _compare(name, x, state, given, cell, reverse, rtol):
    outputs, last = run(cell, x, given, reverse=reverse, backend="reference")
    oracle = batch(
        name, Weights(cell), x.double().numpy(), [v.double().numpy() for v in state], None, reverse
    )
    assert last._fields == cell.state
    for got, want in zip((outputs, *last), (oracle[0], *oracle[1]), strict=True):
        assert got.dtype == x.dtype
        error = np.abs(got.detach().double().numpy() - want).max()
        assert error <= rtol * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_equals_the_paper(name, reverse):
    for seed, (X, H, B, T) in enumerate(SIZES):
        cell = make(name, X, H, seed=seed)
        x, state = inputs(cell, T, B, seed=10 * seed)
        _compare(name, x, state, state, cell, reverse, 1e-10)
        zero = tuple(torch.zeros_like(v) for v in state)
        _compare(name, x, zero, None, cell, reverse, 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_paper_in_float32(name):
    for seed, (X, H, B, T) in enumerate(SIZES):
        cell = make(name, X, H, seed=seed).float()
        x, state = inputs(cell, T, B, seed=10 * seed)
        x, state = x.float(), tuple(v.float() for v in state)
        _compare(name, x, state, state, cell, False, 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saturated_gates_stay_finite(name):
    """Inputs far beyond what exp can take: gates are 0 or 1, and nothing is NaN."""
    cell = make(name, 3, 4)
    x, state = inputs(cell, 3, 2)
    x = (1e4 * x).requires_grad_()
    outputs, last = run(cell, x, state, backend="reference")
    gradients = torch.autograd.grad(outputs.sum(), [x, *cell.parameters()])
    assert all(bool(v.isfinite().all()) for v in (outputs, *last, *gradients))


# The seeds leave no rectifier's operand near its kink.
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("X", [3, 2], ids=["X=H", "X<H"])
def test_gradcheck(name, X):
    cell = make(name, X, 3, seed=3)
    x, state = inputs(cell, 3, 2, seed=4)
    assert run(cell, x, state)[0].any(), "a dead rectifier would check nothing"
    keys = [key for key, _ in cell.named_parameters()]
    count = len(state)
    ragged = X == 2
    lengths = torch.tensor([3, 2]) if ragged else None

    def function(*values):
        x, state, weights = values[0], values[1 : 1 + count], values[1 + count :]
        arguments = (x, state, lengths)
        options = {"reverse": ragged, "backend": "reference"}
        outputs, last = torch.func.functional_call(
            Runner(cell),
            {f"cell.{k}": v for k, v in zip(keys, weights, strict=True)},
            arguments,
            options,
        )
        return (outputs, *last)

    values = [x, *state, *(p.detach().clone() for p in cell.parameters())]
    for v in values:
        v.requires_grad_()
    assert torch.autograd.gradcheck(function, values, eps=1e-6, atol=1e-6, rtol=1e-5)


class Runner(torch.nn.Module):
    """`run` as a module, so that functional_call can put in other weights."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, *arguments, **options):
        return run(self.cell, *arguments, **options)
