"""Random cells, inputs and states that the tests of cells and of recurrence share."""

from __future__ import annotations

import torch
from torch import Tensor

import random_kit
from odyssey.cells import CELLS
from odyssey.cells.cell import Cell
from odyssey.recurrence import BACKENDS, backends, run

NAMES = sorted(CELLS)


def make(name: str, input_size: int, hidden_size: int, seed: int = 0) -> Cell:
    """A float64 cell whose every weight, biases and vectors too, is random and far from zero."""
    cell = CELLS[name](input_size, hidden_size, dtype=torch.float64)
    generator = random_kit.torch_rng(seed)
    with torch.no_grad():
        for key, weight in cell.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            # A recurrent matrix of spectral radius near 1: memory is long and nothing explodes.
            weight.copy_(noise * (hidden_size**-0.5 if key == "R" else 0.7))
    return cell


def normal(*shape: int, seed: int) -> Tensor:
    generator = random_kit.torch_rng(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def inputs(cell: Cell, steps: int, size: int, seed: int = 1) -> tuple[Tensor, tuple[Tensor, ...]]:
    """x (T, B, X) and an initial state."""
    x = normal(steps, size, cell.input_size, seed=seed)
    state = tuple(normal(size, cell.hidden_size, seed=seed + 1 + k) for k in range(len(cell.state)))
    return x, state


def leaves(*values: Tensor) -> tuple[Tensor, ...]:
    return tuple(v.detach().clone().requires_grad_() for v in values)


def cotangent(outputs: Tensor, last: tuple[Tensor, ...], seed: int = 50) -> Tensor:
    """A scalar that depends on every output and every final state, each with its own weight."""
    values = (outputs, *last)
    weights = [normal(*v.shape, seed=seed + k).to(v.dtype) for k, v in enumerate(values)]
    return sum((v * w).sum() for v, w in zip(values, weights, strict=True))  # type: ignore[return-value]


def results(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], lengths: Tensor | None = None, **options
) -> dict[str, Tensor]:
    """Outputs, final states and the gradient of `cotangent` by everything, by name."""
    x, *state = leaves(x, *state)
    outputs, last = run(cell, x, tuple(state), lengths, **options)
    weights = {k: v for k, v in cell.named_parameters() if v.requires_grad}
    given = [x, *state, *weights.values()]
    gradients = torch.autograd.grad(cotangent(outputs, last), given, materialize_grads=True)
    names = ["x", *cell.state, *weights]
    found = {"outputs": outputs.detach()}
    found |= {f"final {k}": v.detach() for k, v in zip(cell.state, last, strict=True)}
    return found | {f"grad {k}": v for k, v in zip(names, gradients, strict=True)}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    """Equal within `tolerance` of each tensor's largest number (and of 1)."""
    assert a.keys() == b.keys()
    for key in a:
        limit = tolerance * max(1.0, float(b[key].abs().max()))
        torch.testing.assert_close(
            a[key], b[key], rtol=0, atol=limit, msg=lambda m, key=key: f"{key}: {m}"
        )


def able(backend: str) -> list[str]:
    """The names of the cells that this backend runs."""
    return [name for name in NAMES if backend in backends(CELLS[name](2, 3))]


PAIRS = [(name, backend) for backend in BACKENDS for name in able(backend)]
