"""The trial that kernels go through on a machine where nobody has run them."""

from __future__ import annotations

import pytest
import torch

from cell_cases import able, make
from odyssey.recurrence import choose
from odyssey.recurrence.compiled import cpu, engines, trial
from odyssey.recurrence.compiled.backend import plan_of

CPU = torch.device("cpu")


class Engine(cpu.Compiled):
    """Right, but for what `spoil` does to it."""

    def __init__(self, plan, spoil=lambda memory, adjoints: None):
        super().__init__(plan)
        self.spoil = spoil

    def forward(self, plan, memory):
        super().forward(plan, memory)
        self.spoil(memory, None)

    def backward(self, plan, memory, adjoints):
        super().backward(plan, memory, adjoints)
        self.spoil(memory, adjoints)


def wrong_states(memory, adjoints):
    if adjoints is None:
        memory.states[0][3:] *= 1.01


def wrong_sums(memory, adjoints):
    if adjoints is not None:
        adjoints.sums *= 1.01


def not_a_number(memory, adjoints):
    if adjoints is not None:
        adjoints.dgates[0, 0] = float("nan")


class Replayed:
    """Wrong from the third run on, as a recording can be."""

    def __init__(self):
        self.runs = 0

    def __call__(self, memory, adjoints):
        self.runs += adjoints is not None
        if self.runs == 3 and adjoints is not None:
            adjoints.dgates *= 1.01


def fails(memory, adjoints):
    raise RuntimeError("no such instruction\nand more")


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize("sizes", [(3, 5), (7, 7)])
def test_good_kernels_pass(name, sizes):
    plan = plan_of(make(name, *sizes))
    before = torch.get_rng_state()
    assert trial.reason_against(plan, Engine(plan), *sizes, CPU) is None
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (wrong_states, "its kernels are wrong on cpu: the outputs is off by 0.01"),
        (wrong_sums, "its kernels are wrong on cpu: the gradient of b is off by 0.01"),
        (not_a_number, "its kernels are wrong on cpu: the gradient of x is off by"),
        (Replayed(), "its kernels are wrong on cpu: the gradient of x is off by 0.01"),
        (fails, "its kernels do not run on cpu: RuntimeError: no such instruction"),
    ],
)
def test_others_do_not(spoil, says):
    plan = plan_of(make("lstm", 3, 5))
    why = trial.reason_against(plan, Engine(plan, spoil), 3, 5, CPU)
    assert why is not None and why.startswith(says) and "\n" not in why


@pytest.mark.parametrize(("wrong", "chosen"), [(False, "compiled"), (True, "reference")])
def test_auto_goes_by_it(wrong, chosen, monkeypatch):
    """As on a GPU, of which there is only the name here: the kernels are those of the CPU."""
    loops = []

    def spoil(memory, adjoints):
        loops.append(adjoints)
        if wrong:
            wrong_sums(memory, adjoints)

    reason_against = trial.reason_against
    monkeypatch.setattr(engines, "_made", lambda plan, *_: Engine(plan, spoil))
    monkeypatch.setattr(trial, "reason_against", lambda *given: reason_against(*given[:-1], CPU))
    cell = make("mgu", 3, 5).float()
    assert [choose(cell, "auto", "cuda") for _ in range(3)] == [chosen] * 3
    assert len(loops) == 6  # forward and back three times, in one trial
