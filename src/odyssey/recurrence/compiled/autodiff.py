"""The backward step: the forward graph differentiated symbolically, in reverse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from odyssey.recurrence.compiled.graph import Graph
from odyssey.recurrence.compiled.tracing import Step


@dataclass(frozen=True)
class Group:
    """Recurrent products of one operand, made as one: (batch, H) -> (batch, n·H)."""

    operand: int
    names: tuple[str, ...]
    products: tuple[int, ...]  # the nodes, in the order of `names`

    @property
    def name(self) -> str:
        return "+".join(self.names)


@dataclass(frozen=True)
class Backward:
    """The forward graph with the backward step added to it.

    `adjoints` maps each forward node that has one to the node of its adjoint: the derivative of
    the loss by that value. A new state's own adjoint is the leaf `adjoint`.
    """

    graph: Graph
    forward: int  # nodes below this number are the forward step's
    groups: tuple[Group, ...]
    adjoints: Mapping[int, int]


def groups(step: Step, order: tuple[str, ...]) -> tuple[Group, ...]:
    """The step's products, merged where the operand is the same; `order` is that of R's rows."""
    of: dict[int, dict[str, int]] = {}
    for number in step.graph.reachable(step.new):
        node = step.graph[number]
        if node.op == "product":
            of.setdefault(node.args[0], {})[node.name] = number
    made = []
    for operand, products in of.items():
        names = tuple(sorted(products, key=order.index))
        made.append(Group(operand, names, tuple(products[k] for k in names)))
    return tuple(made)


def differentiate(step: Step, order: tuple[str, ...]) -> Backward:
    """The backward step of `step`."""
    graph = Graph(step.graph.nodes)
    forward = len(graph)
    merged = groups(step, order)
    group_of = {p: g for g in merged for p in g.products}
    adjoints: dict[int, int] = {}

    def give(number: int, value: int) -> None:
        known = adjoints.get(number)
        adjoints[number] = value if known is None else graph.make("add", known, value)

    for name, number in zip(step.states, step.new, strict=True):
        give(number, graph.leaf("adjoint", name))
    for number in reversed(graph.reachable(step.new)):
        node = graph[number]
        if number not in adjoints or not node.args:
            continue
        if node.op == "product":
            # The whole group at once, at its earliest product: then all its adjoints are known.
            group = group_of[number]
            if number == min(group.products):
                have = [adjoints.get(p) for p in group.products]
                zero = graph.const(0)
                give(
                    group.operand,
                    graph.back(group.name, [zero if a is None else a for a in have]),
                )
            continue
        for argument, value in _rule(graph, number, adjoints[number]):
            give(argument, value)
    return Backward(graph, forward, merged, adjoints)


def _rule(graph: Graph, y: int, d: int) -> list[tuple[int, int]]:
    """(argument, its share of the adjoint) for node y with adjoint d. Constants get none."""
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
