"""The many launches of the step form, recorded as one CUDA graph for each shape and replayed.

Below `engine`. A graph reads and writes the tensors with which it was recorded, so each has a
`Memory` (and `Adjoints`) of its own of that shape: a run's inputs are copied in, and its results
out, into tensors that live as long as autograd needs them. That doubles the memory of one run and
moves it twice, a few per cent of the time of products this large. What is needed within the loop
only (products, scratch) lies in the graph's own pool.

The first run of a shape is launched directly, which also compiles the kernels; the second is
recorded. MAX_SHAPES shapes are kept, the oldest is dropped with its memory, and all go with the
engine. Batches whose length changes from one to the next are thus never recorded. On the CPU
(Triton's interpreter), and while another graph is being recorded, runs are launched directly.
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

MAX_SHAPES = 4


@dataclass
class Recording:
    """A graph and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    memory: Memory
    adjoints: Adjoints | None


class GraphCache:
    """Runs an engine's loops, by a recorded graph where there is one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recordings: OrderedDict[Any, Recording | None] = OrderedDict()  # None: seen once
        self._lock = threading.Lock()

    def run(self, plan: Plan, memory: Memory, adjoints: Adjoints | None = None) -> None:
        """Run one direction: forward, or backward if there are adjoints."""
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
            known = key in self._recordings
            recording = self._recordings.pop(key, None)
            if known:
                recording = recording or self._record(plan, memory, adjoints)
                _copy(_inputs(memory, adjoints), _inputs(recording.memory, recording.adjoints))
                recording.graph.replay()
                _copy(_results(recording.memory, recording.adjoints), _results(memory, adjoints))
            else:
                self._launch(plan, memory, adjoints)
            self._recordings[key] = recording
            while len(self._recordings) > MAX_SHAPES:
                self._recordings.popitem(last=False)

    def _launch(self, plan: Plan, memory: Memory, adjoints: Adjoints | None) -> None:
        if adjoints is None:
            self._engine.forward(plan, memory)
        else:
            self._engine.backward(plan, memory, adjoints)

    def _record(self, plan: Plan, memory: Memory, adjoints: Adjoints | None) -> Recording:
        """Record one direction on new tensors of these shapes."""
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
        # Other threads may use CUDA meanwhile, such as one that pins memory of the next batch.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._launch(plan, own, own_adjoints)
        return Recording(graph, own, own_adjoints)


def _inputs(m: Memory, a: Adjoints | None) -> list[Tensor]:
    """What a direction reads without having written it."""
    found = [m.gates, m.biases, m.bare, m.vectors, *m.weights]
    if m.lengths is not None:
        found.append(m.lengths)
    if a is None:
        return [*found, *(v.select(-3, 0) for v in m.states)]
    return [*found, m.extra, *m.states, a.output, *a.last]


def _results(m: Memory, a: Adjoints | None) -> list[Tensor]:
    """What a direction writes."""
    if a is None:
        return [m.gates, m.extra, *m.states]
    return [a.dgates, a.sums, *a.first]


def _copy(given: list[Tensor], to: list[Tensor]) -> None:
    for one, other in zip(given, to, strict=True):
        other.copy_(one)
