"""The forward step in segments, and what it keeps for the backward one."""

from __future__ import annotations

from odyssey.recurrence.compiled.autodiff import Backward, Group
from odyssey.recurrence.compiled.graph import CHEAP, PRODUCTS, UNARY
from odyssey.recurrence.compiled.schedule.segments import (
    Place,
    Product,
    Segment,
    cheap_from,
    levels,
    segment,
)
from odyssey.recurrence.compiled.tracing import Step


class Forward:
    """Segments of the forward step, and which values are kept for the backward one."""

    def __init__(
        self,
        step: Step,
        derived: Backward,
        gates: tuple[str, ...],
        bare: tuple[str, ...],
        vectors: tuple[str, ...],
    ) -> None:
        self.step, self.derived, self.gates = step, derived, gates
        self.bare, self.vectors = bare, vectors
        self.graph = graph = step.graph
        # Where a value can be read from, once it is there. Products and kept values join below.
        self.place: dict[int, Place] = {}
        # Where a value lies after the step: what is kept, and states.
        self.home: dict[int, Place] = {}
        for number, node in enumerate(graph.nodes):
            names = {"bare": bare, "state": step.states, "vector": vectors}.get(node.op)
            if names is not None:
                kind = {"state": "before"}.get(node.op, node.op)
                self.place[number] = Place(kind, names.index(node.name))
        for k, number in enumerate(step.new):
            if number not in self.place:
                self._settle(number, Place("after", k))
        self.free = {*self.place, *self.home}  # there in the backward step at no cost
        self.kept = self._kept()
        self.level = levels(graph, graph.reachable([*step.new, *self.kept]))
        self.extra = self._lay_out()
        self.scratch = 0
        self.work = self._segments()

    def _kept(self) -> list[int]:
        """Values to be stored at each step: what is dear to make again, and operands."""
        graph, first = self.derived.graph, self.derived.forward
        used = {
            a
            for n in graph.reachable(self.derived.adjoints.values())
            if n >= first
            for a in graph[n].args
            if a < first and graph[a].op != "const"
        }
        stored = {"before", "after"}
        kept = set()
        for n in (g.operand for g in self.derived.groups):
            place = self.home.get(n) or self.place.get(n)
            if place is None or place.kind not in stored:
                kept.add(n)
        for n in sorted(used - self.free):
            if graph[n].op not in CHEAP and not self._from_free(n):
                kept.add(n)
        for n in sorted(used - self.free - kept):
            if not cheap_from(graph, n, lambda a: a in self.free | kept or self._from_free(a)):
                kept.add(n)
        return sorted(kept)

    def _from_free(self, n: int) -> bool:
        """A function of one value that is there: made again rather than kept (tanh of c)."""
        node = self.graph[n]
        return node.op in UNARY and node.args[0] in self.free

    def _lay_out(self) -> int:
        """Give each kept value a slot of `gates` that is no longer read, or an extra one."""
        last = dict.fromkeys(self.gates, 0)
        inputs = {n: v.name for n, v in enumerate(self.graph.nodes) if v.op == "input"}
        for number, level in self.level.items():
            for a in self.graph[number].args:
                if a in inputs:
                    last[inputs[a]] = max(last[inputs[a]], level)
        for n, name in inputs.items():
            self.place[n] = Place("input", self.gates.index(name))
            if n in self.kept:
                self.home[n] = Place("gates", self.gates.index(name))
                del last[name]
        extra = 0
        for n in self.kept:
            if n in inputs:
                continue
            may = [name for name in last if last[name] <= self.level[n]]
            own = [name for name in may if name == self._own(n)]
            if may:
                name = (own or may)[0]
                del last[name]
                self._settle(n, Place("gates", self.gates.index(name)))
            else:
                self._settle(n, Place("extra", extra))
                extra += 1
        return extra

    def _settle(self, n: int, home: Place) -> None:
        """n is stored in `home` when its level is worked on, and read there if it is made there."""
        self.home.setdefault(n, home)
        if self.graph[n].args and self.graph[n].op not in PRODUCTS:
            self.place.setdefault(n, home)

    def _own(self, n: int) -> str | None:
        """The gate whose activation n is."""
        return next((self.graph[a].name for a in self._sum(n) if self.graph[a].op == "input"), None)

    def _sum(self, n: int) -> list[int]:
        args = list(self.graph[n].args)
        return args + [b for a in args if self.graph[a].op == "add" for b in self._sum(a)]

    def _segments(self) -> list[Segment | Product]:
        graph = self.graph
        first = 0
        for group in self.derived.groups:
            for i, n in enumerate(group.products):
                self.place.setdefault(n, Place("y", first + i))
            first += len(group.names)
        stores = [(self.home[n], n) for n in self.kept]
        for k, n in enumerate(self.step.new):
            stores.append((Place("after", k), n))
        # What crosses a product, lies nowhere yet and is not made again.
        lasting = {n for n, place in self.place.items() if self.graph[n].op != "input"}
        for n, level in self.level.items():
            later = any(self.level[m] > level and n in graph[m].args for m in self.level)
            if later and n not in self.place and not cheap_from(graph, n, lasting.__contains__):
                self.place[n] = Place("scratch", self.scratch)
                stores.append((self.place[n], n))
                self.scratch += 1
        work: list[Segment | Product] = []
        first = 0
        starts = []
        for group in self.derived.groups:
            starts.append(Place("y", first))
            first += len(group.names)
        for level in range(max(self.level.values()) + 1):
            due = [(place, n) for place, n in stores if self.level[n] == level]
            work += segment(self.graph, level, self.level, self.place, due, [])
            for n in self.kept if level == 0 else []:  # an input that is kept has its bias now
                if graph[n].op == "input":
                    self.place[n] = self.home[n]
            for g, group in enumerate(self.derived.groups):
                if self.level[group.operand] == level:
                    work.append(Product(g, self.operand(group), starts[g]))
        return work

    def operand(self, group: Group) -> Place:
        """Where a product finds its operand."""
        return self.home.get(group.operand) or self.place[group.operand]
