"""Which engine runs a cell on which tensors; each is made once."""

from __future__ import annotations

import logging
import weakref

import torch

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled import trial
from odyssey.recurrence.compiled.build import CannotCompile
from odyssey.recurrence.compiled.cpu import Compiled
from odyssey.recurrence.compiled.fallback import Fallback
from odyssey.recurrence.compiled.gpu import Generated
from odyssey.recurrence.compiled.memory import Engine
from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.triton_build import has_triton

log = logging.getLogger("odyssey")

Kind = tuple[str, str]  # type of the device, precision
_fallback = Fallback()
_engines: weakref.WeakKeyDictionary[Plan, dict[Kind, Engine | CannotCompile]] = (
    weakref.WeakKeyDictionary()
)
_tried: weakref.WeakKeyDictionary[Plan, dict[Kind, str | None]] = weakref.WeakKeyDictionary()
_said: set[str] = set()

REMEDY = {
    "cpu": "install a C compiler such as gcc, or name one in the environment variable CC",
    "cuda": "pip install triton",
}


def engine_for(plan: Plan, device: torch.device, dtype: torch.dtype, precision: str) -> Engine:
    """What runs the plan on tensors of this type and device; precisions: see precision.py."""
    engine = _kernels(plan, device, dtype, precision)
    return _fallback if isinstance(engine, str) else engine


def why_no_kernels(
    cell: Cell, plan: Plan, device: torch.device, dtype: torch.dtype, precision: str
) -> str | None:
    """Why no kernels of this cell are to be trusted with such tensors, or None.

    Those for a GPU were written without one, so the first call there tries them out.
    """
    engine = _kernels(plan, device, dtype, precision)
    if isinstance(engine, str):
        return engine
    if device.type == "cpu":
        return None
    tried = _tried.setdefault(plan, {})
    if (device.type, precision) not in tried:
        sizes = cell.input_size, cell.hidden_size
        tried[device.type, precision] = trial.reason_against(plan, engine, *sizes, device)
    return tried[device.type, precision]


def _kernels(plan: Plan, device: torch.device, dtype: torch.dtype, precision: str) -> Engine | str:
    """The engine with kernels, or why there is none."""
    kind = device.type
    if kind not in REMEDY or dtype != torch.float32:
        return f"there are no kernels for {str(dtype).removeprefix('torch.')} on {kind}"
    made = _engines.setdefault(plan, {})
    engine = made.get((kind, precision))
    if engine is None:
        engine = made[kind, precision] = _made(plan, kind, precision)
    if not isinstance(engine, CannotCompile):
        return engine
    reason = str(engine)
    if reason not in _said:
        _said.add(reason)
        log.warning(
            "cells run several times slower than they could, because %s; %s", reason, REMEDY[kind]
        )
    return reason


def _made(plan: Plan, kind: str, precision: str) -> Engine | CannotCompile:
    try:
        if kind == "cpu":
            return Compiled(plan)
        if has_triton():
            return Generated(plan, precision)
        return CannotCompile("Triton is not installed")
    except CannotCompile as error:
        return error
