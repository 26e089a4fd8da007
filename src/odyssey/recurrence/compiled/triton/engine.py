"""The engine that launches generated Triton kernels, for float32 on a GPU.

It chooses one of two forms (see `codegen`) by the bytes of the recurrent weights:

- persistent, up to ON_CHIP: one launch a direction. Weights that fit into a processor's shared
  memory stay there, in TF32 and bfloat16 (`Tiles.resident`); others are loaded from the
  second-level cache at every step.
- step, above it: a launch for each segment of each step with torch's products between them,
  recorded as one CUDA graph for each shape (`cuda_graph`).

ON_CHIP is about what registers and shared memory of one processor of an H100 hold together (256
and 227 KB). It and `tiles` were chosen from what NVIDIA's assembler reports of registers and shared
memory, on a machine without a GPU; they have not been timed.

All tensors may have a leading dimension of models (M): gates (M, T, B, #W, H), states
(M, T + 1, B, H), weights (M, n·H, H) and so on, except for `lengths` (B). One launch runs them all.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from odyssey.io import write_text
from odyssey.recurrence.compiled.buffers import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.kernel_cache import cache_folder
from odyssey.recurrence.compiled.precision import multiply
from odyssey.recurrence.compiled.schedule import Plan, Product, Segment
from odyssey.recurrence.compiled.triton.codegen import generate
from odyssey.recurrence.compiled.triton.cuda_graph import GraphCache


def has_triton() -> bool:
    """Whether Triton is installed; torch's CUDA builds for Linux depend on it."""
    return importlib.util.find_spec("triton") is not None


@functools.cache  # for all layers of one kind of cell
def load_module(source: str) -> ModuleType:
    """Import generated source, from a file in the kernel cache that `triton.jit` can read it from.

    The machine code lies in Triton's own cache ($TRITON_CACHE_DIR), under a hash of source, sizes
    and device.
    """
    name = f"cell_{hashlib.sha256(source.encode()).hexdigest()[:24]}"
    path = cache_folder() / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        write_text(path, source, sync=False)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- persistent form -----------------------------------------------------------------------------


ON_CHIP = 512 * 1024  # largest recurrent weights of the persistent form, in bytes
RESERVED = 16 * 1024  # bytes of shared memory for other things than weights
PROGRAMS = 128  # about as many as a large GPU has processors


@dataclass(frozen=True)
class Tiles:
    """Sizes with which a persistent kernel is compiled and launched."""

    rows: int  # sequences of a program
    units: int  # H rounded up to a power of two
    depth: int  # rows of a weight matrix read at once, where they are not resident
    resident: bool  # whether the weights stay in shared memory
    warps: int
    stages: int  # blocks of `depth` rows in flight at once


def tiles(plan: Plan, hidden: int, batch: int, precision: str, shared: int) -> Tiles:
    """The tiles for these sizes and `shared` bytes of shared memory.

    Eight warps keep a peephole LSTM's values of 16 rows and 128 units in registers, or of 8 rows
    and 256 units; twice the rows, or twice the depth there, spill.
    """
    units = _power_of_two(hidden, 32)
    rows = 16 if units <= 128 else 8  # a tensor core takes 16, of which some may be empty
    if precision == "ieee":  # no tensor core: with fewer rows a program has less work
        rows = min(8, _power_of_two(-(-batch // PROGRAMS), 2))
    size = 2 if precision == "bf16" else 4
    # Not in full float32: unless products are divided into two blocks or more, LLVM's vectorizer
    # (as of Triton 3.9) fails an assertion on the LSTM for sm_90.
    resident = precision != "ieee" and weight_bytes(plan, units, precision) + RESERVED <= shared
    depth = 16 if units == 32 or units > 128 else 32
    widest = max((len(g.names) for g in plan.groups), default=0)
    ahead = widest * units * size + RESERVED // depth  # bytes of one row of a group's matrices
    while depth > 16 and ahead * depth > shared:
        depth //= 2
    return Tiles(
        rows=rows,
        units=units,
        depth=depth,
        resident=resident,
        # No more threads than numbers in a tile, and at least 8 units for each warp's tensor core.
        warps=min(8, rows * units // 32, units // 8),
        stages=1 if resident or ahead * depth > shared else 2,
    )


def weight_bytes(plan: Plan, units: int, precision: str) -> int:
    """Bytes of all recurrent matrices, packed for `units`."""
    return plan.results * units**2 * (2 if precision == "bf16" else 4)


class TritonEngine(Engine):
    """Launches the kernels of one plan. `form`, persistent or step, is chosen by size if None."""

    def __init__(self, plan: Plan, precision: str = "ieee", form: str | None = None) -> None:
        self.precision, self.form = precision, form
        self._kernels = load_module(generate(plan))
        self._graphs = GraphCache(StepEngine(self._kernels, precision))

    def forward(self, plan: Plan, memory: Memory) -> None:
        self._run(plan, memory)

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        self._run(plan, memory, adjoints)

    def _run(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        device = memory.gates.device
        # Triton launches on the current device, which need not be that of the tensors.
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            if self._form_for(plan, memory) == "step":
                self._graphs.run(plan, memory, adjoints)
            else:
                self._launch(plan, memory, adjoints)

    def _form_for(self, plan: Plan, memory: Memory) -> str:
        units = _power_of_two(memory.states[0].shape[-1])
        fits = weight_bytes(plan, units, self.precision) <= ON_CHIP
        return self.form or ("persistent" if fits else "step")

    def _launch(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        """Run a direction by the persistent kernel; backward if there are adjoints."""
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
        some = m.states[0]  # in place of tensors that are not there
        arguments = [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors, *weights]
        arguments.append(some if m.lengths is None else m.lengths)
        sums = None
        if adjoints is not None:
            sums = some.new_empty(count, grid[0], plan.sums, hidden)
            a = adjoints
            arguments += [a.output, *a.last, *a.first, a.dgates, sums]
        kernel = self._kernels.backward_loop if back else self._kernels.forward_loop
        kernel[grid](
            *_contiguous(arguments),
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

    The forward step multiplies by R transposed, the backward one by R. In bf16 the result is
    bfloat16, on the CPU float32 rounded to it, since Triton's interpreter cannot multiply bfloat16.
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
    """Bytes of shared memory that one program may use."""
    if device.type != "cuda":
        return 227 * 1024  # an H100's, for Triton's interpreter
    properties = torch.cuda.get_device_properties(device)
    # The limit for kernels that opt in; not in all builds of torch.
    return int(getattr(properties, "shared_memory_per_block_optin", 64 * 1024))


def _contiguous(arguments: list[Any]) -> list[Any]:
    """The arguments, all of which the kernels assume to be contiguous."""
    assert all(v.is_contiguous() for v in arguments)
    return arguments


def _power_of_two(n: int, least: int = 16) -> int:
    return max(least, 1 << (n - 1).bit_length())


# -- step form -----------------------------------------------------------------------------------


STEP_ROWS, STEP_UNITS, STEP_WARPS = 4, 128, 4  # of a program


class StepEngine(Engine):
    """The step form: launches the kernels of segments and the products between them, in order."""

    def __init__(self, kernels: ModuleType, precision: str) -> None:
        self.kernels, self.precision = kernels, precision

    def forward(self, plan: Plan, memory: Memory) -> None:
        m = _with_models(memory)
        count, steps, batch, hidden = m.states[0].shape
        if not batch:
            return
        y = m.gates.new_empty(count, batch, plan.results, hidden)
        scratch = m.gates.new_empty(count, batch, max(plan.scratch, plan.back_scratch), hidden)
        arguments = [*_given(m), y, scratch]
        weights = [self._operand(w.transpose(1, 2)) for w in m.weights]
        for t in range(steps - 1):
            segments = 0
            for work in plan.forward:
                if isinstance(work, Segment):
                    self._launch(f"forward_step_{segments}", arguments, t, m)
                    segments += 1
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
        sums = m.gates.new_zeros(count, -(-batch // STEP_ROWS), plan.sums, hidden)
        arguments = [*_given(m), back, scratch]
        arguments += [a.output, *a.first, a.dgates, back, sums]
        weights = [self._operand(w) for w in m.weights]
        for first, last in zip(a.first, a.last, strict=True):
            first.copy_(last)
        for t in reversed(range(steps - 1)):
            if m.lengths is not None:
                _restart(a, m.lengths.eq(t + 1))
            segments = 0
            for work in plan.backward:
                if isinstance(work, Segment):
                    self._launch(f"backward_step_{segments}", arguments, t, m)
                    segments += 1
                    continue
                n = len(plan.groups[work.group].names)
                operand = a.dgates[:, t, :, work.operand.slot : work.operand.slot + n].flatten(2)
                k = work.result.slot
                to = a.first[k] if work.result.kind == "adjoint" else back[:, :, k]
                self._multiply(operand, weights[work.group], to)
            if t and m.truncation and t % m.truncation == 0:
                for first in a.first:
                    first.zero_()
        if m.lengths is not None:
            _restart(a, m.lengths.eq(0))
        a.sums.copy_(sums.sum(1))

    def _launch(self, name: str, arguments: list[Any], t: int, m: Memory) -> None:
        """Launch the kernel of one segment at step t."""
        count, steps, batch, hidden = m.states[0].shape
        grid = (-(-batch // STEP_ROWS), -(-hidden // STEP_UNITS), count)
        getattr(self.kernels, name)[grid](
            *arguments,
            t,
            steps - 1,
            batch,
            H=hidden,
            ROWS=STEP_ROWS,
            UNITS=STEP_UNITS,
            LENGTHS=m.lengths is not None,
            num_warps=STEP_WARPS,
            enable_fp_fusion=True,
        )

    def _operand(self, weights: Tensor) -> Tensor:
        """The weights as operands, rounded once and not at every step."""
        return weights.bfloat16() if self.precision == "bf16" else weights

    def _multiply(self, a: Tensor, b: Tensor, to: Tensor) -> None:
        """Write a (M, B, k) times b (M, k, n) into `to`."""
        if a.shape[0] == 1:  # torch is faster on two matrices than on stacks of one
            a, b, to = a[0], b[0], to[0]
        if self.precision == "bf16":
            to.copy_(multiply(a, b, "bf16"))
        else:
            torch.matmul(a, b, out=to)


def _given(m: Memory) -> list[Tensor]:
    """The arguments with which the parameters of all step kernels begin."""
    lengths = m.gates if m.lengths is None else m.lengths  # some tensor, if it is not read
    return [m.gates, m.biases, m.extra, m.bare, *m.states, m.vectors, lengths]


def _restart(a: Adjoints, ends: Tensor) -> None:
    """Set the states' adjoints to those of the last states, in the sequences (B) that end here."""
    for first, last in zip(a.first, a.last, strict=True):
        first.copy_(torch.where(ends.unsqueeze(1), last, first))


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
    """The same memory with a dimension of models."""
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
    """The same adjoints with a dimension of models."""
    if m.states[0].dim() == 4:
        return a
    return Adjoints(
        output=a.output[None],
        last=[v[None] for v in a.last],
        first=[v[None] for v in a.first],
        dgates=a.dgates[None],
        sums=a.sums[None],
    )
