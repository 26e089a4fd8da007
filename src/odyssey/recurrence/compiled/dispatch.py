"""`model.backend=compiled`: the plan of a cell, the engine that executes it, and the call itself.

Last stage of the pipeline, and the only one that the rest of the package calls. A plan is made once
for a cell (`plan_of`), an engine once for a plan, device type and precision (`engine_for`). Engines
are imported when the first plan needs them. A GPU engine has to pass `trial_failure`, a short
comparison with the interpreter, before `backend=auto` selects it.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
import weakref
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from odyssey.cells.cell import Cell, a_weight
from odyssey.recurrence.compiled.autograd import Recurrence, without_autocast
from odyssey.recurrence.compiled.buffers import CannotCompile, Engine, Loop
from odyssey.recurrence.compiled.interpreter import Interpreter
from odyssey.recurrence.compiled.precision import precision_for
from odyssey.recurrence.compiled.schedule import Plan, make_plan
from odyssey.recurrence.compiled.tracing import Untraceable, own_vectors, refusal

log = logging.getLogger("odyssey")

A = ParamSpec("A")
B = TypeVar("B")
MAX_PLANS = 8  # different plans of one cell, each of which has to be compiled

# What to type where there are no kernels, by device type.
REMEDY = {
    "cpu": "install a C compiler such as gcc, or name one in the environment variable CC",
    "cuda": "pip install triton",
}


class CellPlans(NamedTuple):
    """The plan of a cell, the attributes its step may have read, and all plans made so far."""

    current: Plan | Untraceable
    settings: tuple[Any, ...]
    plans: tuple[Plan, ...]


EngineKind = tuple[str, str]  # device type, precision of the products

_interpreter = Interpreter()
_plans: weakref.WeakKeyDictionary[Cell, CellPlans] = weakref.WeakKeyDictionary()
_engines: weakref.WeakKeyDictionary[Plan, dict[EngineKind, Engine | CannotCompile]] = (
    weakref.WeakKeyDictionary()
)
_trials: weakref.WeakKeyDictionary[Plan, dict[EngineKind, str | None]] = weakref.WeakKeyDictionary()
_warned: set[str] = set()


def outside_torch_compile(function: Callable[A, B]) -> Callable[A, B]:
    """`function` as torch.compile calls it between two graphs, without tracing into it."""

    @functools.wraps(function)
    def call(*args: A.args, **kwargs: A.kwargs) -> B:
        # torch.compiler.disable as a decorator would import torch's compiler, which takes a second.
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return call


# -- the backend's functions ---------------------------------------------------------------------


@outside_torch_compile
def forward(
    cell: Cell, x: Tensor, state: Any, lengths: Tensor | None, truncation: int | None
) -> tuple[Tensor, Any]:
    """As `reference.forward`, in the dtype of the weights, to which autocast's x are converted.

    With float32 weights, outputs and gradients are float32 under autocast too. On a GPU the
    products then follow autocast to bfloat16, and torch's setting for TF32 (precision.py).
    """
    dtype = a_weight(cell).dtype
    x = x.to(dtype).contiguous()
    if lengths is not None:
        lengths = lengths.to(x.device).contiguous()
    plan = plan_of(cell)
    weights = (cell.W, cell.b, cell.R, _vectors(cell, plan), cell.P)
    precision = precision_for(x.device.type, dtype)
    engine = engine_for(plan, x.device, dtype, precision)
    loop = Loop(plan, engine, truncation or 0)
    given = [v.to(dtype) for v in state]
    with without_autocast(x.device.type):
        outputs, *rest = Recurrence.apply(loop, lengths, x, *weights, *given)
    return outputs, cell.State(*rest[: len(given)])


def _vectors(cell: Cell, plan: Plan) -> Tensor | None:
    """p (#, H), and below it the cell's own parameters and buffers that the step reads."""
    if not plan.own:
        return cell.p
    own = [getattr(cell, name).reshape(1, -1).expand(1, cell.hidden_size) for name in plan.own]
    return torch.cat(own if cell.p is None else [cell.p, *own])


def reason_against(cell: Cell) -> str | None:
    """Why no kernel can be derived for this cell, or None."""
    try:
        plan_of(cell)
    except Untraceable as error:
        return str(error)
    return None


@outside_torch_compile
def why_no_kernels(cell: Cell, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why there are no kernels of this cell for tensors of this kind, or None where there are.

    The first call for a class of cells compiles them. The kernels for a GPU were written on a
    machine without one, so the first call there compares them with the interpreter.
    """
    try:
        plan = plan_of(cell)
    except Untraceable as error:
        return f"its step {error.why}"
    precision = precision_for(device.type, dtype)
    engine = _kernels(plan, device, dtype, precision)
    if isinstance(engine, str):
        return engine
    if device.type == "cpu":
        return None
    trials = _trials.setdefault(plan, {})
    kind = (device.type, precision)
    if kind not in trials:
        trials[kind] = trial_failure(plan, engine, cell.input_size, cell.hidden_size, device)
    return trials[kind]


def clear_cache() -> None:
    """Forget all engines, failures and warnings, as after a compiler has been installed."""
    from odyssey.recurrence.compiled.c import engine

    engine.load_library.cache_clear()
    _engines.clear()
    _trials.clear()
    _warned.clear()


# -- plans of cells ------------------------------------------------------------------------------


@outside_torch_compile
def plan_of(cell: Cell) -> Plan:
    """The cell's plan, made at the first call. Raises Untraceable where there is none.

    A step may read numbers, switches and containers of its cell (`self.leak`, `self.training`, a
    registered buffer, an attribute of its class). These become constants of the plan, and another
    plan is made when they have changed. Parameters, and buffers of one value a unit, are operands.
    """
    settings = _settings(cell)
    known = _plans.get(cell)
    if known is None or known.settings != settings:
        known = _plans[cell] = _make_plan(cell, settings, () if known is None else known.plans)
    if isinstance(known.current, Untraceable):
        raise known.current
    return known.current


def _settings(cell: Cell) -> tuple[Any, ...]:
    """What a step could read besides its weights: of the cell, its buffers and its own class."""
    found: list[Any] = []
    for name, value in vars(cell).items():
        if isinstance(value, PLAIN):
            found += (name, value)
        elif name not in OF_MODULES:
            found += (name, _frozen(value))
    vectors = own_vectors(cell)  # whose values are read in each call
    for name, value in cell._buffers.items():
        if name not in vectors:
            found += (name, _frozen(value))
    found.append(vectors)
    own: Any = type(cell)  # which mypy takes for unhashable
    for kind, name in _own_attributes(own):
        found += (name, _frozen(vars(kind).get(name)))
    return tuple(found)


PLAIN = (int, float, str)
# What torch keeps of any module, and Odyssey of any cell.
OF_MODULES = frozenset(vars(nn.Module())) | {"init", "shapes", "_products"}
DEEPEST = 4  # containers within each other that are looked into


def _frozen(value: Any, depth: int = 0) -> Any:
    """What is equal as long as a value gives a step the same: tensors by identity and version."""
    if value is None or isinstance(value, PLAIN):
        return value
    if isinstance(value, Tensor):
        return id(value), 0 if value.is_inference() else value._version
    if depth < DEEPEST:
        if isinstance(value, Mapping):
            return tuple((k, _frozen(v, depth + 1)) for k, v in value.items())
        if isinstance(value, (list, tuple, set, frozenset)):
            return tuple(_frozen(v, depth + 1) for v in value)
        if isinstance(value, SimpleNamespace):
            return _frozen(vars(value), depth)
    return id(value)


@functools.cache
def _own_attributes(kind: Any) -> tuple[tuple[type, str], ...]:
    """Class attributes that a step may read as values; those of Odyssey's cells do not change."""
    return tuple(
        (base, name)
        for base in kind.__mro__
        if issubclass(base, Cell) and not base.__module__.startswith("odyssey.")
        for name, value in vars(base).items()
        if not (name.startswith("__") or name in DECLARED or callable(value))
        and not isinstance(value, (property, classmethod, staticmethod))
    )


DECLARED = frozenset(Cell.__annotations__)  # which a class says once, before its first cell


def _make_plan(cell: Cell, settings: tuple[Any, ...], plans: tuple[Plan, ...]) -> CellPlans:
    """The plan for the cell's present attributes: one of `plans` if it has the same equations."""
    try:
        plan = make_plan(cell)
    except Untraceable as error:
        return CellPlans(error, settings, plans)
    for other in plans:
        if (other.step.graph.nodes, other.step.new) == (plan.step.graph.nodes, plan.step.new):
            return CellPlans(other, settings, plans)
    if len(plans) == MAX_PLANS:
        why = refusal(cell, "reads numbers of the cell that keep changing")
        return CellPlans(why, settings, plans)
    return CellPlans(plan, settings, (*plans, plan))


# -- engines of plans ----------------------------------------------------------------------------


def engine_for(plan: Plan, device: torch.device, dtype: torch.dtype, precision: str) -> Engine:
    """The engine with kernels for tensors of this kind, or the interpreter where there is none."""
    engine = _kernels(plan, device, dtype, precision)
    return _interpreter if isinstance(engine, str) else engine


def built_engines(plan: Plan) -> dict[EngineKind, Engine | CannotCompile]:
    """The engines built so far for this plan, by device type and precision."""
    return dict(_engines.get(plan, {}))


def _kernels(plan: Plan, device: torch.device, dtype: torch.dtype, precision: str) -> Engine | str:
    """The engine with kernels, or why there is none, which is logged once."""
    kind = device.type
    if kind not in REMEDY or dtype != torch.float32:
        return f"there are no kernels for {str(dtype).removeprefix('torch.')} on {kind}"
    built = _engines.setdefault(plan, {})
    engine = built.get((kind, precision))
    if engine is None:
        try:
            engine = build_engine(plan, kind, precision)
        except CannotCompile as error:
            engine = error
        built[kind, precision] = engine
    if not isinstance(engine, CannotCompile):
        return engine
    reason = str(engine)
    if reason not in _warned:
        _warned.add(reason)
        log.warning(
            "cells run several times slower than they could, because %s; %s", reason, REMEDY[kind]
        )
    return reason


def build_engine(plan: Plan, kind: str, precision: str) -> Engine:
    """A new engine with kernels for the device type `kind`. Raises CannotCompile."""
    if kind == "cpu":
        from odyssey.recurrence.compiled.c.engine import CEngine

        return CEngine(plan)
    from odyssey.recurrence.compiled.triton.engine import TritonEngine, has_triton

    if not has_triton():
        raise CannotCompile("Triton is not installed")
    return TritonEngine(plan, precision)


# -- the trial of an engine ----------------------------------------------------------------------

TRIAL_STEPS, TRIAL_LENGTHS = 5, (5, 0, 3)
# Share of the largest value by which products of float32, TF32 (10 bits of mantissa) and bfloat16
# (7 bits) may differ.
TRIAL_TOLERANCE = {"ieee": 1e-4, "tf32": 1e-2, "bf16": 5e-2}


def trial_failure(
    plan: Plan, engine: Engine, input_size: int, hidden: int, device: torch.device
) -> str | None:
    """What is wrong with the engine's numbers, or None where they are the interpreter's.

    A short run of the cell's sizes on fixed values, forward and backward, with sequences that end
    early and one truncation. It is repeated three times, since the launches on a GPU are recorded
    in the second run and replayed in the third. No random number is drawn.
    """
    try:
        wanted, *found = (
            _trial_results(plan, e, input_size, hidden, device)
            for e in (Interpreter(), *[engine] * 3)
        )
    except Exception as error:  # a failing trial of any kind must not end a run that can go on
        first = (str(error).splitlines() or [""])[0]
        return f"its kernels do not run on {device.type}: {type(error).__name__}: {first}"
    for results, (name, want) in itertools.product(found, wanted.items()):
        allowed = TRIAL_TOLERANCE[engine.precision] * max(_largest(want), 1e-3)
        if not torch.allclose(results[name], want, rtol=0.0, atol=allowed, equal_nan=True):
            off = _largest(results[name] - want) / max(_largest(want), 1e-3)
            return f"its kernels are wrong on {device.type}: {name} is off by {off:.1g} in a trial"
    return None


def _largest(values: Tensor) -> float:
    return float(values.nan_to_num().abs().max()) if values.numel() else 0.0


def _trial_results(
    plan: Plan, engine: Engine, input_size: int, hidden: int, device: torch.device
) -> dict[str, Tensor]:
    """Outputs, last states and all gradients of the trial, by name."""
    batch = len(TRIAL_LENGTHS)
    shapes = {
        "x": (TRIAL_STEPS, batch, input_size),
        "W": (len(plan.rows["W"]) * hidden, input_size),
        "b": (len(plan.rows["b"]) * hidden,),
        "R": (len(plan.rows["R"]) * hidden, hidden),
        "p": (len(plan.rows_of_p), hidden),
        "P": (len(plan.rows["P"]) * hidden, input_size),
    }
    if input_size == hidden:  # then bare inputs are x itself
        shapes["P"] = (0, input_size)
    shapes |= {f"s.{k}": (batch, hidden) for k in plan.step.states}
    given = {
        name: _trial_values(i, shape, device) if math.prod(shape) else None
        for i, (name, shape) in enumerate(shapes.items())
    }
    lengths = torch.tensor(TRIAL_LENGTHS, device=device)
    with torch.enable_grad(), without_autocast(device.type):
        results = Recurrence.apply(Loop(plan, engine, 2), lengths, *given.values())
        results = results[: 1 + len(plan.step.states)]
        loss = sum((_trial_values(i, v.shape, device) * v).sum() for i, v in enumerate(results))
        wanted = {k: v for k, v in given.items() if v is not None}
        gradients = torch.autograd.grad(loss, list(wanted.values()))
    names = ["the outputs", *(f"the last {k}" for k in plan.step.states)]
    found = dict(zip(names, (v.detach() for v in results), strict=True))
    return found | {f"the gradient of {k}": g for k, g in zip(wanted, gradients, strict=True)}


def _trial_values(seed: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Values of a weight's size in an irregular order, which a wrong layout would change."""
    count = math.prod(shape)
    wave = torch.sin(torch.arange(count, dtype=torch.float64) ** 2 * 0.7310585 + seed)
    scale = 1 / math.sqrt(max(shape[-1], 1)) if len(shape) > 1 else 0.1
    return (wave * scale).float().view(shape).to(device).requires_grad_()
