"""Kernels put to the test on the machine at hand, before `auto` trusts them with a run."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from odyssey.recurrence.compiled.fallback import Fallback
from odyssey.recurrence.compiled.function import Recurrence, exact
from odyssey.recurrence.compiled.memory import Engine, Loop
from odyssey.recurrence.compiled.plan import Plan

STEPS, LENGTHS = 5, (5, 0, 3)
# Of the largest value: what products of float32, TF32 (10 bits) and bfloat16 (7 bits) may differ.
TOLERANCE = {"ieee": 1e-4, "tf32": 1e-2, "bf16": 5e-2}


def reason_against(
    plan: Plan, engine: Engine, input_size: int, hidden: int, device: torch.device
) -> str | None:
    """What is wrong with this engine's numbers, or None where they are those of `Fallback`.

    A short run of the cell's sizes with fixed values, forward and back, ends of sequences and a cut
    among them. Three times, since a GPU's launches are recorded at the second and replayed at the
    third. No random number is drawn.
    """
    try:
        theirs, *ours = (
            _results(plan, e, input_size, hidden, device) for e in (Fallback(), *[engine] * 3)
        )
    except Exception as error:  # whatever goes wrong there must not end a run that can do without
        first = (str(error).splitlines() or [""])[0]
        return f"its kernels do not run on {device.type}: {type(error).__name__}: {first}"
    for found, (name, want) in itertools.product(ours, theirs.items()):
        allowed = TOLERANCE[engine.precision] * max(_largest(want), 1e-3)
        if not torch.allclose(found[name], want, rtol=0.0, atol=allowed, equal_nan=True):
            off = _largest(found[name] - want) / max(_largest(want), 1e-3)
            return f"its kernels are wrong on {device.type}: {name} is off by {off:.1g} in a trial"
    return None


def _largest(values: Tensor) -> float:
    return float(values.nan_to_num().abs().max()) if values.numel() else 0.0


def _results(
    plan: Plan, engine: Engine, input_size: int, hidden: int, device: torch.device
) -> dict[str, Tensor]:
    """Outputs, last states and all gradients of the trial, by name."""
    shapes = {
        "x": (STEPS, len(LENGTHS), input_size),
        "W": (len(plan.rows["W"]) * hidden, input_size),
        "b": (len(plan.rows["b"]) * hidden,),
        "R": (len(plan.rows["R"]) * hidden, hidden),
        "p": (len(plan.rows["p"]), hidden),
        "P": (len(plan.rows["P"]) * hidden, input_size),
    }
    if input_size == hidden:  # then bare inputs are x itself
        shapes["P"] = (0, input_size)
    shapes |= {f"s.{k}": (len(LENGTHS), hidden) for k in plan.step.states}
    given = {
        name: _numbers(i, shape, device) if math.prod(shape) else None
        for i, (name, shape) in enumerate(shapes.items())
    }
    lengths = torch.tensor(LENGTHS, device=device)
    with torch.enable_grad(), exact(device.type):
        results = Recurrence.apply(Loop(plan, engine, 2), lengths, *given.values())
        results = results[: 1 + len(plan.step.states)]
        loss = sum((_numbers(i, v.shape, device) * v).sum() for i, v in enumerate(results))
        wanted = {k: v for k, v in given.items() if v is not None}
        gradients = torch.autograd.grad(loss, list(wanted.values()))
    names = ["the outputs", *(f"the last {k}" for k in plan.step.states)]
    found = dict(zip(names, (v.detach() for v in results), strict=True))
    return found | {f"the gradient of {k}": g for k, g in zip(wanted, gradients, strict=True)}


def _numbers(seed: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Of a weight's size, without a pattern that a wrong layout would keep."""
    count = math.prod(shape)
    wave = torch.sin(torch.arange(count, dtype=torch.float64) ** 2 * 0.7310585 + seed)
    scale = 1 / math.sqrt(max(shape[-1], 1)) if len(shape) > 1 else 0.1
    return (wave * scale).float().view(shape).to(device).requires_grad_()
