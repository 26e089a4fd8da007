"""`backend=compiled`: a cell's plan, made once, and the engine that runs it here."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled import engines
from odyssey.recurrence.compiled.function import Recurrence, exact
from odyssey.recurrence.compiled.memory import Loop
from odyssey.recurrence.compiled.plan import Plan, make_plan
from odyssey.recurrence.compiled.precision import precision_for
from odyssey.recurrence.compiled.trace import Untraceable, refusal

A = ParamSpec("A")
B = TypeVar("B")
MANY = 8  # different plans of one cell, each to be compiled


class Known(NamedTuple):
    """The plan of a cell, what its step may have read from the cell, and all plans so far."""

    found: Plan | Untraceable
    settings: tuple[Any, ...]
    plans: tuple[Plan, ...]


_known: weakref.WeakKeyDictionary[Cell, Known] = weakref.WeakKeyDictionary()


def as_it_stands(function: Callable[A, B]) -> Callable[A, B]:
    """`function`, into which torch.compile does not look: it calls it between two graphs."""

    @functools.wraps(function)
    def call(*args: A.args, **kwargs: A.kwargs) -> B:
        # Not as a decorator, which takes the second that torch's compiler needs to load.
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return call


@as_it_stands
def plan_of(cell: Cell) -> Plan:
    """The cell's plan, made at the first call. Raises Untraceable where there is none.

    A step may read numbers and switches of its cell (`self.leak`, `self.training`), which then are
    part of the plan: there is another one where they have changed.
    """
    settings = _settings(cell)
    known = _known.get(cell)
    if known is None or known.settings != settings:
        known = _known[cell] = _made(cell, settings, () if known is None else known.plans)
    if isinstance(known.found, Untraceable):
        raise known.found
    return known.found


def _settings(cell: Cell) -> tuple[Any, ...]:
    """Whatever a step could read besides its weights, and what tells that it has changed."""
    own = [(k, v) for k, v in vars(cell).items() if isinstance(v, (int, float, str))]
    tensors = [(k, v) for k, v in vars(cell).items() if isinstance(v, Tensor)]
    return *own, *((k, id(v), 0 if v.is_inference() else v._version) for k, v in tensors)


def _made(cell: Cell, settings: tuple[Any, ...], plans: tuple[Plan, ...]) -> Known:
    try:
        plan = make_plan(cell)
    except Untraceable as error:
        return Known(error, settings, plans)
    for other in plans:
        if (other.step.graph.nodes, other.step.new) == (plan.step.graph.nodes, plan.step.new):
            return Known(other, settings, plans)
    if len(plans) == MANY:
        why = refusal(cell, "reads numbers of the cell that keep changing")
        return Known(why, settings, plans)
    return Known(plan, settings, (*plans, plan))


def reason_against(cell: Cell) -> str | None:
    """Why no kernel can be derived for this cell, or None."""
    try:
        plan_of(cell)
    except Untraceable as error:
        return str(error)
    return None


@as_it_stands
def why_no_kernels(cell: Cell, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why there are no kernels of this cell for such tensors, or None where there are.

    The first call for a kind of cell compiles it.
    """
    try:
        plan = plan_of(cell)
    except Untraceable as error:
        return f"its step {error.why}"
    return engines.why_no_kernels(cell, plan, device, dtype, precision_for(device.type, dtype))


@as_it_stands
def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`, in the type of the weights, to which x and state are taken.

    So it is under autocast too: with float32 weights, outputs and gradients are float32. On a GPU
    the products then follow autocast to bfloat16, and torch's setting for TF32 (precision.py).
    """
    weights = (cell.W, cell.b, cell.R, cell.p, cell.P)
    # Not by cell.parameters(): a replica for another thread has its weights but no parameters.
    dtype = next(w.dtype for w in weights if w is not None)
    x = x.to(dtype).contiguous()
    if lengths is not None:
        lengths = lengths.to(x.device).contiguous()
    plan = plan_of(cell)
    precision = precision_for(x.device.type, dtype)
    engine = engines.engine_for(plan, x.device, dtype, precision)
    loop = Loop(plan, engine, truncation or 0)
    given = [v.to(dtype) for v in state]
    with exact(x.device.type):
        outputs, *rest = Recurrence.apply(loop, lengths, x, *weights, *given)
    return outputs, cell.State(*rest[: len(given)])
