"""The loop over time of generated Triton in its step form: a launch a segment, torch's products."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.memory import Adjoints, Memory
from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.precision import multiply
from odyssey.recurrence.compiled.segments import Product, Segment

ROWS, UNITS, WARPS = 4, 128, 4  # of a program


class Steps:
    """Launches the segments' kernels of one module and the products between them, in order."""

    def __init__(self, kernels: ModuleType, precision: str) -> None:
        self.kernels, self.precision = kernels, precision

    def forward(self, plan: Plan, memory: Memory) -> None:
        m = _with_models(memory)
        count, steps, batch, hidden = m.states[0].shape
        if not batch:
            return
        y = m.gates.new_empty(count, batch, plan.results, hidden)
        scratch = m.gates.new_empty(count, batch, max(plan.scratch, plan.back_scratch), hidden)
        first = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors]
        arguments = [*first, m.gates if m.lengths is None else m.lengths, y, scratch]
        weights = [self._operand(w.transpose(1, 2)) for w in m.weights]
        for t in range(steps - 1):
            launched = 0
            for work in plan.forward:
                if isinstance(work, Segment):
                    self._launch(f"forward_step_{launched}", arguments, t, m)
                    launched += 1
                else:
                    operand = _operand_at(m, work, t)
                    n = len(plan.groups[work.group].names)
                    to = y[:, :, work.result.slot : work.result.slot + n].flatten(2)
                    self._multiply(operand, weights[work.group], to)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        m, a = _with_models(memory), _adjoints_with_models(adjoints, memory)
        count, steps, batch, hidden = m.states[0].shape
        if not batch:
            return
        back = m.gates.new_empty(count, batch, len(plan.groups), hidden)
        scratch = m.gates.new_empty(count, batch, max(plan.scratch, plan.back_scratch), hidden)
        sums = m.gates.new_zeros(count, -(-batch // ROWS), plan.sums, hidden)
        first = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors]
        arguments = [*first, m.gates if m.lengths is None else m.lengths, back, scratch]
        arguments += [a.output, *a.first, a.dgates, back, sums]
        weights = [self._operand(w) for w in m.weights]
        pairs = list(zip(a.first, a.last, strict=True))
        for now, last in pairs:
            now.copy_(last)
        for t in reversed(range(steps - 1)):
            if m.lengths is not None:
                ends = m.lengths.eq(t + 1).unsqueeze(1)
                for now, last in pairs:
                    now.copy_(torch.where(ends, last, now))
            launched = 0
            for work in plan.backward:
                if isinstance(work, Segment):
                    self._launch(f"backward_step_{launched}", arguments, t, m)
                    launched += 1
                    continue
                n = len(plan.groups[work.group].names)
                operand = a.dgates[:, t, :, work.operand.slot : work.operand.slot + n].flatten(2)
                k = work.result.slot
                to = a.first[k] if work.result.kind == "adjoint" else back[:, :, k]
                self._multiply(operand, weights[work.group], to)
            if t and m.truncation and t % m.truncation == 0:
                for now, _ in pairs:
                    now.zero_()
        if m.lengths is not None:
            never = m.lengths.eq(0).unsqueeze(1)
            for now, last in pairs:
                now.copy_(torch.where(never, last, now))
        a.sums.copy_(sums.sum(1))

    def _launch(self, name: str, arguments: list[Any], t: int, m: Memory) -> None:
        count, steps, batch, hidden = m.states[0].shape
        grid = (-(-batch // ROWS), -(-hidden // UNITS), count)
        getattr(self.kernels, name)[grid](
            *arguments,
            t,
            steps - 1,
            batch,
            H=hidden,
            ROWS=ROWS,
            UNITS=UNITS,
            LENGTHS=m.lengths is not None,
            num_warps=WARPS,
            enable_fp_fusion=True,
        )

    def _operand(self, weights: Tensor) -> Tensor:
        """Weights are rounded once, not at every step."""
        return weights.bfloat16() if self.precision == "bf16" else weights

    def _multiply(self, a: Tensor, b: Tensor, to: Tensor) -> None:
        if a.shape[0] == 1:  # torch's product of two matrices is better kept than that of stacks
            a, b, to = a[0], b[0], to[0]
        if self.precision == "bf16":
            to.copy_(multiply(a, b, "bf16"))
        else:
            torch.matmul(a, b, out=to)


def _operand_at(m: Memory, work: Product, t: int) -> Tensor:
    """A forward product's operand at step t (M, B, H)."""
    match work.operand.kind:
        case "before":
            return m.states[work.operand.slot][:, t]
        case "after":
            return m.states[work.operand.slot][:, t + 1]
        case kind:
            return getattr(m, kind)[:, t, :, work.operand.slot]


def _with_models(m: Memory) -> Memory:
    """The same memory with an axis of models."""
    if m.states[0].dim() == 4:
        return m
    return Memory(
        gates=m.gates[None],
        biases=m.biases[None],
        extra=m.extra[None],
        bare=m.bare[None],
        states=[v[None] for v in m.states],
        vectors=m.vectors[None],
        weights=[v[None] for v in m.weights],
        lengths=m.lengths,
        truncation=m.truncation,
    )


def _adjoints_with_models(a: Adjoints, m: Memory) -> Adjoints:
    if m.states[0].dim() == 4:
        return a
    return Adjoints(
        output=a.output[None],
        last=[v[None] for v in a.last],
        first=[v[None] for v in a.first],
        dgates=a.dgates[None],
        sums=a.sums[None],
    )
