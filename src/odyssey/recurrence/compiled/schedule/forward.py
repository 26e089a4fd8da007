"""The forward step as segments and products, and the values that it stores for the backward step.

Three functions, each on the results of those before: `values_to_store`, `lay_out`, `emit`.
`schedule_forward` calls them in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from odyssey.recurrence.compiled.autodiff import Backward, Group
from odyssey.recurrence.compiled.graph import CHEAP, PRODUCTS, UNARY, Graph
from odyssey.recurrence.compiled.schedule.segments import (
    Place,
    Product,
    Segment,
    SlotNames,
    cheap_from,
    levels,
    make_segment,
)
from odyssey.recurrence.compiled.tracing import Step


@dataclass(frozen=True)
class ForwardLayout:
    """Where the values of a forward step lie."""

    loads: Mapping[int, Place]  # node -> from where later work of the same step loads it
    lasting: Mapping[int, Place]  # node -> where it lies after the step, besides leaves
    extra: int  # slots of `extra`
    scratch: tuple[int, ...]  # nodes, one for each slot of `scratch`

    def operand(self, group: Group) -> Place:
        """From where a group's product reads its operand."""
        return self.lasting.get(group.operand) or self.loads[group.operand]


@dataclass(frozen=True)
class ForwardSchedule:
    """The forward step in order, and its layout."""

    work: tuple[Segment | Product, ...]
    layout: ForwardLayout


def schedule_forward(step: Step, derived: Backward, names: SlotNames) -> ForwardSchedule:
    """The schedule of the forward step."""
    stored = values_to_store(step, derived, names)
    level = levels(step.graph, step.graph.reachable([*step.new, *stored]))
    layout = lay_out(step, derived, names, stored, level)
    return ForwardSchedule(emit(step, derived, stored, level, layout), layout)


# -- which values are stored ---------------------------------------------------------------------


def values_to_store(step: Step, derived: Backward, names: SlotNames) -> list[int]:
    """The nodes to be stored at each step besides the new states, in order.

    Those are operands of products, over which R's gradient is summed after the loop, and what the
    backward step reads and is expensive to compute again from values that lie in memory anyway.
    """
    graph, first = derived.graph, derived.forward
    loads, lasting = _places_of_leaves_and_states(step, names)
    free = {*loads, *lasting}

    def is_function_of_free(n: int) -> bool:
        """Whether n is computed from one value in memory, as tanh of c: it is not stored."""
        return graph[n].op in UNARY and graph[n].args[0] in free

    stored: set[int] = set()

    def is_available(n: int) -> bool:
        return n in free or n in stored or is_function_of_free(n)

    for operand in (group.operand for group in derived.groups):
        place = lasting.get(operand) or loads.get(operand)
        if place is None or place.kind not in ("before", "after"):
            stored.add(operand)
    read = {
        a
        for n in graph.reachable(derived.adjoints.values())
        if n >= first
        for a in graph[n].args
        if a < first and graph[a].op != "const"
    }
    for n in sorted(read - free):
        if graph[n].op not in CHEAP and not is_function_of_free(n):
            stored.add(n)
    for n in sorted(read - free - stored):
        if not cheap_from(graph, n, is_available):
            stored.add(n)
    return sorted(stored)


def _places_of_leaves_and_states(
    step: Step, names: SlotNames
) -> tuple[dict[int, Place], dict[int, Place]]:
    """`loads` and `lasting` of a layout, for all leaves but inputs and for the new states."""
    loads: dict[int, Place] = {}
    lasting: dict[int, Place] = {}
    leaves = {"bare": names.bare, "state": step.states, "vector": names.vectors}
    for n, node in enumerate(step.graph.nodes):
        if node.op in leaves:
            kind = "before" if node.op == "state" else node.op
            loads[n] = Place(kind, leaves[node.op].index(node.name))
    for k, n in enumerate(step.new):
        if n not in loads:
            _settle(step.graph, n, Place("after", k), loads, lasting)
    return loads, lasting


def _settle(
    graph: Graph, n: int, place: Place, loads: dict[int, Place], lasting: dict[int, Place]
) -> None:
    """Let n be stored at `place`, and loaded from there if it is the result of elementwise work."""
    lasting.setdefault(n, place)
    if graph[n].args and graph[n].op not in PRODUCTS:
        loads.setdefault(n, place)


# -- where they lie ------------------------------------------------------------------------------


def lay_out(
    step: Step, derived: Backward, names: SlotNames, stored: Sequence[int], level: Mapping[int, int]
) -> ForwardLayout:
    """Give every value that is needed at a later level, or after the step, a place."""
    graph = step.graph
    loads, lasting = _places_of_leaves_and_states(step, names)
    extra = _place_stored(graph, names.gates, stored, level, loads, lasting)
    results = (n for group in derived.groups for n in group.products)
    for slot, n in enumerate(results):
        loads.setdefault(n, Place("y", slot))
    # What is used at a later level, has no place yet and is not computed again there.
    available = {n for n in loads if graph[n].op != "input"}
    scratch: list[int] = []
    for n in level:
        later = any(level[m] > level[n] and n in graph[m].args for m in level)
        if later and n not in loads and not cheap_from(graph, n, available.__contains__):
            loads[n] = Place("scratch", len(scratch))
            scratch.append(n)
    return ForwardLayout(loads, lasting, extra, tuple(scratch))


def _place_stored(
    graph: Graph,
    gates: tuple[str, ...],
    stored: Sequence[int],
    level: Mapping[int, int],
    loads: dict[int, Place],
    lasting: dict[int, Place],
) -> int:
    """Give each stored value a slot of `gates` that has been read by then, or one of `extra`.

    Adds to `loads` and `lasting`; returns the number of slots of `extra`.
    """
    inputs = {n: node.name for n, node in enumerate(graph.nodes) if node.op == "input"}
    last_read = dict.fromkeys(gates, 0)  # gates whose slot is free -> level that reads it last
    for n, at in level.items():
        for a in graph[n].args:
            if a in inputs:
                last_read[inputs[a]] = max(last_read[inputs[a]], at)
    for n, name in inputs.items():
        loads[n] = Place("input", gates.index(name))
        if n in stored:  # it stays where it is
            lasting[n] = Place("gates", gates.index(name))
            del last_read[name]
    extra = 0
    for n in stored:
        if n in inputs:
            continue
        free = [name for name in last_read if last_read[name] <= level[n]]
        own = _gate_of(graph, n)
        if free:
            name = own if own is not None and own in free else free[0]
            del last_read[name]
            _settle(graph, n, Place("gates", gates.index(name)), loads, lasting)
        else:
            _settle(graph, n, Place("extra", extra), loads, lasting)
            extra += 1
    return extra


def _gate_of(graph: Graph, n: int) -> str | None:
    """The gate whose input is an addend of n's argument: n is its activation."""
    return next((graph[a].name for a in _addends(graph, n) if graph[a].op == "input"), None)


def _addends(graph: Graph, n: int) -> list[int]:
    args = list(graph[n].args)
    return args + [b for a in args if graph[a].op == "add" for b in _addends(graph, a)]


# -- in which order ------------------------------------------------------------------------------


def emit(
    step: Step,
    derived: Backward,
    stored: Sequence[int],
    level: Mapping[int, int],
    layout: ForwardLayout,
) -> tuple[Segment | Product, ...]:
    """The work of a step, level by level: a segment, then the products whose operand it makes."""
    stores = [(layout.lasting[n], n) for n in stored]
    stores += [(Place("after", k), n) for k, n in enumerate(step.new)]
    stores += [(layout.loads[n], n) for n in layout.scratch]
    starts = _first_slots(derived.groups)
    loads = dict(layout.loads)
    work: list[Segment | Product] = []
    for at in range(max(level.values()) + 1):
        due = [(place, n) for place, n in stores if level[n] == at]
        segment = make_segment(step.graph, at, level, loads, due)
        if segment is not None:
            work.append(segment)
        if at == 0:  # inputs that are stored have been stored with their bias added
            kept = {n: layout.lasting[n] for n in stored if step.graph[n].op == "input"}
            loads.update(kept)
        for g, group in enumerate(derived.groups):
            if level[group.operand] == at:
                work.append(Product(g, layout.operand(group), Place("y", starts[g])))
    return tuple(work)


def _first_slots(groups: Iterable[Group]) -> list[int]:
    """The slot of `y` at which each group's results begin."""
    starts, slot = [], 0
    for group in groups:
        starts.append(slot)
        slot += len(group.names)
    return starts
