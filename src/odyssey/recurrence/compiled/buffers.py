"""The tensors of one run and the interface of the engines that fill them.

Between the schedule, which says what lies where (the table in `schedule/segments.py`), and the
engines. T steps, B sequences, H units, `#` slots. `autograd.py` allocates the buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from odyssey.recurrence.compiled.schedule import Plan


@dataclass
class Memory:
    """What the forward loop fills and the backward loop reads."""

    gates: Tensor  # (T, B, #W, H): W x before the loop, stored values after it
    biases: Tensor  # (#W, H): zero for gates without b
    extra: Tensor  # (T, B, #, H): further stored values
    bare: Tensor  # (T, B, #bare, H)
    states: list[Tensor]  # each (T + 1, B, H); step 0 is the initial state
    vectors: Tensor  # (#vectors, H)
    weights: list[Tensor]  # the matrices of each group, one below another (n·H, H)
    lengths: Tensor | None  # (B), int64 on the tensors' device; None where all are T
    truncation: int  # steps between cuts of the gradient; 0 is none


@dataclass
class Adjoints:
    """What the backward loop reads and writes besides `Memory`."""

    output: Tensor  # (T, B, H): adjoints of the outputs, read
    last: list[Tensor]  # each (B, H): of the last states, read
    first: list[Tensor]  # each (B, H): of the initial states, written
    dgates: Tensor  # (T, B, #, H): of inputs, bare inputs and products, written
    sums: Tensor  # (plan.sums, H): gradients of vectors and biases, written


class CannotCompile(Exception):
    """An engine cannot be built on this machine; the message is the reason."""


class Engine(Protocol):
    """Executes both loops of a plan over time."""

    precision: str = "ieee"  # of all products, those outside the loops too: see precision.py

    def forward(self, plan: Plan, memory: Memory) -> None:
        """Write `memory.states`, and into `gates` and `extra` what the backward loop reads."""

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        """Write `adjoints.first`, `dgates` and `sums`."""


@dataclass(frozen=True)
class Loop:
    """All of a run that is not a tensor."""

    plan: Plan
    engine: Engine
    truncation: int


# -- a cell's parameters in the order in which a plan reads them ---------------------------------


def stacked_biases(plan: Plan, b: Tensor | None, like: Tensor) -> Tensor:
    """b of the gates with W, in their order (#W, H); zero for those without b."""
    hidden = like.shape[-1]
    if b is not None and plan.rows["b"] == plan.gates:
        return b.contiguous().view(-1, hidden)
    if b is None or not plan.biased:
        return like.new_zeros(len(plan.gates), hidden)
    parts = dict(zip(plan.rows["b"], b.split(hidden), strict=True))
    zero = b.new_zeros(hidden)
    return torch.stack([parts.get(k, zero) for k in plan.gates])


def stacked_vectors(plan: Plan, b: Tensor | None, p: Tensor | None, like: Tensor) -> Tensor:
    """The vectors in the plan's order (#, H): a copy."""
    hidden = like.shape[-1]
    if not plan.vectors:
        return like.new_empty(0, hidden)
    if p is not None and plan.vectors_are_p:
        return p.clone(memory_format=torch.contiguous_format)
    parts: dict[str, Tensor] = {}
    if p is not None:
        parts |= zip(plan.rows_of_p, p, strict=True)
    if b is not None:
        parts |= {f"x.{k}": v for k, v in zip(plan.rows["b"], b.split(hidden), strict=True)}
    return torch.stack([parts[k] for k in plan.vectors])


def stacked_matrices(plan: Plan, R: Tensor | None) -> list[Tensor]:
    """Each group's matrices, one below another (n·H, H); views of R where they are adjacent."""
    if R is None:
        return []
    R = R.contiguous()
    hidden = R.shape[1]
    stacked = []
    for group in plan.groups:
        first = _first_row(plan, group.names)
        if first is not None:
            stacked.append(R[first * hidden : (first + len(group.names)) * hidden])
        else:
            parts = dict(zip(plan.rows["R"], R.split(hidden), strict=True))
            stacked.append(torch.cat([parts[k] for k in group.names]))
    return stacked


def _first_row(plan: Plan, names: tuple[str, ...]) -> int | None:
    """Index in R's rows from which these matrices follow one another, or None."""
    rows = plan.rows["R"]
    first = rows.index(names[0])
    return first if rows[first : first + len(names)] == names else None
