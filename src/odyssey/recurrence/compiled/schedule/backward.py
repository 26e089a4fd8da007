"""The backward step in segments, and the layout of the adjoints it leaves."""

from __future__ import annotations

from odyssey.recurrence.compiled.autodiff import Backward, Group
from odyssey.recurrence.compiled.schedule.forward import Forward
from odyssey.recurrence.compiled.schedule.segments import (
    Place,
    Product,
    Segment,
    cheap_from,
    levels,
    segment,
)


class BackwardOrder:
    """Segments of the backward step, and the layout of dgates."""

    def __init__(self, derived: Backward, forward: Forward, biased: tuple[str, ...]) -> None:
        self.graph = graph = derived.graph
        self.derived, self.forward = derived, forward
        zero = graph.const(0)
        leaf = {(n.op, n.name): i for i, n in enumerate(graph.nodes)}

        def adjoint(op: str, name: str) -> int:
            return derived.adjoints.get(leaf.get((op, name), -1), zero)

        self.slots = [adjoint("input", k) for k in forward.gates]
        self.slots += [adjoint("bare", k) for k in forward.bare]
        self.first = [self._run(g) for g in derived.groups]
        sums = [adjoint("vector", k) for k in forward.vectors]
        sums += [adjoint("input", k) for k in biased]
        ends = [adjoint("state", k) for k in forward.step.states]
        reach = graph.reachable([*self.slots, *sums, *ends])
        self.level = levels(graph, reach, derived.forward)

        # When the adjoint of each new state was read for the last time, it may be overwritten.
        given = [leaf["adjoint", k] for k in forward.step.states]
        last = [
            max([0, *(self.level[n] for n in reach if a in graph[n].args)])
            if a not in (*self.slots, *sums, *ends)
            else max(self.level.values())
            for a in given
        ]
        self.place = {a: Place("adjoint", k) for k, a in enumerate(given)}
        self.place |= {n: p for n, p in forward.place.items() if p.kind not in ("y", "scratch")}
        self.place |= forward.home
        for n in list(self.place):
            # Inputs are there only if they are kept: their slots hold something else by now.
            if graph[n].op == "input" and n not in forward.home:
                del self.place[n]
        stores = [(Place("dgates", i), n, self.level[n]) for i, n in enumerate(self.slots)]
        for i, n in reversed(list(enumerate(self.slots))):
            if graph[n].op not in ("const", "back"):
                self.place.setdefault(n, Place("dgates", i))
        direct: dict[int, Place] = {}  # products whose result is a state's adjoint as it stands
        for k, n in enumerate(ends):
            level = max(self.level[n], last[k])
            alone = [*ends, *self.slots, *sums].count(n) == 1
            alone = alone and not any(n in graph[m].args for m in reach)
            if graph[n].op == "back" and level == self.level[n] > last[k] and alone:
                direct[n] = Place("adjoint", k)
            else:
                stores.append((Place("adjoint", k), n, level))
        self.results: dict[int, Place] = {}
        for g, group in enumerate(derived.groups):
            n = next(i for i in reach if graph[i].op == "back" and graph[i].name == group.name)
            self.results[n] = direct.get(n, Place("back", g))
            self.place.setdefault(n, self.results[n])
        self.scratch = 0
        for n in reach:
            uses = [self.level[m] for m in reach if m >= derived.forward and n in graph[m].args]
            uses += [level for _, m, level in stores if m == n]
            if n >= derived.forward and uses and max(uses) > self.level[n]:
                if n not in self.place and not cheap_from(graph, n, self._lasts):
                    self.place[n] = Place("scratch", self.scratch)
                    stores.append((self.place[n], n, self.level[n]))
                    self.scratch += 1
        self.work: list[Segment | Product] = []
        for level in range(max(self.level.values()) + 1):
            due = [(place, n) for place, n, when in stores if when == level]
            adds = [(i, n) for i, n in enumerate(sums) if self.level[n] == level]
            adds = [(i, n) for i, n in adds if n != zero]
            self.work += segment(graph, level, self.level, self.place, due, adds, derived.forward)
            for n, result in self.results.items():
                if self.level[n] == level + 1:
                    g = [x.name for x in derived.groups].index(graph[n].name)
                    self.work.append(Product(g, Place("dgates", self.first[g]), result))

    def _lasts(self, n: int) -> bool:
        """Whether n can be read, or made again, at any later level."""
        if n < self.derived.forward:
            return True
        return n in self.place and self.place[n].kind in ("dgates", "back")

    def _run(self, group: Group) -> int:
        """Where the adjoints of the group's products lie side by side in dgates, new if nowhere."""
        zero = self.graph.const(0)
        want = [self.derived.adjoints.get(p, zero) for p in group.products]
        for start in range(len(self.slots) - len(want) + 1):
            if self.slots[start : start + len(want)] == want:
                return start
        self.slots += want
        return len(self.slots) - len(want)
