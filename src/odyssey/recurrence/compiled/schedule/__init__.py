"""Third stage of the pipeline: the order and the memory layout of both steps, as a `Plan`.

`make_plan` runs all stages on a cell: `tracing`, `autodiff`, then `forward` and `backward` of this
package, which put the nodes of the graph in order and give them places. Engines read a `Plan` and
nothing else. A plan holds for any sizes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled.autodiff import Group, differentiate
from odyssey.recurrence.compiled.graph import Graph
from odyssey.recurrence.compiled.schedule.backward import schedule_backward
from odyssey.recurrence.compiled.schedule.forward import schedule_forward
from odyssey.recurrence.compiled.schedule.segments import Place, Product, Segment, SlotNames
from odyssey.recurrence.compiled.tracing import Step, trace

__all__ = ["Place", "Plan", "Product", "Segment", "make_plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """All that an engine needs to run one cell of any size."""

    name: str  # of the cell's class
    rows: dict[str, tuple[str, ...]]  # parameter -> the names it stacks, as in Cell
    own: tuple[str, ...]  # the cell's own parameters and buffers that the step reads
    step: Step
    graph: Graph
    adjoints: Mapping[int, int]  # forward node -> node of its adjoint
    groups: tuple[Group, ...]
    gates: tuple[str, ...]  # slots of `gates` before the loop
    bare: tuple[str, ...]
    vectors: tuple[str, ...]
    biased: tuple[str, ...]  # gates with W whose bias's gradient is summed in the loop
    forward: tuple[Segment | Product, ...]
    backward: tuple[Segment | Product, ...]
    operands: tuple[Place, ...]  # of each group, for the gradient of its weights
    first_adjoint: tuple[int, ...]  # slot in dgates where each group's adjoints begin
    extra: int  # slots of `extra`
    scratch: int  # slots of `scratch` in the forward step
    back_scratch: int  # and in the backward step
    dgates: int  # slots of `dgates`

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
        return self.vectors == self.rows_of_p

    @functools.cached_property
    def rows_of_p(self) -> tuple[str, ...]:
        """The vectors in p, and those of the cell's own that follow them (`self.alpha`)."""
        return (*(f"p.{k}" for k in self.rows["p"]), *(f"self.{k}" for k in self.own))


def make_plan(cell: Cell) -> Plan:
    """The plan of `cell`. Raises Untraceable where none can be made."""
    step = trace(cell)
    derived = differentiate(step, cell.rows["R"])
    gates = cell.rows["W"]
    names = SlotNames(
        gates=gates,
        bare=cell.bare,
        vectors=step.vectors,
        biased=tuple(k for k in gates if k in cell.rows["b"]),
    )
    forward = schedule_forward(step, derived, names)
    backward = schedule_backward(derived, step.states, names, forward.layout)
    return Plan(
        name=type(cell).__name__,
        rows=cell.rows,
        own=step.own,
        step=step,
        graph=derived.graph,
        adjoints=derived.adjoints,
        groups=derived.groups,
        gates=names.gates,
        bare=names.bare,
        vectors=names.vectors,
        biased=names.biased,
        forward=forward.work,
        backward=backward.work,
        operands=tuple(forward.layout.operand(g) for g in derived.groups),
        first_adjoint=backward.order.first,
        extra=forward.layout.extra,
        scratch=len(forward.layout.scratch),
        back_scratch=backward.layout.scratch,
        dgates=len(backward.order.dgates),
    )
