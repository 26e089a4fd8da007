"""A cell's run over time as one operation of torch's autograd."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import torch
from torch import Tensor

from odyssey.recurrence.compiled.gradients import LoopBack, products, refuse
from odyssey.recurrence.compiled.mapped import Mapped, folded, one_by_one, signed, unfolded
from odyssey.recurrence.compiled.memory import Loop, Memory
from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.precision import multiply
from odyssey.recurrence.compiled.stacks import stacked_biases, stacked_matrices, stacked_vectors


class Recurrence(torch.autograd.Function):
    """(loop, lengths, x, W, b, R, p, P, initial states) -> outputs, last states, what is kept.

    Shapes: x (T, B, X), outputs (T, B, H), states (B, H) each; parameters that a cell has none of
    are None. The input projection is one product before the loop, the gradients of all matrices
    are products after the loop back, over all steps at once. What the loop back needs are outputs
    too, since `torch.func` knows no others: vectors, gates, extra, the projected bare inputs and
    the states, all of `Memory`. They are for nobody else.

    Under `vmap` with the same weights for all, the mapped dimension joins the batch; where weights
    differ, the engine is called once for each model. Derivatives are first ones, in reverse.
    """

    @staticmethod
    @signed
    def forward(*operands: Any) -> tuple[Tensor, ...]:
        loop, lengths, x, W, b, R, p, P, *initial = operands
        plan: Plan = loop.plan
        steps, batch, _ = x.shape
        hidden = initial[0].shape[-1]
        gates = _projected(x, W, hidden, loop.engine.precision)
        projected = _projected(x, P, hidden, loop.engine.precision)
        states = []
        for value in initial:
            state = x.new_empty(steps + 1, batch, hidden)
            state.select(0, 0).copy_(value)
            states.append(state)
        memory = Memory(
            gates=gates,
            biases=stacked_biases(plan, b, like=gates),
            extra=x.new_empty(steps, batch, plan.extra, hidden),
            bare=_bare(plan, x, projected),
            states=states,
            vectors=stacked_vectors(plan, b, p, like=gates),
            weights=stacked_matrices(plan, R),
            lengths=lengths,
            truncation=loop.truncation,
        )
        loop.engine.forward(plan, memory)
        last = [s.select(0, steps).clone() for s in states]
        return (states[0][1:], *last, memory.vectors, gates, memory.extra, projected, *states)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.loop, *given = inputs
        kept = output[1 + _states(ctx.loop) :]
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)  # there would be one for everything kept
        lengths, x, W, _, R, _, P = given[:7]
        ctx.save_for_backward(lengths, x, W, R, P, output[0], *kept)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        loop: Loop = ctx.loop
        lengths, x, W, R, P, outputs, vectors, *kept = ctx.saved_tensors
        gates, extra, projected, *states = kept
        needs = dict(zip("xWbRpP", ctx.needs_input_grad[2:8], strict=True))
        with exact(x.device.type):
            dgates, sums, *first = LoopBack.apply(
                loop,
                needs["b"] or needs["p"],
                lengths,
                R,
                vectors,
                gates,
                extra,
                _bare(loop.plan, x, projected),
                *states,
                outputs,
                *adjoints[: 1 + len(states)],
            )
            parts = {"gates": gates, "extra": extra}
            gradients = products(loop, needs, x, W, R, P, parts, states, dgates, sums)
        return (None, None, *(gradients[k] for k in "xWbRpP"), *first)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *operands: Any) -> Mapped:
        n = _states(operands[0])
        if any(dim is not None for dim in in_dims[3:8]):
            return one_by_one(Recurrence, info.batch_size, in_dims, operands)
        axes = (None, 0, 1, *[None] * 5, *[0] * n)
        results = Recurrence.apply(*folded(info.batch_size, in_dims, operands, axes))
        return unfolded(info.batch_size, results, (1, *[0] * n, None, 1, 1, 1, *[1] * n))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        refuse()


def exact(device: str) -> AbstractContextManager[Any]:
    """Where products are made in the type of their operands, under autocast too."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def _states(loop: Loop) -> int:
    return len(loop.plan.step.states)


def _projected(x: Tensor, weight: Tensor | None, hidden: int, precision: str) -> Tensor:
    """x (T, B, X) by the matrices of `weight` (n·H, X), one above another: (T, B, n, H)."""
    steps, batch, _ = x.shape
    if weight is None:
        return x.new_empty(steps, batch, 0, hidden)
    n = weight.shape[0] // hidden
    return multiply(x.flatten(0, 1), weight.t(), precision).view(steps, batch, n, hidden)


def _bare(plan: Plan, x: Tensor, projected: Tensor) -> Tensor:
    """The bare inputs (T, B, #bare, H): their projections or, without P, x itself for each."""
    if projected.shape[2] or not plan.bare:
        return projected
    return x.unsqueeze(2).expand(-1, -1, len(plan.bare), -1).contiguous()
