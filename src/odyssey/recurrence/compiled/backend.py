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
from odyssey.recurrence.compiled.gpu import Generated
from odyssey.recurrence.compiled.memory import Engine
from odyssey.recurrence.compiled.plan import Plan, make_plan
from odyssey.recurrence.compiled.precision import precision_for
from odyssey.recurrence.compiled.trace import Untraceable
from odyssey.recurrence.compiled.triton_build import has_triton

log = logging.getLogger("odyssey")
_fallback = Fallback()
_plans: weakref.WeakKeyDictionary[Cell, Plan | Untraceable] = weakref.WeakKeyDictionary()
_engines: weakref.WeakKeyDictionary[Cell, dict[tuple[str, str], Engine]] = (
    weakref.WeakKeyDictionary()
)
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


def engine_for(cell: Cell, x: Tensor, precision: str = "ieee") -> Engine:
    """What runs the cell on tensors of this type and device; precisions: see precision.py."""
    kind = x.device.type
    if kind not in ("cpu", "cuda") or x.dtype != torch.float32:
        return _fallback
    made = _engines.setdefault(cell, {})
    if (kind, precision) not in made:
        make = _compile if kind == "cpu" else _generate
        made[kind, precision] = make(plan_of(cell), precision)
    return made[kind, precision]


def _compile(plan: Plan, precision: str) -> Engine:
    try:
        return Compiled(plan)
    except CannotCompile as error:
        return _instead(
            str(error),
            "install a C compiler such as gcc, or name one in the environment variable CC",
        )


def _generate(plan: Plan, precision: str) -> Engine:
    if not has_triton():
        return _instead("Triton is not installed", "pip install triton")
    return Generated(plan, precision)


def _instead(reason: str, remedy: str) -> Engine:
    """The fallback; why, and what helps, is said once."""
    if reason not in _said:
        _said.add(reason)
        log.warning(
            "model.backend=compiled runs by torch's operations, which is slower, because %s; %s",
            reason,
            remedy,
        )
    return _fallback


def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`; under autocast in the type of the weights.

    On a GPU products follow autocast to bfloat16 and torch's setting for TF32 (precision.py).
    """
    plan = plan_of(cell)
    dtype = next(cell.parameters()).dtype
    x, state = x.to(dtype), [v.to(dtype) for v in state]
    if lengths is not None:
        lengths = lengths.to(x.device).contiguous()
    engine = engine_for(cell, x, precision_for(x))
    with torch.autocast(x.device.type, enabled=False):
        outputs, *last = Recurrence.apply(
            plan,
            engine,
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
