"""A cell's run over time as one operation of torch's autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from odyssey.recurrence.compiled.memory import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.precision import multiply


class Recurrence(torch.autograd.Function):
    """(x, W, b, R, p, P, initial states) -> (outputs (T, B, H), last states (B, H) each).

    Parameters that a cell has none of are None. The input projection is one product before the
    loop, the gradients of all matrices are products after the loop back, over all steps at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        engine: Engine,
        lengths: Tensor | None,
        truncation: int,
        x: Tensor,
        W: Tensor | None,
        b: Tensor | None,
        R: Tensor | None,
        p: Tensor | None,
        P: Tensor | None,
        *initial: Tensor,
    ) -> tuple[Tensor, ...]:
        steps, batch, _ = x.shape
        hidden = initial[0].shape[-1]
        x = x.contiguous()
        flat = x.flatten(0, 1)

        gates = x.new_empty(steps, batch, 0, hidden)
        if W is not None:
            gates = multiply(flat, W.t(), engine.precision).view(steps, batch, -1, hidden)
        bare = x.new_empty(steps, batch, 0, hidden)
        if plan.bare:
            inputs = x if P is None else multiply(flat, P.t(), engine.precision)
            bare = inputs.view(steps, batch, -1, hidden)
            if P is None and len(plan.bare) > 1:
                bare = bare.expand(-1, -1, len(plan.bare), -1).contiguous()
        states = []
        for value in initial:
            state = x.new_empty(steps + 1, batch, hidden)
            state[0] = value
            states.append(state)
        memory = Memory(
            gates=gates,
            biases=_biases(plan, x, b, hidden),
            extra=x.new_empty(steps, batch, plan.extra, hidden),
            bare=bare,
            states=states,
            vectors=_vectors(plan, x, b, p, hidden),
            weights=_weights(plan, R, hidden),
            lengths=lengths,
            truncation=truncation,
        )
        engine.forward(plan, memory)
        ctx.plan, ctx.engine, ctx.lengths, ctx.truncation = plan, engine, lengths, truncation
        m = memory
        ctx.save_for_backward(x, W, R, P, m.gates, m.biases, m.extra, m.bare, m.vectors, *m.states)
        return (states[0][1:], *(s[-1].clone() for s in states))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output: Tensor, *last: Tensor) -> tuple[Any, ...]:
        plan: Plan = ctx.plan
        x, W, R, P, gates, biases, extra, bare, vectors, *states = ctx.saved_tensors
        steps, batch, hidden = output.shape
        memory = Memory(
            gates=gates,
            biases=biases,
            extra=extra,
            bare=bare,
            states=states,
            vectors=vectors,
            weights=_weights(plan, R, hidden),
            lengths=ctx.lengths,
            truncation=ctx.truncation,
        )
        adjoints = Adjoints(
            output=output.contiguous(),
            last=[v.contiguous() for v in last],
            first=[output.new_empty(batch, hidden) for _ in last],
            dgates=output.new_empty(steps, batch, plan.dgates, hidden),
            sums=output.new_empty(plan.sums, hidden),
        )
        ctx.engine.backward(plan, memory, adjoints)

        precision = ctx.engine.precision
        flat, dgates = x.flatten(0, 1), adjoints.dgates.view(steps * batch, -1)
        rows = len(plan.gates) * hidden
        dx = dW = dP = None
        if W is not None:
            dW = multiply(dgates[:, :rows].t(), flat, precision)
            if ctx.needs_input_grad[4]:
                dx = multiply(dgates[:, :rows], W, precision)
        if plan.bare:
            dbare = dgates[:, rows : rows + len(plan.bare) * hidden]
            if P is not None:
                dP = multiply(dbare.t(), flat, precision)
            if ctx.needs_input_grad[4]:
                if P is None:
                    back = dbare.view_as(bare.flatten(0, 1)).sum(1)
                else:
                    back = multiply(dbare, P, precision)
                dx = back if dx is None else dx + back
        if dx is None and ctx.needs_input_grad[4]:
            dx = torch.zeros_like(flat)
        dR = None if R is None else _weight_gradient(plan, memory, dgates, R, precision)
        db, dp = _vector_gradients(plan, adjoints.sums)
        dx = None if dx is None else dx.view_as(x)
        return (None, None, None, None, dx, dW, db, dR, dp, dP, *adjoints.first)


def _biases(plan: Plan, x: Tensor, b: Tensor | None, hidden: int) -> Tensor:
    """b of the gates with W, in their order (#W, H); zero for those without b."""
    if b is not None and plan.rows["b"] == plan.gates:
        return b.contiguous().view(-1, hidden)
    if b is None or not plan.biased:
        return x.new_zeros(len(plan.gates), hidden)
    parts = dict(zip(plan.rows["b"], b.split(hidden), strict=True))
    zero = b.new_zeros(hidden)
    return torch.stack([parts.get(k, zero) for k in plan.gates])


def _vectors(plan: Plan, x: Tensor, b: Tensor | None, p: Tensor | None, hidden: int) -> Tensor:
    """The vectors in the plan's order (#, H)."""
    parts: dict[str, Tensor] = {}
    if p is not None:
        parts |= {f"p.{k}": v for k, v in zip(plan.rows["p"], p, strict=True)}
    if b is not None:
        parts |= {f"x.{k}": v for k, v in zip(plan.rows["b"], b.split(hidden), strict=True)}
    if not plan.vectors:
        return x.new_empty(0, hidden)
    return torch.stack([parts[k] for k in plan.vectors])


def _first_row(plan: Plan, names: tuple[str, ...]) -> int | None:
    """Where these matrices lie one after another in R, or None."""
    rows = plan.rows["R"]
    first = rows.index(names[0])
    return first if rows[first : first + len(names)] == names else None


def _weights(plan: Plan, R: Tensor | None, hidden: int) -> list[Tensor]:
    """Each group's matrices, one above another (n·H, H)."""
    if R is None:
        return []
    R = R.contiguous()
    found = []
    for group in plan.groups:
        first = _first_row(plan, group.names)
        if first is not None:
            found.append(R[first * hidden : (first + len(group.names)) * hidden])
        else:
            parts = dict(zip(plan.rows["R"], R.split(hidden), strict=True))
            found.append(torch.cat([parts[k] for k in group.names]))
    return found


def _weight_gradient(
    plan: Plan, memory: Memory, dgates: Tensor, R: Tensor, precision: str
) -> Tensor:
    """R's gradient: for each group one product over all steps."""
    hidden = R.shape[1]
    parts: dict[str, Tensor] = {}
    for g, group in enumerate(plan.groups):
        first, n = plan.first_adjoint[g] * hidden, len(group.names) * hidden
        adjoints, operand = dgates[:, first : first + n], memory.operand(plan.operands[g])
        product = multiply(adjoints.t(), operand, precision)
        if group.names == plan.rows["R"]:
            return product
        parts |= dict(zip(group.names, product.split(hidden), strict=True))
    zero = R.new_zeros(hidden, hidden)
    return torch.cat([parts.get(k, zero) for k in plan.rows["R"]])


def _vector_gradients(plan: Plan, sums: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """(b's gradient, p's gradient) from the rows of `sums`."""
    names = (*plan.vectors, *(f"x.{k}" for k in plan.biased))
    rows = dict(zip(names, sums, strict=True))
    b = [rows[f"x.{k}"] for k in plan.rows["b"]]
    p = [rows[f"p.{k}"] for k in plan.rows["p"]]
    return (torch.cat(b) if b else None, torch.stack(p) if p else None)
