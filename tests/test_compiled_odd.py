"""Steps that the project's own cells do not take: raw values as operands, factors and states."""

from __future__ import annotations

import pytest
import torch
from torch import sigmoid, tanh

from cell_cases import assert_same, results
from odyssey.cells import Cell
from odyssey.errors import UserError
from odyssey.recurrence import run
from odyssey.recurrence.compiled import backend
from test_compiled import CASES, TYPES, check, randomise

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
}
# Those in which generated C takes another way than the plan's other engine.
IN_C = ["R of a bare input", "R of R", "R times x.h", "state is R", "state is bare"]


def odd(name):
    declared, new = STEPS[name]
    body = {k: tuple(v) for k, v in declared.items()}
    body |= {"gates": ("h",), "recurrent": ("q",), "step": lambda self, *a: tuple(new(*a))}
    return type("Odd", (Cell,), body)


@pytest.fixture(autouse=True)
def memory_of_nan():
    """What is read before it was written shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("name", "kind"), [*((k, 0) for k in STEPS), *((k, 1) for k in IN_C)], ids=str
)
def test_odd_cells_equal_the_reference(name, kind):
    for k, case in enumerate(CASES[: 2 if kind else 4] + [(5, 5, 6, 3, [2, 6, 1], 1)]):
        cell = randomise(odd(name)(*case[:2], dtype=torch.float64))
        check(cell, case, *TYPES[kind], reverse=k % 2 == 1)


class Leaky(Cell):
    """Its step reads things of the cell that are not among its weights."""

    gates = ("h",)
    leak, gain = 0.5, 1.0

    def step(self, x, R, p, s):
        new = tanh(x.h + self.gain * R.h(s.h))
        return (self.leak * s.h + new if self.training else new,)


def test_a_step_that_reads_numbers_and_switches_of_its_cell():
    """They are part of a plan, and may change after it was made."""
    cell = randomise(Leaky(3, 5).double())
    x, h = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)

    def right():
        assert_same(*(results(cell, x, (h,), backend=k) for k in ("compiled", "reference")))
        return backend.plan_of(cell)

    first = right()
    cell.leak = 0.25
    assert right() is not first
    plain = cell.eval() and right()
    cell.gain = torch.tensor(3.0, dtype=torch.float64)
    assert right() is not plain
    cell.gain.fill_(1.0)
    cell.unread = "changes nothing"
    assert right() is plain


def test_a_step_whose_numbers_always_change_is_for_the_reference():
    cell, x = Leaky(3, 5).double(), torch.zeros(2, 1, 3, dtype=torch.float64)
    for k in range(backend.MANY):
        cell.leak = float(k + 2)
        run(cell, x, backend="compiled")
    cell.leak = 0.5
    with pytest.raises(UserError, match="numbers of the cell that keep changing"):
        run(cell, x, backend="compiled")
    run(cell, x)
