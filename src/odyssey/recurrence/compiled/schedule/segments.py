"""What both schedules are made of: places in memory, elementwise segments and matrix products.

A time step is elementwise segments with matrix products between them. The level of a value is the
number of products before it; the elementwise work of one level is one segment. Memory is laid out
in rows, one for each sequence; (T, B, n, H) means n slots of H numbers in each row:

    input    (T, B, #W, H)   W x of the gates with W; x.k once the bias is added, when it is loaded
    gates    (T, B, #W, H)   the same memory: once a slot has been read for the last time, a value
                             that the backward step needs is stored in it
    extra    (T, B, #, H)    more such values
    bare     (T, B, #, H)    the bare inputs
    states   (T + 1, B, H)   one for each state: `before` is its step t, `after` its step t + 1
    vectors  (#, H)          p and the biases of gates without W, as place `vector`
    y        (B, #, H)       results of the recurrent products, of one step
    scratch  (B, #, H)       values that are used across a product and lie nowhere else
    adjoint  (B, H)          one for each state: of the new state, then of the one before
    dgates   (T, B, #, H)    adjoints of the inputs, then of the bare inputs, then of products
    back     (B, #, H)       adjoints of the products' operands, of one step
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from odyssey.recurrence.compiled.graph import CHEAP, PRODUCTS, Graph


class Place(NamedTuple):
    """A kind of memory from the list above, and one of its slots."""

    kind: str
    slot: int


@dataclass(frozen=True)
class SlotNames:
    """SlotNames of a cell's parts, in the order of their slots."""

    gates: tuple[str, ...]  # with W: slots of `input`
    bare: tuple[str, ...]
    vectors: tuple[str, ...]
    biased: tuple[str, ...]  # gates with W whose bias's gradient is summed in the backward loop


@dataclass(frozen=True)
class Segment:
    """Elementwise work on a row: load, compute in the order given, add to sums, store."""

    loads: tuple[tuple[int, Place], ...]
    compute: tuple[int, ...]
    sums: tuple[tuple[int, int], ...]  # (row of the sums, node)
    stores: tuple[tuple[Place, int], ...]


@dataclass(frozen=True)
class Product:
    """Forward: result = operand Rᵀ, n slots. Backward: result = n slots of dgates times R."""

    group: int
    operand: Place
    result: Place


def levels(graph: Graph, nodes: Iterable[int], first: int = 0) -> dict[int, int]:
    """The number of products before each node; 0 for nodes below `first`, which are inputs.

    nodes: in topological order, and with every node their arguments.
    """
    level: dict[int, int] = {}
    for n in nodes:
        node = graph[n]
        before = max((level[a] for a in node.args), default=0)
        level[n] = 0 if n < first else before + (node.op in PRODUCTS)
    return level


def make_segment(
    graph: Graph,
    at: int,
    level: Mapping[int, int],
    places: Mapping[int, Place],
    stores: Sequence[tuple[Place, int]],
    sums: Sequence[tuple[int, int]] = (),
    first: int = 0,
) -> Segment | None:
    """The elementwise work of level `at` that leaves `stores` and `sums`; None without any.

    level: of each node. places: from where values of other levels are loaded. Nodes below `first`
    were computed before; they are loaded, or computed again where they have no place.
    """
    if not stores and not sums:
        return None
    loads: dict[int, Place] = {}
    compute: set[int] = set()
    pending = [n for _, n in stores] + [n for _, n in sums]
    while pending:
        n = pending.pop()
        node = graph[n]
        if n in loads or n in compute or node.op == "const":
            continue
        is_due = n >= first and level[n] == at and node.args and node.op not in PRODUCTS
        if n in places and not is_due:
            loads[n] = places[n]
        else:
            compute.add(n)
            pending += node.args
    return Segment(tuple(sorted(loads.items())), tuple(sorted(compute)), tuple(sums), tuple(stores))


def cheap_from(graph: Graph, n: int, available: Callable[[int], bool]) -> bool:
    """Whether n costs little to compute from values that are available."""
    node = graph[n]
    if node.op == "const" or available(n):
        return True
    return node.op in CHEAP and all(cheap_from(graph, a, available) for a in node.args)
