"""Checks of generated Triton, run as a script: Triton's interpreter is for a whole process.

`TRITON_INTERPRET=1 python triton_kit.py 7 cells 0 2` runs every second cell from the first with
random inputs of seed 7. Prints
how many checks passed; the first that fails ends it with a traceback.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings

import torch

import random_kit
from cell_cases import able, assert_same, inputs, make, results
from odyssey.cells import Cell
from odyssey.recurrence.compiled import dispatch
from odyssey.recurrence.compiled.buffers import Adjoints, Memory
from odyssey.recurrence.compiled.triton import engine as triton_engine
from odyssey.recurrence.compiled.triton.engine import TritonEngine
from random_cells import random_cell, randomise

CASES = [  # X, H, T, B, lengths, truncation, reverse, whether weights are resident
    (3, 3, 5, 4, [3, 5, 1, 4], None, False, True),
    (2, 17, 3, 3, None, 2, True, False),
    (1, 1, 1, 1, None, None, False, True),
    (3, 33, 3, 3, [3, 1, 2], 2, True, False),
    (2, 7, 2, 5, None, None, False, False),
]
FORMS = ("persistent", "step")


def check(cell: Cell, case, form: str, precision: str = "ieee", tolerance: float = 1e-5) -> None:
    """Every number against the reference's in float64, rounded."""
    _, _, T, B, lengths, truncation, reverse, resident = case
    x, state = inputs(cell, T, B)
    x, state = x.float(), tuple(v.float() for v in state)
    n = None if lengths is None else torch.tensor(lengths)
    options = {"reverse": reverse, "truncation": truncation}
    triton_engine.shared_memory = lambda device: 227 * 1024 if resident else 0
    dispatch.engine_for = lambda plan, *_: TritonEngine(plan, precision, form)
    got = results(cell.float(), x, state, n, backend="compiled", **options)
    exact = [v.double() for v in (x, *state)]
    want = results(cell.double(), exact[0], tuple(exact[1:]), n, backend="reference", **options)
    assert_same(got, {k: v.float() for k, v in want.items()}, tolerance)


def cells(first: str, every: str) -> int:
    """Each cell in both forms, each time on another case."""
    names = able("compiled")[int(first) :: int(every)]
    for k, name in enumerate(names, int(first)):
        for j, form in enumerate(FORMS):
            case = CASES[(k + 2 * j) % 5]
            # The interpreter takes TF32's products in full; weights are resident in TF32 only.
            check(make(name, *case[:2]), case, form, "tf32" if case[-1] else "ieee")
    return len(names)


def drawn(first: str, last: str) -> int:
    """Random cells."""
    for number in range(int(first), int(last)):
        case = CASES[number % 2]
        cell = randomise(random_cell(random_kit.seed(number))(*case[:2], dtype=torch.float64))
        check(cell, case, FORMS[number // 2 % 2], "tf32" if case[-1] else "ieee")
    return int(last) - int(first)


def precisions() -> int:
    """Operands of products rounded to 8 bits of bfloat16: 2^-9 each, in a few steps' products."""
    for name in ("lstm_peephole", "gru", "mut1"):
        for form, case in zip(FORMS, CASES, strict=False):
            check(make(name, *case[:2]), case, form, "tf32")
            check(make(name, *case[:2]), case, form, "bf16", 2**-5)
            try:
                check(make(name, *case[:2]), case, form, "bf16", 2**-14)
            except AssertionError:
                continue
            raise AssertionError("nothing was rounded")
    return 3


def _shaped(value, function):
    """`function` of the tensors of one Memory or Adjoints, or of several side by side."""
    made = {}
    for field in dataclasses.fields(value[0]):
        parts = [getattr(v, field.name) for v in value]
        if isinstance(parts[0], list):
            made[field.name] = [function(v) for v in zip(*parts, strict=True)]
        elif isinstance(parts[0], torch.Tensor) and field.name != "lengths":
            made[field.name] = function(parts)
        else:
            made[field.name] = parts[0]
    return type(value[0])(**made)


def models() -> int:
    """Two models in one launch leave what each leaves alone."""

    def copied(value):
        return _shaped([value], lambda v: v[0].clone())

    class Recording(TritonEngine):
        def forward(self, plan, memory):
            self.given = copied(memory)
            super().forward(plan, memory)
            self.left = copied(memory)

        def backward(self, plan, memory, adjoints):
            self.given_back = copied(memory), copied(adjoints)
            super().backward(plan, memory, adjoints)
            self.left_back = copied(adjoints)

    for name in ("lstm_peephole", "mut1"):
        for form, case in zip(FORMS, (CASES[0], CASES[3]), strict=True):
            X, H, T, B, lengths, truncation, *_ = case
            alone = []
            for seed in (0, 1):
                cell = make(name, X, H, seed).float()
                plan = dispatch.plan_of(cell)
                alone.append(engine := Recording(plan, form=form))
                dispatch.engine_for = lambda *_, engine=engine: engine
                x, state = inputs(cell, T, B, seed)
                n = None if lengths is None else torch.tensor(lengths)
                x, state = x.float(), tuple(v.float() for v in state)
                results(cell, x, state, n, backend="compiled", truncation=truncation)
            memory: Memory = _shaped([e.given for e in alone], torch.stack)
            both = TritonEngine(plan, form=form)
            both.forward(plan, memory)
            for m, engine in enumerate(alone):
                for one, two in zip(engine.left.states, memory.states, strict=True):
                    torch.testing.assert_close(two[m], one, rtol=1e-6, atol=1e-6)
            memory = _shaped([e.given_back[0] for e in alone], torch.stack)
            adjoints: Adjoints = _shaped([e.given_back[1] for e in alone], torch.stack)
            both.backward(plan, memory, adjoints)
            for m, engine in enumerate(alone):
                left = engine.left_back
                for one, two in zip(
                    [left.dgates, left.sums, *left.first],
                    [adjoints.dgates, adjoints.sums, *adjoints.first],
                    strict=True,
                ):
                    torch.testing.assert_close(two[m], one, rtol=1e-6, atol=1e-6)
    return 4


def numbers() -> int:
    """tanh and sigmoid over the range of floats, their edges, and NaN through a loop."""
    dispatch.engine_for = lambda plan, *_: TritonEngine(plan, form="persistent")
    for function in (torch.tanh, torch.sigmoid, torch.relu, torch.abs, torch.sin):

        class One(Cell):
            gates = ("h",)
            lacks = {"h": "Rb"}

            def step(self, x, R, p, s, function=function):
                return (function(x.h),)

        cell = One(1, 1)
        torch.nn.init.ones_(cell.W)
        size = torch.logspace(-30, 1.9, 301)
        x = torch.cat([size, -size, torch.linspace(-2, 2, 501), torch.tensor([0.0])])
        got, _ = dispatch.forward(cell, x.view(1, -1, 1), (torch.zeros(x.numel(), 1),), None, None)
        want = function(x.double())
        assert ((got.flatten() - want).abs() <= 3e-7 * want.abs() + 2e-38).all(), function
        edges = torch.tensor([float("inf"), -float("inf"), float("nan"), 200.0, -200.0])
        got, _ = dispatch.forward(cell, edges.view(1, -1, 1), (torch.zeros(5, 1),), None, None)
        torch.testing.assert_close(got.flatten(), function(edges), equal_nan=True)
    for name in ("lstm_peephole", "elman_relu"):
        cell = make(name, 3, 5).float()
        x, state = inputs(cell, 4, 3)
        x[2, 1, 0] = float("nan")
        x, state = x.float(), tuple(v.float() for v in state)
        a, b = (results(cell, x, state, backend=k) for k in ("compiled", "reference"))
        assert all(torch.equal(a[key].isnan(), b[key].isnan()) for key in a)
    return 7


def no_steps() -> int:
    """A sequence of no step hands its state and its gradient through."""
    for form in FORMS:
        dispatch.engine_for = lambda plan, *_, form=form: TritonEngine(plan, form=form)
        cell = make("gru", 3, 5).float()
        x = torch.randn(4, 3, 3)
        h = torch.randn(3, 5, requires_grad=True)
        _, last = dispatch.forward(cell, x, (h,), torch.tensor([2, 0, 4]), None)
        assert torch.equal(last.h[1], h[1])
        (gradient,) = torch.autograd.grad(last.h[1].sum(), [h])
        assert torch.equal(gradient, torch.tensor([[0.0], [1.0], [0.0]]).expand(3, 5))
    return 2


def others() -> int:
    """All that is no list of cells."""
    return precisions() + models() + numbers() + no_steps()


if __name__ == "__main__":
    seed, command, *words = sys.argv[1:]
    random_kit.set_seed(int(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of infinities
        done = {"cells": cells, "drawn": drawn, "others": others}[command](*words)
    print(f"{done} checked")
