"""An engine without generated code: one torch call for each operation of each step.

It executes a plan in any dtype, on any device and without a compiler, and is the shortest
description of what a plan means. `dispatch` takes it where there are no kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.buffers import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.schedule import Plan, Product, Segment

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sign": torch.sign,
    "sin": torch.sin,
    "cos": torch.cos,
    "pass": lambda g, y: torch.where(y <= 0, 0.0, g),
}

Views = dict[str, tuple[Tensor, ...]]  # kind of place -> its slots at one step, each (B, H)


class Interpreter(Engine):
    """Executes a plan by torch's operations."""

    def forward(self, plan: Plan, memory: Memory) -> None:
        steps, batch, hidden = memory.states[0].shape
        y = memory.states[0].new_zeros(batch, plan.results, hidden)
        scratch = y.new_zeros(batch, plan.scratch, hidden)
        for t in range(steps - 1):
            valid = None if memory.lengths is None else (t < memory.lengths).unsqueeze(1)
            views = _views(memory, t) | {"y": y.unbind(1), "scratch": scratch.unbind(1)}
            for work in plan.forward:
                if isinstance(work, Product):
                    names = plan.groups[work.group].names
                    operand = views[work.operand.kind][work.operand.slot]
                    result = operand @ memory.weights[work.group].t()
                    first = work.result.slot
                    y[:, first : first + len(names)] = result.unflatten(1, (len(names), -1))
                    continue
                values = _compute(plan, work, views)
                for place, n in work.stores:
                    value = values[n]
                    if valid is not None:  # beyond its end a state stays, other values are zero
                        old = views["before"][place.slot] if place.kind == "after" else 0.0
                        value = torch.where(valid, value, old)
                    views[place.kind][place.slot].copy_(value)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        steps, batch, _, hidden = adjoints.dgates.shape
        back = adjoints.output.new_zeros(batch, len(plan.groups), hidden)
        scratch = back.new_zeros(batch, plan.back_scratch, hidden)
        adjoints.sums.zero_()
        for first, last in zip(adjoints.first, adjoints.last, strict=True):
            first.copy_(last)
        for t in reversed(range(steps)):
            valid = None
            if memory.lengths is not None:
                valid = (t < memory.lengths).unsqueeze(1)
                _restart(adjoints, memory.lengths.eq(t + 1))
            views = _views(memory, t) | {
                "adjoint": tuple(adjoints.first),
                "back": back.unbind(1),
                "scratch": scratch.unbind(1),
                "dgates": adjoints.dgates[t].unbind(1),
            }
            for work in plan.backward:
                if isinstance(work, Segment):
                    _segment_back(plan, work, views, adjoints, t, valid)
                    continue
                begin = work.operand.slot
                end = begin + len(plan.groups[work.group].names)
                operand = adjoints.dgates[t, :, begin:end].flatten(1)
                result = operand @ memory.weights[work.group]
                views[work.result.kind][work.result.slot].copy_(result)
            if t and memory.truncation and t % memory.truncation == 0:
                for first in adjoints.first:
                    first.zero_()
        if memory.lengths is not None:
            _restart(adjoints, memory.lengths.eq(0))


def _restart(adjoints: Adjoints, ends: Tensor) -> None:
    """Set the states' adjoints to those of the last states, in the sequences (B) that end here."""
    for first, last in zip(adjoints.first, adjoints.last, strict=True):
        first.copy_(torch.where(ends.unsqueeze(1), last, first))


def _segment_back(
    plan: Plan, work: Segment, views: Views, adjoints: Adjoints, t: int, valid: Tensor | None
) -> None:
    """Execute a segment of the backward step t; `valid` (B, 1): sequences that have this step."""
    values = _compute(plan, work, views, adjoints.output[t])
    for row, n in work.sums:
        value = values[n]
        value = value if valid is None else torch.where(valid, value, 0.0)
        adjoints.sums[row] += value.sum(0)
    for place, n in work.stores:
        value = values[n]
        if valid is not None and place.kind == "dgates":
            value = torch.where(valid, value, 0.0)
        views[place.kind][place.slot].copy_(value)


def _views(memory: Memory, t: int) -> Views:
    """The memory of step t."""
    return {
        "input": tuple(
            v + b for v, b in zip(memory.gates[t].unbind(1), memory.biases, strict=True)
        ),
        "gates": memory.gates[t].unbind(1),
        "extra": memory.extra[t].unbind(1),
        "bare": memory.bare[t].unbind(1),
        "before": tuple(s[t] for s in memory.states),
        "after": tuple(s[t + 1] for s in memory.states),
        "vector": memory.vectors.unbind(0),
    }


def _compute(
    plan: Plan, work: Segment, views: Views, output: Tensor | None = None
) -> dict[int, Tensor]:
    """All values of a segment. `output` (B, H) is added to the adjoint of the first state."""
    values = {n: views[place.kind][place.slot] for n, place in work.loads}
    overwritten = {place for place, _ in work.stores}
    for n, place in work.loads:
        if output is not None and place == ("adjoint", 0):
            values[n] = values[n] + output
        elif place in overwritten:  # a copy, since it may be stored elsewhere after that
            values[n] = values[n].clone()
    args = [a for n in work.compute for a in plan.graph[n].args]
    for n in {*args, *(n for _, n in (*work.sums, *work.stores))}:
        if plan.graph[n].op == "const":
            values[n] = views["before"][0].new_tensor(plan.graph[n].value)
    for n in work.compute:
        node = plan.graph[n]
        values[n] = FUNCTIONS[node.op](*(values[a] for a in node.args))
    return values
