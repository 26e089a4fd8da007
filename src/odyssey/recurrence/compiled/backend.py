"""`backend=compiled`: a cell's plan, made once, and the engine that runs it here."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled.build import CannotCompile
from odyssey.recurrence.compiled.cpu import Compiled
from odyssey.recurrence.compiled.fallback import Fallback
from odyssey.recurrence.compiled.function import Recurrence, exact
from odyssey.recurrence.compiled.memory import Engine, Loop
from odyssey.recurrence.compiled.plan import Plan, make_plan
from odyssey.recurrence.compiled.trace import Untraceable

A = ParamSpec("A")
B = TypeVar("B")
log = logging.getLogger("odyssey")
_fallback = Fallback()
_plans: weakref.WeakKeyDictionary[Cell, Plan | Untraceable] = weakref.WeakKeyDictionary()
_engines: weakref.WeakKeyDictionary[Cell, Engine | CannotCompile] = weakref.WeakKeyDictionary()
_said: set[str] = set()


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
    if device.type != "cpu" or dtype != torch.float32:
        return f"there are no kernels for {dtype} on {device.type}"
    engine = _kernels(cell, plan)
    if isinstance(engine, CannotCompile):
        _say(str(engine))
        return str(engine)
    return None


def engine_for(cell: Cell, x: Tensor) -> Engine:
    """What runs the cell on tensors of this type and device."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return _fallback
    engine = _kernels(cell, plan_of(cell))
    if not isinstance(engine, CannotCompile):
        return engine
    _say(str(engine))
    return _fallback


def _say(reason: str) -> None:
    """Once: what slows all cells down on this machine."""
    if reason not in _said:
        _said.add(reason)
        log.warning(
            "cells run several times slower than they could, because %s; install a C compiler "
            "such as gcc, or name one in the environment variable CC",
            reason,
        )


def _kernels(cell: Cell, plan: Plan) -> Engine | CannotCompile:
    engine = _engines.get(cell)
    if engine is None:
        try:
            engine = Compiled(plan)
        except CannotCompile as error:
            engine = error
        _engines[cell] = engine
    return engine


@as_it_stands
def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`, in the type of the weights, to which x and state are taken.

    So it is under autocast too: with float32 weights, outputs and gradients are those of float32.
    """
    weights = (cell.W, cell.b, cell.R, cell.p, cell.P)
    # Not by cell.parameters(): a replica for another thread has its weights but no parameters.
    dtype = next(w.dtype for w in weights if w is not None)
    x = x.to(dtype).contiguous()
    if lengths is not None:
        lengths = lengths.to(x.device).contiguous()
    loop = Loop(plan_of(cell), engine_for(cell, x), truncation or 0)
    given = [v.to(dtype) for v in state]
    with exact(x.device.type):
        outputs, *rest = Recurrence.apply(loop, lengths, x, *weights, *given)
    return outputs, cell.State(*rest[: len(given)])
