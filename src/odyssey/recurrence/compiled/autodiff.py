"""Second stage of the pipeline: the backward step, by symbolic reverse-mode differentiation.

From the `Step` of `tracing`, `differentiate` makes the graph of both steps, which `schedule` puts
in order. Recurrent products of the same operand are merged into groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from odyssey.recurrence.compiled.graph import Graph
from odyssey.recurrence.compiled.tracing import Step


@dataclass(frozen=True)
class Group:
    """Recurrent products of one operand, computed as one: (B, H) -> (B, n·H)."""

    operand: int  # node
    names: tuple[str, ...]  # of the matrices, in the order of R's rows
    products: tuple[int, ...]  # nodes, in the order of `names`

    @property
    def name(self) -> str:
        """As `z+i+o`."""
        return "+".join(self.names)


@dataclass(frozen=True)
class Backward:
    """The forward graph with the backward step added to it."""

    graph: Graph
    forward: int  # nodes below this number belong to the forward step
    groups: tuple[Group, ...]
    adjoints: Mapping[int, int]  # forward node -> its adjoint, the derivative of the loss by it


def groups(step: Step, order: tuple[str, ...]) -> tuple[Group, ...]:
    """The step's products, merged where the operand is the same; `order`: names of R's rows."""
    by_operand: dict[int, dict[str, int]] = {}
    for number in step.graph.reachable(step.new):
        node = step.graph[number]
        if node.op == "product":
            by_operand.setdefault(node.args[0], {})[node.name] = number
    merged = []
    for operand, products in by_operand.items():
        names = tuple(sorted(products, key=order.index))
        merged.append(Group(operand, names, tuple(products[k] for k in names)))
    return tuple(merged)


def differentiate(step: Step, order: tuple[str, ...]) -> Backward:
    """Add the backward step to a copy of the step's graph.

    The adjoint of a new state begins with the leaf `adjoint`, which contains what later steps and
    the outputs contribute. `order`: names of R's rows.
    """
    graph = Graph(step.graph.nodes)
    forward = len(graph)
    merged = groups(step, order)
    group_of = {p: g for g in merged for p in g.products}
    adjoints: dict[int, int] = {}

    def accumulate(number: int, share: int) -> None:
        known = adjoints.get(number)
        adjoints[number] = share if known is None else graph.make("add", known, share)

    for name, number in zip(step.states, step.new, strict=True):
        accumulate(number, graph.leaf("adjoint", name))
    for number in reversed(graph.reachable(step.new)):
        node = graph[number]
        if number not in adjoints or not node.args:
            continue
        if node.op == "product":
            # At the first product of its group the adjoints of all of them are known.
            group = group_of[number]
            if number == min(group.products):
                zero = graph.const(0)
                shares = [adjoints.get(p, zero) for p in group.products]
                accumulate(group.operand, graph.back(group.name, shares))
            continue
        for argument, share in _rule(graph, number, adjoints[number]):
            accumulate(argument, share)
    return Backward(graph, forward, merged, adjoints)


def _rule(graph: Graph, y: int, d: int) -> list[tuple[int, int]]:
    """(argument, its share of the adjoint) for node y with adjoint d; constants are left out."""
    node, make, const = graph[y], graph.make, graph.const
    a, b = (*node.args, -1)[:2]
    shares: list[tuple[int, int]]
    match node.op:
        case "add":
            shares = [(a, d), (b, d)]
        case "sub":
            shares = [(a, d), (b, make("neg", d))]
        case "mul":
            shares = [(a, make("mul", d, b)), (b, make("mul", d, a))]
        case "div":
            over = make("div", d, b)
            shares = [(a, over), (b, make("neg", make("mul", over, y)))]
        case "neg":
            shares = [(a, make("neg", d))]
        case "tanh":  # 1 - y²
            shares = [(a, make("mul", d, make("sub", const(1), make("mul", y, y))))]
        case "sigmoid":  # y (1 - y)
            shares = [(a, make("mul", d, make("mul", y, make("sub", const(1), y))))]
        case "relu":
            shares = [(a, make("pass", d, y))]
        case "exp":
            shares = [(a, make("mul", d, y))]
        case "log":
            shares = [(a, make("div", d, a))]
        case "sqrt":
            shares = [(a, make("div", make("mul", d, const(0.5)), y))]
        case "abs":
            shares = [(a, make("mul", d, make("sign", a)))]
        case "sin":
            shares = [(a, make("mul", d, make("cos", a)))]
        case "cos":
            shares = [(a, make("neg", make("mul", d, make("sin", a))))]
        case op:
            raise AssertionError(f"no derivative of {op}")
    return [(argument, value) for argument, value in shares if graph[argument].op != "const"]
