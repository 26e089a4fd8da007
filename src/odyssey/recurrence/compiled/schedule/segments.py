"""What runs in which order, forward and backward, and where every value lies.

A time step is elementwise segments with matrix products between them. Memory is laid out by
sequence row; (T, B, n, H) means n slots of H numbers for each row:

    input    (T, B, #W, H)   W x of the gates with W; with their bias, added when it is read, x.k
    gates    (T, B, #W, H)   the same memory: each slot is overwritten, when it has been read for
                             the last time, by a value that the backward step needs
    extra    (T, B, #, H)    more such values
    bare     (T, B, #, H)    the bare inputs
    states   (T + 1, B, H)   one for each state: `before` is its step t, `after` its step t + 1
    vectors  (#, H)          p and the biases of gates without W
    y        (B, #, H)       results of the recurrent products, of one step
    scratch  (B, #, H)       values that cross a product and are kept nowhere else
    adjoint  (B, H)          one for each state: of the new state, then of the one before
    dgates   (T, B, #, H)    adjoints of the inputs, then of the bare inputs, then of products
    back     (B, #, H)       adjoints of the operands, of one step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from odyssey.recurrence.compiled.graph import CHEAP, PRODUCTS, Graph


class Place(NamedTuple):
    """A kind of memory from the list above, and which of its slots."""

    kind: str
    slot: int


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


def levels(graph: Graph, reach: list[int], first: int = 0) -> dict[int, int]:
    """How many products lie before each node; nodes below `first` are there from the start."""
    level: dict[int, int] = {}
    for n in reach:
        node = graph[n]
        before = max((level[a] for a in node.args), default=0)
        level[n] = 0 if n < first else before + (node.op in PRODUCTS)
    return level


def segment(
    graph: Graph,
    level: int,
    levels: dict[int, int],
    place: dict[int, Place],
    stores: list[tuple[Place, int]],
    sums: list[tuple[int, int]],
    first: int = 0,
) -> list[Segment]:
    """The elementwise work of one level; none where nothing is to be done.

    Nodes below `first` were made before: they are loaded, or made again where they lie nowhere.
    """
    if not stores and not sums:
        return []
    loads: dict[int, Place] = {}
    compute: set[int] = set()
    left = [n for _, n in stores] + [n for _, n in sums]
    while left:
        n = left.pop()
        if n in loads or n in compute or graph[n].op == "const":
            continue
        node = graph[n]
        its_level = n >= first and levels[n] == level and node.args and node.op not in PRODUCTS
        if n in place and not its_level:
            loads[n] = place[n]
        else:
            compute.add(n)
            left += node.args
    return [
        Segment(tuple(sorted(loads.items())), tuple(sorted(compute)), tuple(sums), tuple(stores))
    ]


def cheap_from(graph: Graph, n: int, there: Callable[[int], bool]) -> bool:
    """Whether n costs little to make from what is `there`."""
    node = graph[n]
    if node.op == "const" or there(n):
        return True
    return node.op in CHEAP and all(cheap_from(graph, a, there) for a in node.args)
