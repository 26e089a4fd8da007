"""The plan carried out by generated Triton, in float32 on a GPU.

Two forms (`triton_source.py`, `triton_steps.py`), by the bytes of the recurrent weights:

- persistent: one launch a direction. Each program takes some sequences through all steps, with all
  units. Up to ON_CHIP, about what the registers and the shared memory of one of an H100's
  processors hold together (256 and 228 KB); up to RESIDENT the compiler is left to keep the weights
  in registers, beyond it they come from the second-level cache at every step.
- step: above that a launch for each segment of each step with torch's products between them,
  recorded as one CUDA graph for each shape (`gpu_graph.py`).

These bounds and `tiles` were chosen by what the assembler says of registers and shared memory; no
clock has seen them.

All tensors may have a leading axis of models (M): gates (M, T, B, #W, H), states (M, T + 1, B, H),
weights (M, n·H, H) and so on, `lengths` alone (B). One launch then runs all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.gpu_graph import Graphs
from odyssey.recurrence.compiled.gpu_steps import Steps
from odyssey.recurrence.compiled.memory import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.triton_build import load_module
from odyssey.recurrence.compiled.triton_source import source

ON_CHIP = 512 * 1024  # bytes
RESIDENT = {"ieee": 16 * 1024, "tf32": 64 * 1024, "bf16": 128 * 1024}  # bytes


@dataclass(frozen=True)
class Tiles:
    """How the persistent kernels cut their work."""

    rows: int  # sequences of a program
    units: int  # H rounded up to a power of two
    depth: int  # rows of a weight matrix read at once, where they are not resident
    resident: bool
    warps: int


def tiles(plan: Plan, hidden: int, batch: int, precision: str) -> Tiles:
    """The tiles of a persistent kernel for these sizes."""
    units = _power_of_two(hidden)
    # A tensor core takes 16 rows; without one, fewer rows are less work for a program.
    rows = 16 if precision != "ieee" else min(8, _power_of_two(batch, 1))
    return Tiles(
        rows=rows,
        units=units,
        depth=min(units, 32),
        resident=weight_bytes(plan, units, precision) <= RESIDENT[precision],
        warps=4 if units <= 64 else 8,
    )


def weight_bytes(plan: Plan, units: int, precision: str) -> int:
    """Of all recurrent matrices, as they are packed."""
    return plan.results * units**2 * (2 if precision == "bf16" else 4)


class Generated(Engine):
    """The kernels of one plan. `form` persistent or step is chosen by size unless given."""

    def __init__(self, plan: Plan, precision: str = "ieee", form: str | None = None) -> None:
        self.precision, self.form = precision, form
        self._kernels = load_module(source(plan))
        self._graphs = Graphs(Steps(self._kernels, precision))

    def forward(self, plan: Plan, memory: Memory) -> None:
        if self._form(plan, memory) == "step":
            self._graphs.run(plan, memory)
        else:
            self._launch(plan, memory)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        if self._form(plan, memory) == "step":
            self._graphs.run(plan, memory, adjoints)
        else:
            self._launch(plan, memory, adjoints)

    def _form(self, plan: Plan, memory: Memory) -> str:
        units = _power_of_two(memory.states[0].shape[-1])
        fits = weight_bytes(plan, units, self.precision) <= ON_CHIP
        return self.form or ("persistent" if fits else "step")

    def _launch(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        """One launch for the whole loop of a direction."""
        *models, steps, batch, hidden = memory.states[0].shape
        if not batch:
            return
        size = tiles(plan, hidden, batch, self.precision)
        count = models[0] if models else 1
        grid = (-(-batch // size.rows), count)
        back = adjoints is not None
        weights = [
            pack(w, hidden, size.units, self.precision, transposed=not back)
            for w in memory.weights
        ]
        m = memory
        some = m.states[0]  # stands for what is not there
        arguments = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors, *weights]
        arguments.append(some if m.lengths is None else m.lengths)
        sums = None
        if adjoints is not None:
            sums = some.new_empty(count, grid[0], plan.sums, hidden)
            a = adjoints
            arguments += [a.output, *a.last, *a.first, a.dgates, sums]
        kernel = self._kernels.backward_loop if back else self._kernels.forward_loop
        kernel[grid](
            *checked(arguments),
            steps - 1,
            batch,
            m.truncation or steps,
            H=hidden,
            ROWS=size.rows,
            UNITS=size.units,
            DEPTH=size.depth,
            RESIDENT=size.resident,
            LENGTHS=m.lengths is not None,
            PRECISION=self.precision,
            num_warps=size.warps,
        )
        if adjoints is not None and sums is not None:
            adjoints.sums.copy_(sums.sum(1).view_as(adjoints.sums))


def pack(weights: Tensor, hidden: int, units: int, precision: str, *, transposed: bool) -> Tensor:
    """(M, n·H, H) -> (M, n, units, units), padded by zeros: one row for each unit of the operand.

    That is R transposed for the forward step, R for the backward one. bfloat16 if asked for; in
    Triton's interpreter, which cannot multiply it, float32 rounded to it.
    """
    parts = weights.unflatten(-2, (-1, hidden))
    if transposed:
        parts = parts.transpose(-1, -2)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    packed = parts.new_zeros(*parts.shape[:-2], units, units, dtype=dtype)
    packed[..., :hidden, :hidden] = parts
    return packed if weights.is_cuda else packed.float()


def checked(arguments: list[Any]) -> list[Any]:
    """The kernels count on memory without gaps."""
    assert all(v.is_contiguous() for v in arguments)
    return arguments


def _power_of_two(n: int, least: int = 16) -> int:
    return max(least, 1 << (n - 1).bit_length())
