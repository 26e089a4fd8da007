"""The memory of one run, laid out as `segments` describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from odyssey.recurrence.compiled.plan import Plan


@dataclass
class Memory:
    """What the forward loop fills and the backward loop reads. T steps, B sequences, H units."""

    gates: Tensor  # (T, B, #W, H): W x, then what is kept
    biases: Tensor  # (#W, H): zero for gates without b
    extra: Tensor  # (T, B, #, H)
    bare: Tensor  # (T, B, #bare, H)
    states: list[Tensor]  # each (T + 1, B, H); step 0 is the initial state
    vectors: Tensor  # (#vectors, H)
    weights: list[Tensor]  # of each group (n·H, H)
    lengths: Tensor | None  # (B), int64 on the CPU, or all T
    truncation: int  # steps between cuts of the gradient; 0 is none


@dataclass
class Adjoints:
    """What the backward loop is given and leaves."""

    output: Tensor  # (T, B, H): of the outputs
    last: list[Tensor]  # each (B, H): of the last state, in
    first: list[Tensor]  # each (B, H): of the initial state, out
    dgates: Tensor  # (T, B, #, H), out
    sums: Tensor  # (plan.sums, H), out


class Engine(Protocol):
    """Runs a plan's two loops over time."""

    precision: str = "ieee"  # of the products, those before and after the loops too: precision.py

    def forward(self, plan: Plan, memory: Memory) -> None:
        """Fill `memory.states` and what the backward loop needs of `gates` and `extra`."""

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        """Fill what `adjoints` calls out."""


@dataclass(frozen=True)
class Loop:
    """All of a run that is no tensor."""

    plan: Plan
    engine: Engine
    truncation: int
