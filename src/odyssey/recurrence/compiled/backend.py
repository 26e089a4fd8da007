"""`backend=compiled`: a cell's plan, made once, and the engine that runs it here."""

from __future__ import annotations

import logging
import weakref
from typing import Any

import torch
from torch import Tensor

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled.build import CannotCompile
from odyssey.recurrence.compiled.cpu import Compiled
from odyssey.recurrence.compiled.fallback import Fallback
from odyssey.recurrence.compiled.function import Recurrence
from odyssey.recurrence.compiled.memory import Engine
from odyssey.recurrence.compiled.plan import Plan, make_plan
from odyssey.recurrence.compiled.trace import Untraceable

log = logging.getLogger("odyssey")
_fallback = Fallback()
_plans: weakref.WeakKeyDictionary[Cell, Plan | Untraceable] = weakref.WeakKeyDictionary()
_engines: weakref.WeakKeyDictionary[Cell, Engine | CannotCompile] = weakref.WeakKeyDictionary()
_said: set[str] = set()


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


def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`; under autocast in the type of the weights."""
    plan = plan_of(cell)
    dtype = next(cell.parameters()).dtype
    x, state = x.to(dtype), [v.to(dtype) for v in state]
    if lengths is not None:
        lengths = lengths.to(x.device).contiguous()
    with torch.autocast(x.device.type, enabled=False):
        outputs, *last = Recurrence.apply(
            plan,
            engine_for(cell, x),
            lengths,
            truncation or 0,
            x,
            cell.W,
            cell.b,
            cell.R,
            cell.p,
            cell.P,
            *state,
        )
    return outputs, cell.State(*last)
