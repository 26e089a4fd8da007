"""`backend=compiled`: a cell's plan, made once, and the engine that runs it here."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled import engines
from odyssey.recurrence.compiled.function import Recurrence, exact
from odyssey.recurrence.compiled.memory import Loop
from odyssey.recurrence.compiled.plan import Plan, make_plan
from odyssey.recurrence.compiled.precision import precision_for
from odyssey.recurrence.compiled.trace import Untraceable

A = ParamSpec("A")
B = TypeVar("B")
_plans: weakref.WeakKeyDictionary[Cell, Plan | Untraceable] = weakref.WeakKeyDictionary()


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
    """The cell's plan, made at the first call. Raises Untraceable where there is none."""
    found = _plans.get(cell)
    if found is None:
        try:
            found = make_plan(cell)
        except Untraceable as error:
            found = error
        _plans[cell] = found
    if isinstance(found, Untraceable):
        raise found
    return found


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
    engine = engines.engine_for(cell, plan, x.device, dtype, precision)
    loop = Loop(plan, engine, truncation or 0)
    given = [v.to(dtype) for v in state]
    with exact(x.device.type):
        outputs, *rest = Recurrence.apply(loop, lengths, x, *weights, *given)
    return outputs, cell.State(*rest[: len(given)])
