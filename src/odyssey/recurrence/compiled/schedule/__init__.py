"""All that an engine needs to run a cell: made once for a cell, of any size."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled.autodiff import Group, differentiate
from odyssey.recurrence.compiled.graph import Graph
from odyssey.recurrence.compiled.schedule.backward import BackwardOrder
from odyssey.recurrence.compiled.schedule.forward import Forward
from odyssey.recurrence.compiled.schedule.segments import Place, Product, Segment
from odyssey.recurrence.compiled.tracing import Step, trace


@dataclass(frozen=True, eq=False)
class Plan:
    """All that an engine needs to run one cell of any size."""

    name: str
    rows: dict[str, tuple[str, ...]]  # parameter -> the names it stacks, as in Cell
    step: Step
    graph: Graph
    adjoints: Mapping[int, int]  # forward node -> node of its adjoint
    groups: tuple[Group, ...]
    gates: tuple[str, ...]  # slots of `gates` as projected
    bare: tuple[str, ...]
    vectors: tuple[str, ...]
    biased: tuple[str, ...]  # gates with W whose bias's gradient is summed in the loop
    forward: tuple[Segment | Product, ...]
    backward: tuple[Segment | Product, ...]
    operands: tuple[Place, ...]  # of each group, for the gradient of its weights
    first_adjoint: tuple[int, ...]  # slot in dgates where each group's adjoints begin
    extra: int
    scratch: int  # of the forward step
    back_scratch: int
    dgates: int

    @property
    def results(self) -> int:
        """Slots of y."""
        return sum(len(g.names) for g in self.groups)

    @property
    def sums(self) -> int:
        """Rows of sums over batch and time: the vectors', then the biases' gradients."""
        return len(self.vectors) + len(self.biased)

    @functools.cached_property
    def vectors_are_p(self) -> bool:
        """Whether the vectors are p, row by row."""
        return self.vectors == tuple(f"p.{k}" for k in self.rows["p"])


def make_plan(cell: Cell) -> Plan:
    """The plan of `cell`. Raises Untraceable where none can be made."""
    step = trace(cell)
    derived = differentiate(step, cell.rows["R"])
    gates, bare = cell.rows["W"], cell.bare
    vectors = tuple(n.name for n in step.graph.nodes if n.op == "vector")
    biased = tuple(k for k in gates if k in cell.rows["b"])
    forward = Forward(step, derived, gates, bare, vectors)
    backward = BackwardOrder(derived, forward, biased)
    return Plan(
        name=type(cell).__name__,
        rows=cell.rows,
        step=step,
        graph=derived.graph,
        adjoints=derived.adjoints,
        groups=derived.groups,
        gates=gates,
        bare=bare,
        vectors=vectors,
        biased=biased,
        forward=tuple(forward.work),
        backward=tuple(backward.work),
        operands=tuple(forward.operand(g) for g in derived.groups),
        first_adjoint=tuple(backward.first),
        extra=forward.extra,
        scratch=forward.scratch,
        back_scratch=backward.scratch,
        dgates=len(backward.slots),
    )
