"""The backward step as segments and products, and the layout of the adjoints that it leaves.

Three functions, each on the results of those before: `order_nodes` decides what is computed and at
which level, `lay_out` gives every value a place, `emit` turns levels into work. `schedule_backward`
calls them in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from odyssey.recurrence.compiled.autodiff import Backward, Group
from odyssey.recurrence.compiled.schedule.forward import ForwardLayout
from odyssey.recurrence.compiled.schedule.segments import (
    Place,
    Product,
    Segment,
    SlotNames,
    cheap_from,
    levels,
    make_segment,
)


@dataclass(frozen=True)
class Order:
    """What a backward step computes, as nodes, and at which level."""

    dgates: tuple[int, ...]  # slot by slot: adjoints of inputs, bare inputs, then products
    first: tuple[int, ...]  # of each group: the slot of dgates at which its adjoints begin
    sums: tuple[int, ...]  # gradients of vectors, then of biases, summed over all steps
    given: tuple[int, ...]  # leaves: the adjoint of each new state
    states: tuple[int, ...]  # the adjoint of each old state
    level: Mapping[int, int]  # of all nodes that these depend on, in topological order

    @property
    def results(self) -> tuple[int, ...]:
        """All nodes that leave the step."""
        return (*self.dgates, *self.sums, *self.states)


class Store(NamedTuple):
    """A node that is stored at a place by the segment of a level."""

    place: Place
    node: int
    level: int


@dataclass(frozen=True)
class BackwardLayout:
    """Where the values of a backward step lie."""

    loads: Mapping[int, Place]  # node -> from where work of another level loads it
    stores: tuple[Store, ...]
    products: Mapping[int, Place]  # `back` node of each group -> where its product is written
    scratch: int  # slots of `scratch`


@dataclass(frozen=True)
class BackwardSchedule:
    """The backward step in order, and the layout of dgates."""

    work: tuple[Segment | Product, ...]
    order: Order
    layout: BackwardLayout


def schedule_backward(
    derived: Backward, states: tuple[str, ...], names: SlotNames, stored: ForwardLayout
) -> BackwardSchedule:
    """The schedule of the backward step; `stored` is the layout of the forward step."""
    order = order_nodes(derived, states, names)
    layout = lay_out(derived, order, stored)
    return BackwardSchedule(emit(derived, order, layout), order, layout)


# -- what is computed ----------------------------------------------------------------------------


def order_nodes(derived: Backward, states: tuple[str, ...], names: SlotNames) -> Order:
    """The results of a backward step and the levels of all nodes that they depend on."""
    graph = derived.graph
    zero = graph.const(0)
    leaves = {(node.op, node.name): n for n, node in enumerate(graph.nodes)}

    def adjoint(op: str, name: str) -> int:
        return derived.adjoints.get(leaves.get((op, name), -1), zero)

    dgates = [adjoint("input", k) for k in names.gates]
    dgates += [adjoint("bare", k) for k in names.bare]
    first = []
    for group in derived.groups:
        adjoints = [derived.adjoints.get(p, zero) for p in group.products]
        start = _index_of_run(dgates, adjoints)
        if start is None:
            start = len(dgates)
            dgates += adjoints
        first.append(start)
    sums = [adjoint("vector", k) for k in names.vectors]
    sums += [adjoint("input", k) for k in names.biased]
    ends = [adjoint("state", k) for k in states]
    level = levels(graph, graph.reachable([*dgates, *sums, *ends]), derived.forward)
    given = tuple(leaves["adjoint", k] for k in states)
    return Order(tuple(dgates), tuple(first), tuple(sums), given, tuple(ends), level)


def _index_of_run(values: list[int], run: list[int]) -> int | None:
    """The first index at which `run` lies in `values`, one after another, or None."""
    for start in range(len(values) - len(run) + 1):
        if values[start : start + len(run)] == run:
            return start
    return None


# -- where it lies -------------------------------------------------------------------------------


def lay_out(derived: Backward, order: Order, stored: ForwardLayout) -> BackwardLayout:
    """Give every value that leaves the step or is needed at a later level a place."""
    graph, level = derived.graph, order.level
    loads = _places_of_given(derived, order, stored)
    stores = [Store(Place("dgates", i), n, level[n]) for i, n in enumerate(order.dgates)]
    for i, n in reversed(list(enumerate(order.dgates))):  # of several slots the first is loaded
        if graph[n].op not in ("const", "back"):
            loads.setdefault(n, Place("dgates", i))

    # The memory of a new state's adjoint is overwritten by that of the old one.
    direct: dict[int, Place] = {}  # `back` nodes that are an old state's adjoint as they stand
    for k, n in enumerate(order.states):
        place, last_read = Place("adjoint", k), _last_read(derived, order, order.given[k])
        if level[n] > last_read and _is_only_result(derived, order, n):
            direct[n] = place
        else:
            stores.append(Store(place, n, max(level[n], last_read)))

    products: dict[int, Place] = {}
    for g, group in enumerate(derived.groups):
        n = _back_node(derived, order, group)
        products[n] = direct.get(n, Place("back", g))
        loads.setdefault(n, products[n])
    scratch = _place_crossing(derived, order, loads, stores)
    return BackwardLayout(loads, tuple(stores), products, scratch)


def _places_of_given(derived: Backward, order: Order, stored: ForwardLayout) -> dict[int, Place]:
    """From where a backward step loads what it does not compute."""
    loads = {n: Place("adjoint", k) for k, n in enumerate(order.given)}
    for n, place in stored.loads.items():
        # Of the inputs' memory only the stored values are left.
        if place.kind not in ("y", "scratch") and derived.graph[n].op != "input":
            loads[n] = place
    return loads | dict(stored.lasting)


def _last_read(derived: Backward, order: Order, given: int) -> int:
    """The level at which a new state's adjoint is read for the last time."""
    if given in order.results:
        return max(order.level.values())
    readers = [n for n in order.level if given in derived.graph[n].args]
    return max((order.level[n] for n in readers), default=0)


def _is_only_result(derived: Backward, order: Order, n: int) -> bool:
    """Whether n is a product's result that is a state's adjoint and nothing else."""
    graph = derived.graph
    once = order.results.count(n) == 1
    return graph[n].op == "back" and once and not any(n in graph[m].args for m in order.level)


def _back_node(derived: Backward, order: Order, group: Group) -> int:
    """The node of a group's transposed product."""
    nodes = ((n, derived.graph[n]) for n in order.level)
    return next(n for n, node in nodes if node.op == "back" and node.name == group.name)


def _place_crossing(
    derived: Backward, order: Order, loads: dict[int, Place], stores: list[Store]
) -> int:
    """Give what a later level uses, has no place and is expensive to compute again a scratch slot.

    Adds to `loads` and `stores`; returns the number of slots.
    """
    graph, level, first = derived.graph, order.level, derived.forward
    available = _is_available(derived, loads)
    slots = 0
    for n in level:
        if n < first:
            continue
        uses = [level[m] for m in level if m >= first and n in graph[m].args]
        uses += [store.level for store in stores if store.node == n]
        if max(uses, default=0) <= level[n] or n in loads or cheap_from(graph, n, available):
            continue
        loads[n] = Place("scratch", slots)
        stores.append(Store(loads[n], n, level[n]))
        slots += 1
    return slots


def _is_available(derived: Backward, loads: Mapping[int, Place]) -> Callable[[int], bool]:
    """Whether a node can be loaded, or computed again, at any later level."""

    def available(n: int) -> bool:
        return n < derived.forward or (n in loads and loads[n].kind in ("dgates", "back"))

    return available


# -- in which order ------------------------------------------------------------------------------


def emit(derived: Backward, order: Order, layout: BackwardLayout) -> tuple[Segment | Product, ...]:
    """The work of a step, level by level: a segment, then the products whose operands it makes."""
    graph, level = derived.graph, order.level
    groups = [group.name for group in derived.groups]
    zero = graph.const(0)
    sums = [(row, n) for row, n in enumerate(order.sums) if n != zero]
    work: list[Segment | Product] = []
    for at in range(max(level.values()) + 1):
        stores = [(store.place, store.node) for store in layout.stores if store.level == at]
        due = [(row, n) for row, n in sums if level[n] == at]
        segment = make_segment(graph, at, level, layout.loads, stores, due, derived.forward)
        if segment is not None:
            work.append(segment)
        for n, result in layout.products.items():
            if level[n] == at + 1:
                g = groups.index(graph[n].name)
                work.append(Product(g, Place("dgates", order.first[g]), result))
    return tuple(work)
