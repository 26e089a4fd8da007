"""The step form's many launches recorded as one CUDA graph for each shape, and replayed.

A graph reads and writes the memory it was recorded on, so each has a `Memory` (and `Adjoints`) of
its own of that shape: a run's inputs are copied in and its results out, into memory that belongs
to the run and lives as long as autograd needs it. That doubles what one run takes and moves it
twice, a few per cent of the time of products this large. What is needed within the loop only
(products, scratch) lies in the graph's own pool.

The first run of a shape is launched as it is, which compiles the kernels as well; the second is
recorded. KEPT shapes are remembered, the oldest is forgotten with its memory, and everything goes
with the cell: batches whose length changes from one to the next are thus never recorded. On the
CPU (Triton's interpreter), and while somebody else records a graph, the launches run as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.buffers import Adjoints, Engine, Memory
from odyssey.recurrence.compiled.schedule import Plan

KEPT = 4


@dataclass
class Recorded:
    """A graph and the memory that it works on."""

    graph: torch.cuda.CUDAGraph
    memory: Memory
    adjoints: Adjoints | None


class Graphs:
    """Runs `Steps`, by graph where there is one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[Any, Recorded | None] = OrderedDict()  # None: seen once
        self._lock = threading.Lock()

    def run(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        """One direction: forward, or backward if there are adjoints."""
        some = memory.states[0]
        if not some.is_cuda or torch.cuda.is_current_stream_capturing():
            self._launch(plan, memory, adjoints)
            return
        key = (
            tuple(some.shape),
            some.device,
            torch.cuda.current_stream(some.device).cuda_stream,
            torch.get_float32_matmul_precision(),
            memory.lengths is None,
            memory.truncation,
            adjoints is None,
        )
        with self._lock:
            known = key in self._kept
            recorded = self._kept.pop(key, None)
            if known:
                recorded = recorded or self._record(plan, memory, adjoints)
                _copy(_inputs(memory, adjoints), _inputs(recorded.memory, recorded.adjoints))
                recorded.graph.replay()
                _copy(_results(recorded.memory, recorded.adjoints), _results(memory, adjoints))
            else:
                self._launch(plan, memory, adjoints)
            self._kept[key] = recorded
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _launch(self, plan: Plan, memory: Memory, adjoints: Adjoints | None) -> None:
        if adjoints is None:
            self._engine.forward(plan, memory)
        else:
            self._engine.backward(plan, memory, adjoints)

    def _record(self, plan: Plan, memory: Memory, adjoints: Adjoints | None) -> Recorded:
        own = Memory(
            gates=torch.empty_like(memory.gates),
            biases=torch.empty_like(memory.biases),
            extra=torch.empty_like(memory.extra),
            bare=torch.empty_like(memory.bare),
            states=[torch.empty_like(v) for v in memory.states],
            vectors=torch.empty_like(memory.vectors),
            weights=[torch.empty_like(v) for v in memory.weights],
            lengths=None if memory.lengths is None else torch.empty_like(memory.lengths),
            truncation=memory.truncation,
        )
        own_adjoints = None
        if adjoints is not None:
            own_adjoints = Adjoints(
                output=torch.empty_like(adjoints.output),
                last=[torch.empty_like(v) for v in adjoints.last],
                first=[torch.empty_like(v) for v in adjoints.first],
                dgates=torch.empty_like(adjoints.dgates),
                sums=torch.empty_like(adjoints.sums),
            )
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as one that pins memory of the next batch, may go on meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._launch(plan, own, own_adjoints)
        return Recorded(graph, own, own_adjoints)


def _inputs(m: Memory, a: Adjoints | None) -> list[Tensor]:
    """What a direction reads that it did not write itself."""
    found = [m.gates, m.biases, m.bare, m.vectors, *m.weights]
    if m.lengths is not None:
        found.append(m.lengths)
    if a is None:
        return [*found, *(v.select(-3, 0) for v in m.states)]
    return [*found, m.extra, *m.states, a.output, *a.last]


def _results(m: Memory, a: Adjoints | None) -> list[Tensor]:
    if a is None:
        return [m.gates, m.extra, *m.states]
    return [a.dgates, a.sums, *a.first]


def _copy(given: list[Tensor], to: list[Tensor]) -> None:
    for one, other in zip(given, to, strict=True):
        other.copy_(one)
