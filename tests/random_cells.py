"""Cells of unusual forms: some by hand, and any number drawn at random from the notation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import sigmoid, tanh

import random_kit
from odyssey.cells.cell import Cell

# Name -> (what the cell has besides gate h, the new states).
STEPS = {
    "R of a bare input": ({"bare": ["e"]}, lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(x.e))]),
    "R of a vector": ({"vectors": ["v"]}, lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(p.v))]),
    "R of x.h": ({}, lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(x.h))]),
    "R of R": ({}, lambda x, R, p, s: [tanh(x.h + R.q(R.h(s.h)))]),
    "R of a sum": ({"bare": ["e"]}, lambda x, R, p, s: [tanh(R.h(s.h + x.e) * x.h + R.q(x.h))]),
    "R times x.h": ({}, lambda x, R, p, s: [tanh(x.h * R.h(s.h)) - R.q(s.h) * R.q(s.h)]),
    "R times R": ({}, lambda x, R, p, s: [tanh(R.h(s.h) * R.q(s.h) * x.h)]),
    "x.h kept": ({}, lambda x, R, p, s: [tanh(R.h(s.h) * x.h + R.q(s.h * x.h) * x.h) * x.h]),
    "state is R": ({"state": "hc"}, lambda x, R, p, s: [tanh(x.h + R.q(s.c)), R.h(s.h)]),
    "one R twice": ({"state": "hc"}, lambda x, R, p, s: [R.h(s.c) + R.q(s.h) * x.h, R.h(s.c)]),
    "state is x.h": ({"state": "hc"}, lambda x, R, p, s: [x.h, tanh(R.h(s.c) * x.h + R.q(x.h))]),
    "state is bare": (
        {"state": "hc", "bare": ["e"]},
        lambda x, R, p, s: [tanh(R.h(s.h) + R.q(s.h) + x.h), x.e],
    ),
    "states pass": (
        {"state": "hcd"},
        lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(s.d)) * s.c, s.h, s.c],
    ),
    "states swap": (
        {"state": "hcd"},
        lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(s.c)), s.d, s.c],
    ),
    "states equal": ({"state": "hc"}, lambda x, R, p, s: [tanh(x.h + R.h(s.h) + R.q(s.c))] * 2),
    "vector squared": (
        {"vectors": ["v", "unused"]},
        lambda x, R, p, s: [tanh(x.h + R.h(s.h) * p.v * p.v + R.q(s.h)) * sigmoid(p.v)],
    ),
    "chain": (
        {"state": "hc"},
        lambda x, R, p, s: [tanh(R.q(R.h(s.h) + x.h) * s.c), tanh(R.h(s.h) - x.h)],
    ),
    "R of two states": (
        {"state": "hc"},
        lambda x, R, p, s: [tanh(x.h + R.h(s.h + s.c)), tanh(R.q(s.h + s.c))],
    ),
    "R of a state and more": (
        {"state": "hc"},
        lambda x, R, p, s: [tanh(x.h + R.h(s.h + s.c * s.c)), tanh(R.q(s.c))],
    ),
    "dh is read late": (
        {"state": "hcd"},
        lambda x, R, p, s: [tanh(x.h), tanh(R.q(s.h)), tanh(R.h(tanh(x.h)))],
    ),
}

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


def odd_cell(name: str) -> type[Cell]:
    """One of STEPS as a cell class."""
    declared, new = STEPS[name]
    body: dict[str, Any] = {k: tuple(v) for k, v in declared.items()}
    body |= {"gates": ("h",), "recurrent": ("q",), "step": lambda self, *a: tuple(new(*a))}
    return type("Odd", (Cell,), body)


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
