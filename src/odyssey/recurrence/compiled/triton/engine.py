"""The plan carried out by generated Triton, in float32 on a GPU.

Two forms (`triton_source.py`, `triton_steps.py`), by the bytes of the recurrent weights:

- persistent, up to ON_CHIP: one launch a direction. Each program takes some sequences through all
  steps, with all units. Where the weights fit into a processor's shared memory they stay there, in
  TF32 and bfloat16 (`Tiles.resident`); else they come from the second-level cache at every step.
- step: above that a launch for each segment of each step with torch's products between them,
  recorded as one CUDA graph for each shape (`gpu_graph.py`).

ON_CHIP is about what registers and shared memory of one processor of an H100 hold together (256
and 227 KB). It and `tiles` were chosen by what NVIDIA's assembler says of registers and shared
memory, on a machine without a GPU: no clock has seen them.

All tensors may have a leading axis of models (M): gates (M, T, B, #W, H), states (M, T + 1, B, H),
weights (M, n·H, H) and so on, `lengths` alone (B). One launch then runs all of them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.buffers import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.c.build import cache_folder
from odyssey.recurrence.compiled.precision import multiply
from odyssey.recurrence.compiled.schedule import Plan
from odyssey.recurrence.compiled.schedule.segments import Product, Segment
from odyssey.recurrence.compiled.triton.codegen import source
from odyssey.recurrence.compiled.triton.cuda_graph import Graphs

ROWS, UNITS, WARPS = 4, 128, 4  # of a program


class StepEngine(Engine):
    """Launches the segments' kernels of one module and the products between them, in order."""

    def __init__(self, kernels: ModuleType, precision: str) -> None:
        self.kernels, self.precision = kernels, precision

    def forward(self, plan: Plan, memory: Memory) -> None:
        m = _with_models(memory)
        count, steps, batch, hidden = m.states[0].shape
        if not batch:
            return
        y = m.gates.new_empty(count, batch, plan.results, hidden)
        scratch = m.gates.new_empty(count, batch, max(plan.scratch, plan.back_scratch), hidden)
        first = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors]
        arguments = [*first, m.gates if m.lengths is None else m.lengths, y, scratch]
        weights = [self._operand(w.transpose(1, 2)) for w in m.weights]
        for t in range(steps - 1):
            launched = 0
            for work in plan.forward:
                if isinstance(work, Segment):
                    self._launch(f"forward_step_{launched}", arguments, t, m)
                    launched += 1
                else:
                    operand = _operand_at(m, work, t)
                    n = len(plan.groups[work.group].names)
                    to = y[:, :, work.result.slot : work.result.slot + n].flatten(2)
                    self._multiply(operand, weights[work.group], to)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        m, a = _with_models(memory), _adjoints_with_models(adjoints, memory)
        count, steps, batch, hidden = m.states[0].shape
        if not batch:
            return
        back = m.gates.new_empty(count, batch, len(plan.groups), hidden)
        scratch = m.gates.new_empty(count, batch, max(plan.scratch, plan.back_scratch), hidden)
        sums = m.gates.new_zeros(count, -(-batch // ROWS), plan.sums, hidden)
        first = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors]
        arguments = [*first, m.gates if m.lengths is None else m.lengths, back, scratch]
        arguments += [a.output, *a.first, a.dgates, back, sums]
        weights = [self._operand(w) for w in m.weights]
        pairs = list(zip(a.first, a.last, strict=True))
        for now, last in pairs:
            now.copy_(last)
        for t in reversed(range(steps - 1)):
            if m.lengths is not None:
                ends = m.lengths.eq(t + 1).unsqueeze(1)
                for now, last in pairs:
                    now.copy_(torch.where(ends, last, now))
            launched = 0
            for work in plan.backward:
                if isinstance(work, Segment):
                    self._launch(f"backward_step_{launched}", arguments, t, m)
                    launched += 1
                    continue
                n = len(plan.groups[work.group].names)
                operand = a.dgates[:, t, :, work.operand.slot : work.operand.slot + n].flatten(2)
                k = work.result.slot
                to = a.first[k] if work.result.kind == "adjoint" else back[:, :, k]
                self._multiply(operand, weights[work.group], to)
            if t and m.truncation and t % m.truncation == 0:
                for now, _ in pairs:
                    now.zero_()
        if m.lengths is not None:
            never = m.lengths.eq(0).unsqueeze(1)
            for now, last in pairs:
                now.copy_(torch.where(never, last, now))
        a.sums.copy_(sums.sum(1))

    def _launch(self, name: str, arguments: list[Any], t: int, m: Memory) -> None:
        count, steps, batch, hidden = m.states[0].shape
        grid = (-(-batch // ROWS), -(-hidden // UNITS), count)
        getattr(self.kernels, name)[grid](
            *arguments,
            t,
            steps - 1,
            batch,
            H=hidden,
            ROWS=ROWS,
            UNITS=UNITS,
            LENGTHS=m.lengths is not None,
            num_warps=WARPS,
            enable_fp_fusion=True,
        )

    def _operand(self, weights: Tensor) -> Tensor:
        """Weights are rounded once, not at every step."""
        return weights.bfloat16() if self.precision == "bf16" else weights

    def _multiply(self, a: Tensor, b: Tensor, to: Tensor) -> None:
        if a.shape[0] == 1:  # torch's product of two matrices is better kept than that of stacks
            a, b, to = a[0], b[0], to[0]
        if self.precision == "bf16":
            to.copy_(multiply(a, b, "bf16"))
        else:
            torch.matmul(a, b, out=to)


def _operand_at(m: Memory, work: Product, t: int) -> Tensor:
    """A forward product's operand at step t (M, B, H)."""
    match work.operand.kind:
        case "before":
            return m.states[work.operand.slot][:, t]
        case "after":
            return m.states[work.operand.slot][:, t + 1]
        case kind:
            return getattr(m, kind)[:, t, :, work.operand.slot]


def _with_models(m: Memory) -> Memory:
    """The same memory with an axis of models."""
    if m.states[0].dim() == 4:
        return m
    return Memory(
        gates=m.gates[None],
        biases=m.biases[None],
        extra=m.extra[None],
        bare=m.bare[None],
        states=[v[None] for v in m.states],
        vectors=m.vectors[None],
        weights=[v[None] for v in m.weights],
        lengths=m.lengths,
        truncation=m.truncation,
    )


def _adjoints_with_models(a: Adjoints, m: Memory) -> Adjoints:
    if m.states[0].dim() == 4:
        return a
    return Adjoints(
        output=a.output[None],
        last=[v[None] for v in a.last],
        first=[v[None] for v in a.first],
        dgates=a.dgates[None],
        sums=a.sums[None],
    )


def has_triton() -> bool:
    """Whether the package is there; torch's CUDA builds for Linux bring it."""
    return importlib.util.find_spec("triton") is not None


@functools.cache  # layers of one kind share it
def load_module(source: str) -> ModuleType:
    """The module that `source` is."""
    name = f"cell_{hashlib.sha256(source.encode()).hexdigest()[:24]}"
    path = cache_folder() / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        _write(path, source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(path: Path, source: str) -> None:
    """Written beside and moved there at once: other processes may do the same now."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / path.name
        written.write_text(source, encoding="utf-8")
        os.replace(written, path)


ON_CHIP = 512 * 1024  # bytes
BESIDES = 16 * 1024  # bytes of shared memory for other things than weights
PROGRAMS = 128  # about as many as a large GPU has processors


@dataclass(frozen=True)
class Tiles:
    """How a persistent kernel cuts its work."""

    rows: int  # sequences of a program
    units: int  # H rounded up to a power of two
    depth: int  # rows of a weight matrix read at once, where they are not resident
    resident: bool
    warps: int
    stages: int  # stretches of weights on their way at once


def tiles(plan: Plan, hidden: int, batch: int, precision: str, shared: int) -> Tiles:
    """The tiles for these sizes and so many bytes of shared memory.

    Eight warps keep a peephole LSTM's values of 16 rows and 128 units in registers, or of 8 rows
    and 256 units; twice the rows, or twice the depth there, spill.
    """
    units = _power_of_two(hidden, 32)
    rows = 16 if units <= 128 else 8  # a tensor core takes 16 at once, some of them empty
    if precision == "ieee":  # no tensor core: fewer rows are less work for a program
        rows = min(8, _power_of_two(-(-batch // PROGRAMS), 2))
    number = 2 if precision == "bf16" else 4
    # Not in full float32: where such a product is not cut into stretches, of which there are two or
    # more, LLVM's vectoriser (as of Triton 3.9) fails an assertion on the LSTM for sm_90.
    resident = precision != "ieee" and weight_bytes(plan, units, precision) + BESIDES <= shared
    depth = 16 if units == 32 or units > 128 else 32
    widest = max((len(g.names) for g in plan.groups), default=0)
    ahead = widest * units * number + BESIDES // depth  # bytes of a row of all matrices of a group
    while depth > 16 and ahead * depth > shared:
        depth //= 2
    return Tiles(
        rows=rows,
        units=units,
        depth=depth,
        resident=resident,
        # No more threads than numbers in a tile, and 8 units at least for a warp's tensor core.
        warps=min(8, rows * units // 32, units // 8),
        stages=1 if resident or ahead * depth > shared else 2,
    )


def weight_bytes(plan: Plan, units: int, precision: str) -> int:
    """Of all recurrent matrices, as they are packed."""
    return plan.results * units**2 * (2 if precision == "bf16" else 4)


class TritonEngine(Engine):
    """The kernels of one plan. `form` persistent or step is chosen by size unless given."""

    def __init__(self, plan: Plan, precision: str = "ieee", form: str | None = None) -> None:
        self.precision, self.form = precision, form
        self._kernels = load_module(source(plan))
        self._graphs = Graphs(StepEngine(self._kernels, precision))

    def forward(self, plan: Plan, memory: Memory) -> None:
        self._run(plan, memory)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        self._run(plan, memory, adjoints)

    def _run(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        device = memory.gates.device
        # Triton launches on the current device, which need not be that of the tensors.
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
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
        size = tiles(plan, hidden, batch, self.precision, shared_memory(memory.gates.device))
        count = models[0] if models else 1
        grid = (-(-batch // size.rows), count)
        back = adjoints is not None
        weights = [
            pack(w, hidden, size.units, self.precision, transposed=not back) for w in memory.weights
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
            num_stages=size.stages,
            enable_fp_fusion=True,
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


@functools.cache
def shared_memory(device: torch.device) -> int:
    """Bytes that one program may have."""
    if device.type != "cuda":
        return 227 * 1024  # an H100's, for Triton's interpreter
    properties = torch.cuda.get_device_properties(device)
    # What a kernel may ask for beyond what it is given unasked; not all builds of torch tell.
    return int(getattr(properties, "shared_memory_per_block_optin", 64 * 1024))


def checked(arguments: list[Any]) -> list[Any]:
    """The kernels count on memory without gaps."""
    assert all(v.is_contiguous() for v in arguments)
    return arguments


def _power_of_two(n: int, least: int = 16) -> int:
    return max(least, 1 << (n - 1).bit_length())
