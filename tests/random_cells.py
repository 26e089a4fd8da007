"""Cells drawn at random from the notation: gates, products, activations, vectors and states."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

import random_kit
from odyssey.cells.cell import Cell

UNARY: list[Callable[[Any], Any]] = [
    torch.tanh,
    torch.sigmoid,
    torch.relu,
    lambda v: v.tanh(),
    lambda v: F.silu(v),
    lambda v: 1 - v,
    lambda v: -v,
    lambda v: 0.5 * v - 0.25,
    lambda v: torch.exp(-v * v),
    lambda v: v / (1 + torch.abs(v)),
    lambda v: torch.sin(v),
    lambda v: (1 + v**2).sqrt().reciprocal(),
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    torch.mul,
    lambda a, b: torch.tanh(a) * b,
    lambda a, b: a / (2 + torch.sigmoid(b)),
]


def random_cell(seed: int) -> type[Cell]:
    """A cell class; its step is the same at each call."""
    draw = random.Random(seed)
    gates_ = tuple(f"g{k}" for k in range(draw.randint(1, 4)))
    lacks_ = {}
    for gate in gates_:
        letters = "".join(letter for letter in "WRb" if draw.random() < 0.2)
        if letters and len(letters) < 3:
            lacks_[gate] = letters
    lacks_.pop(gates_[0], None)  # one gate reads the input
    vectors_ = tuple(f"p{k}" for k in range(draw.randint(0, 2)))
    bare_ = ("e",) if draw.random() < 0.3 else ()
    state_ = ("h", "c", "d")[: draw.randint(1, 3)]
    extra = ("q",) if draw.random() < 0.3 else ()

    def step(self: Cell, x: Any, R: Any, p: Any, s: Any) -> tuple[Any, ...]:
        dice = random.Random(seed + 1000)
        values = list(s)
        whole = [v for name, v in x._asdict().items() if "W" not in lacks_.get(name, "")]
        values += [torch.tanh(v) for v in whole]
        left = [name for name in gates_ if "R" not in lacks_.get(name, "")] + list(extra)
        dice.shuffle(left)
        sums = {}
        while left or dice.random() < 0.5:
            if left and dice.random() < 0.5:
                operand = dice.choice([*s, *s, *values])
                while left:  # often several matrices on one operand
                    name = left.pop()
                    sums[name] = getattr(R, name)(operand)
                    if dice.random() < 0.4:
                        break
                for name in list(sums):
                    value = sums.pop(name)
                    own = getattr(x, name, None)
                    if own is not None:
                        value = value + own
                    if vectors_ and dice.random() < 0.5:
                        value = value + getattr(p, dice.choice(vectors_)) * dice.choice(values)
                    values.append(dice.choice(UNARY[:3])(value))
            elif dice.random() < 0.5:
                values.append(dice.choice(UNARY)(dice.choice(values)))
            else:
                values.append(dice.choice(BINARY)(dice.choice(values), dice.choice(values)))
        new = []
        for before in s:  # bounded, so that nothing explodes over many steps
            a, b = dice.choice(values[-4:]), dice.choice(values)
            mixed = torch.sigmoid(a) * before + torch.tanh(b) * dice.choice([0.5, 1, -1])
            new.append(dice.choice([mixed, torch.tanh(a + b), torch.tanh(mixed) * torch.cos(b)]))
        return tuple(new)

    body = {
        "state": state_,
        "gates": gates_,
        "lacks": lacks_,
        "vectors": vectors_,
        "recurrent": extra,
        "bare": bare_,
        "step": step,
        "__doc__": f"Random cell {seed}.",
    }
    return type(f"Random{seed}", (Cell,), body)


def randomise(cell: Cell, seed: int = 0) -> Cell:
    """Draw every weight of the cell as `cell_cases.make` does."""
    generator = random_kit.torch_rng(seed)
    with torch.no_grad():
        for key, weight in cell.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(noise * (cell.hidden_size**-0.5 if key == "R" else 0.7))
    return cell
