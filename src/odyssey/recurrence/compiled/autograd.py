"""A cell's run over time as an operation of torch's autograd, and the gradients of its weights.

Between `dispatch`, which calls `Recurrence`, and the engines, which execute the two loops over
time. The input projections are one product before the forward loop; the gradients of all matrices
are products over all steps after the backward loop.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import torch
from torch import Tensor

from odyssey.errors import UserError
from odyssey.recurrence.compiled.buffers import (
    Adjoints,
    Loop,
    Memory,
    stacked_biases,
    stacked_matrices,
    stacked_vectors,
)
from odyssey.recurrence.compiled.precision import multiply
from odyssey.recurrence.compiled.schedule import Place, Plan
from odyssey.recurrence.compiled.vmap import (
    Mapped,
    cache_signature,
    fold_into_batch,
    run_for_each,
    unfold_from_batch,
)


class Recurrence(torch.autograd.Function):
    """(loop, lengths, x, W, b, R, p, P, initial states) -> outputs, last states, buffers.

    Shapes: x (T, B, X), outputs (T, B, H), states (B, H) each; parameters that a cell does not have
    are None. The buffers that the backward loop reads are outputs too, since `torch.func` allows
    nothing else to be saved: vectors, gates, extra, the projected bare inputs and the states, as in
    `Memory`. Callers ignore them.

    Under `vmap` with the same weights for all, the mapped dimension joins the batch; where weights
    are mapped, the engine is called once for each model. There are first derivatives in reverse
    mode only.
    """

    @staticmethod
    @cache_signature
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
            bare=_bare_inputs(plan, x, projected),
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
        buffers = output[1 + _state_count(ctx.loop) :]
        ctx.mark_non_differentiable(*buffers)
        ctx.set_materialize_grads(False)  # else there would be zeros for every buffer
        lengths, x, W, _, R, _, P = given[:7]
        ctx.save_for_backward(lengths, x, W, R, P, output[0], *buffers)

    @staticmethod
    def backward(ctx: Any, *adjoints: Tensor | None) -> tuple[Any, ...]:
        loop: Loop = ctx.loop
        lengths, x, W, R, P, outputs, vectors, *buffers = ctx.saved_tensors
        gates, extra, projected, *states = buffers
        needs = dict(zip("xWbRpP", ctx.needs_input_grad[2:8], strict=True))
        with without_autocast(x.device.type):
            dgates, sums, *first = LoopBack.apply(
                loop,
                needs["b"] or needs["p"],
                lengths,
                R,
                vectors,
                gates,
                extra,
                _bare_inputs(loop.plan, x, projected),
                *states,
                outputs,
                *adjoints[: 1 + len(states)],
            )
            stored = {"gates": gates, "extra": extra}
            gradients = _gradients(loop, needs, x, W, R, P, stored, states, dgates, sums)
        return (None, None, *(gradients[k] for k in "xWbRpP"), *first)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *operands: Any) -> Mapped:
        n = _state_count(operands[0])
        if any(dim is not None for dim in in_dims[3:8]):
            return run_for_each(Recurrence, info.batch_size, in_dims, operands)
        axes = (None, 0, 1, *[None] * 5, *[0] * n)
        results = Recurrence.apply(*fold_into_batch(info.batch_size, in_dims, operands, axes))
        axes = (1, *[0] * n, None, 1, 1, 1, *[1] * n)
        return unfold_from_batch(info.batch_size, results, axes)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        _refuse()


class LoopBack(torch.autograd.Function):
    """The backward loop: -> dgates and sums of `Adjoints`, the initial states' adjoints.

    Operands: loop, whether the sums are needed, lengths, R, vectors, gates, extra, bare and states
    of `Memory`, outputs, their adjoint, the last states' adjoints. Adjoints that are None are zero.
    The outputs are not read: through them autograd finds the way back here in a second derivative,
    which is refused.

    The loop is an operation of its own so that `vmap` has a rule for it, as when a gradient is
    mapped over examples: they join the batch. But an engine sums the gradients of vectors
    (peepholes) over the whole batch, so a cell that has vectors is run for each example
    separately, and so is every cell whose weights are mapped.
    """

    @staticmethod
    @cache_signature
    def forward(*operands: Any) -> tuple[Tensor, ...]:
        loop, _, lengths, R, vectors, gates, extra, bare, *others = operands
        plan: Plan = loop.plan
        n = len(plan.step.states)
        # vmap may have moved dimensions, so that tensors are not contiguous.
        states = [v.contiguous() for v in others[:n]]
        steps, batch, _, hidden = gates.shape
        memory = Memory(
            gates=gates.contiguous(),
            biases=stacked_biases(plan, None, like=gates),  # stored inputs contain theirs
            extra=extra.contiguous(),
            bare=bare.contiguous(),
            states=states,
            vectors=vectors.contiguous(),
            weights=stacked_matrices(plan, R),
            lengths=lengths,
            truncation=loop.truncation,
        )
        new = gates.new_empty
        adjoints = Adjoints(
            output=_or_zeros(others[n + 1], gates, (steps, batch, hidden)),
            last=[_or_zeros(v, gates, (batch, hidden)) for v in others[n + 2 :]],
            first=[new(batch, hidden) for _ in states],
            dgates=new(steps, batch, plan.dgates, hidden),
            sums=new(plan.sums, hidden),
        )
        loop.engine.backward(plan, memory, adjoints)
        return (adjoints.dgates, adjoints.sums, *adjoints.first)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save nothing: there is no second derivative."""

    @staticmethod
    def backward(ctx: Any, *adjoints: Any) -> NoReturn:
        _refuse()

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        _refuse()

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *operands: Any) -> Mapped:
        plan: Plan = operands[0].plan
        summed = operands[1]
        if any(dim is not None for dim in in_dims[3:5]) or (summed and plan.vectors):
            return run_for_each(LoopBack, info.batch_size, in_dims, operands)
        n = len(plan.step.states)
        axes = (None, None, 0, None, None, 1, 1, 1, *[1] * n, None, 1, *[0] * n)
        folded = fold_into_batch(info.batch_size, in_dims, operands, axes)
        dgates, sums, *first = LoopBack.apply(*folded)
        axes = (1, *[0] * n)
        (dgates, *first), dims = unfold_from_batch(info.batch_size, (dgates, *first), axes)
        if not summed:
            return (dgates, sums, *first), (dims[0], None, *dims[1:])
        slots = [plan.gates.index(k) for k in plan.biased]
        sums = dgates[:, :, :, slots].sum((0, 2))
        return (dgates, sums, *first), (dims[0], 0, *dims[1:])


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """A context in which products are made in the dtype of their operands, under autocast too."""
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def _refuse() -> NoReturn:
    """Raise the error for derivatives that are not first ones in reverse mode."""
    raise UserError(
        "model.backend=compiled has first derivatives in reverse mode alone; type "
        "model.backend=reference for second derivatives (create_graph=True) or forward mode (jvp)"
    )


def _state_count(loop: Loop) -> int:
    return len(loop.plan.step.states)


def _projected(x: Tensor, weight: Tensor | None, hidden: int, precision: str) -> Tensor:
    """x (T, B, X) times the transpose of `weight` (n·H, X): (T, B, n, H)."""
    steps, batch, _ = x.shape
    if weight is None:
        return x.new_empty(steps, batch, 0, hidden)
    n = weight.shape[0] // hidden
    return multiply(x.flatten(0, 1), weight.t(), precision).view(steps, batch, n, hidden)


def _bare_inputs(plan: Plan, x: Tensor, projected: Tensor) -> Tensor:
    """The bare inputs (T, B, #bare, H): their projections or, without P, x itself for each."""
    if projected.shape[2] or not plan.bare:
        return projected
    return x.unsqueeze(2).expand(-1, -1, len(plan.bare), -1).contiguous()


def _or_zeros(given: Tensor | None, like: Tensor, shape: tuple[int, ...]) -> Tensor:
    return like.new_zeros(shape) if given is None else given.contiguous()


# -- gradients of x and of the weights, after the backward loop ----------------------------------


def _gradients(
    loop: Loop,
    needs: dict[str, bool],
    x: Tensor,
    W: Tensor | None,
    R: Tensor | None,
    P: Tensor | None,
    stored: dict[str, Tensor],
    states: list[Tensor],
    dgates: Tensor,
    sums: Tensor,
) -> dict[str, Tensor | None]:
    """The gradients of x, W, b, R, p and P by name; None where `needs` is false or there is none.

    The gradient of a matrix is one product over all steps. `stored`: gates and extra of `Memory`.
    """
    plan, precision = loop.plan, loop.engine.precision
    steps, batch, slots, hidden = dgates.shape
    flat, dgates = x.flatten(0, 1), dgates.reshape(steps * batch, slots * hidden)
    found: dict[str, Tensor | None] = dict.fromkeys("xWbRpP")
    dx = None
    first = 0
    for name, weight, n in (("W", W, len(plan.gates)), ("P", P, len(plan.bare))):
        if not n:
            continue
        adjoint = dgates[:, first * hidden : (first + n) * hidden]
        first += n
        if weight is not None and needs[name]:
            found[name] = _matrix_gradient(adjoint, flat, precision)
        if needs["x"]:
            # Without P the bare inputs are x itself, once for each of their names.
            if weight is None:
                back = adjoint.view(-1, n, hidden).sum(1)
            else:
                back = multiply(adjoint, weight, precision)
            dx = back if dx is None else dx + back
    if needs["x"]:
        found["x"] = torch.zeros_like(x) if dx is None else dx.view_as(x)
    if R is not None and needs["R"]:
        found["R"] = _recurrent_gradient(loop, stored, states, dgates, R)
    if needs["b"] or needs["p"]:
        found["b"], found["p"] = _vector_gradients(plan, sums)
    return found


def _matrix_gradient(adjoint: Tensor, operand: Tensor, precision: str) -> Tensor:
    """The gradient (n, k) of a matrix M; `adjoint` (T·B, n) belongs to operand (T·B, k) times Mᵀ.

    Where the sum is long enough to pay for a transposition, the transpose is computed, for which
    torch's BLAS takes as little as half the time.
    """
    if len(operand) < adjoint.shape[1]:
        return multiply(adjoint.t(), operand, precision)
    return multiply(operand.t(), adjoint, precision).t().contiguous()


def _recurrent_gradient(
    loop: Loop, stored: dict[str, Tensor], states: list[Tensor], dgates: Tensor, R: Tensor
) -> Tensor:
    """R's gradient: one product over all steps for each group."""
    plan, hidden = loop.plan, R.shape[1]
    gradients: list[Tensor] = []
    for g, group in enumerate(plan.groups):
        first, n = plan.first_adjoint[g] * hidden, len(group.names) * hidden
        operand = _operand(plan.operands[g], stored, states).flatten(0, 1)
        adjoint = dgates[:, first : first + n]
        gradients.append(_matrix_gradient(adjoint, operand, loop.engine.precision))
    names = [k for group in plan.groups for k in group.names]
    if tuple(names) == plan.rows["R"]:
        return gradients[0] if len(gradients) == 1 else torch.cat(gradients)
    parts = dict(zip(names, (v for m in gradients for v in m.split(hidden)), strict=True))
    zero = R.new_zeros(hidden, hidden)
    return torch.cat([parts.get(k, zero) for k in plan.rows["R"]])


def _operand(place: Place, stored: dict[str, Tensor], states: list[Tensor]) -> Tensor:
    """A product's operand at every step (T, B, H)."""
    match place.kind:
        case "before":
            return states[place.slot][:-1]
        case "after":
            return states[place.slot][1:]
        case kind:
            return stored[kind][:, :, place.slot]


def _vector_gradients(plan: Plan, sums: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """(b's gradient, p's gradient) from the rows of `sums`."""
    n = len(plan.vectors)
    if plan.vectors_are_p and plan.biased == plan.rows["b"]:
        return sums[n:].flatten() if plan.biased else None, sums[:n] if n else None
    names = (*plan.vectors, *(f"x.{k}" for k in plan.biased))
    rows = dict(zip(names, sums, strict=True))
    b = [rows[f"x.{k}"] for k in plan.rows["b"]]
    p = [rows[k] for k in plan.rows_of_p]
    return (torch.cat(b) if b else None, torch.stack(p) if p else None)
