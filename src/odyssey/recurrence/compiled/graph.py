"""The intermediate representation: one step of a cell as a graph of elementwise operations.

First data structure of the pipeline. `tracing` builds a graph from a cell's step, `autodiff` adds
the backward step to it, `schedule` puts its nodes in order. A node is identified by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Kinds of nodes. A leaf has no arguments but a name (a constant: a value). `input` is x.k of a gate
# with W, `bare` a bare input, `vector` p.k or the bias of a gate that has nothing else, `adjoint`
# the derivative of the loss by a new state, which the backward step is given.
LEAVES = ("input", "bare", "vector", "state", "const", "adjoint")
# Matrix products: `product` is R_name times its argument; `back` is the sum of the transposes of a
# group's matrices, each times its own argument.
PRODUCTS = ("product", "back")
# Elementwise functions.
UNARY = ("neg", "tanh", "sigmoid", "relu", "exp", "log", "sqrt", "abs", "sign", "sin", "cos")
# `pass`(g, y) is g where y > 0 (or NaN, as in torch) and 0 elsewhere.
BINARY = ("add", "sub", "mul", "div", "pass")
COMMUTES = ("add", "mul")
# Cheaper to compute again from their arguments than to store.
CHEAP = ("neg", "relu", "abs", "sign", "add", "sub", "mul", "pass")


class Node(NamedTuple):
    """One value for each unit of each sequence, (B, H)."""

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0


class Graph:
    """Nodes in topological order. Equal nodes are one, so a number identifies a value.

    `make` simplifies x + 0, 1 * x, -(-x) and arithmetic of constants. 0 * x stays, since it is NaN
    where x is NaN or infinite.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes: list[Node] = []
        self._number: dict[Node, int] = {}
        for node in nodes:
            self._add(node)

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __len__(self) -> int:
        return len(self.nodes)

    def leaf(self, op: str, name: str) -> int:
        """The number of the leaf of this kind and name, one of LEAVES but `const`."""
        return self._add(Node(op, name=name))

    def const(self, value: float) -> int:
        return self._add(Node("const", value=float(value)))

    def product(self, name: str, operand: int) -> int:
        """The number of R_name times `operand`."""
        return self._add(Node("product", (operand,), name))

    def back(self, name: str, adjoints: Sequence[int]) -> int:
        """The number of the transposed product of the group `name` (`z+i+o`), one adjoint each."""
        return self._add(Node("back", tuple(adjoints), name))

    def make(self, op: str, *args: int) -> int:
        """The number of the node `op` of these arguments, added if there is none yet."""
        short = self._simplified(op, *args)
        if short is not None:
            return short
        return self._add(Node(op, tuple(sorted(args)) if op in COMMUTES else args))

    def _add(self, node: Node) -> int:
        number = self._number.setdefault(node, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number

    def _value(self, number: int) -> float | None:
        """The value of a constant; None for any other node."""
        node = self.nodes[number]
        return node.value if node.op == "const" else None

    def _negand(self, number: int) -> int | None:
        """a where the node is -a, else None."""
        node = self.nodes[number]
        return node.args[0] if node.op == "neg" else None

    # -- simplification: the number of a node that has the same value, or None ---------------

    def _simplified(self, op: str, *args: int) -> int | None:
        if op == "neg":
            return self._simplified_neg(*args)
        rules = {
            "add": self._simplified_add,
            "sub": self._simplified_sub,
            "mul": self._simplified_mul,
            "div": self._simplified_div,
        }
        if op not in rules:
            return None
        u, v = (self._value(a) for a in args)
        if u is not None and v is not None and not (op == "div" and v == 0):
            return self.const({"add": u + v, "sub": u - v, "mul": u * v}.get(op, u / (v or 1)))
        return rules[op](*args)

    def _simplified_neg(self, a: int) -> int | None:
        u = self._value(a)
        return self._negand(a) if u is None else self.const(-u)

    def _simplified_add(self, a: int, b: int) -> int | None:
        if self._value(a) == 0:
            return b
        if self._value(b) == 0:
            return a
        for one, other in ((b, a), (a, b)):
            negand = self._negand(one)
            if negand is not None:
                return self.make("sub", other, negand)
        return None

    def _simplified_sub(self, a: int, b: int) -> int | None:
        if self._value(b) == 0:
            return a
        if self._value(a) == 0:
            return self.make("neg", b)
        negand = self._negand(b)
        return None if negand is None else self.make("add", a, negand)

    def _simplified_div(self, a: int, b: int) -> int | None:
        if self._value(b) == 1:
            return a
        return self.make("neg", a) if self._value(b) == -1 else None

    def _simplified_mul(self, a: int, b: int) -> int | None:
        for one, other in ((b, a), (a, b)):
            if self._value(one) == 1:
                return other
            if self._value(one) == -1:
                return self.make("neg", other)
        # A sign is moved outwards, where an addition may absorb it.
        for one, other in ((a, b), (b, a)):
            negand = self._negand(one)
            if negand is not None:
                return self.make("neg", self.make("mul", negand, other))
        return None

    def reachable(self, ends: Iterable[int]) -> list[int]:
        """All nodes that `ends` depend on, `ends` included, in topological order."""
        found: set[int] = set()
        left = list(ends)
        while left:
            number = left.pop()
            if number not in found:
                found.add(number)
                left += self.nodes[number].args
        return sorted(found)

    # -- as text -----------------------------------------------------------------------------

    def equations(self, names: dict[int, str]) -> list[str]:
        """The definitions of the named nodes, as `i = sigmoid(x.i + R.i(s.h))`, one a line.

        Unnamed nodes that are used more than once get lines of their own, as `v25`.
        """
        needed = self.reachable(names)
        uses: dict[int, int] = {}
        for number in needed:
            for a in self.nodes[number].args:
                uses[a] = uses.get(a, 0) + 1
        called = dict(names)
        for number in needed:
            if number not in called and uses.get(number, 0) > 1 and self.nodes[number].args:
                called[number] = f"v{number}"
        lines = []
        for number in needed:
            if number in called and self.nodes[number].args:
                lines.append(f"{called[number]} = {self._text(number, called, top=True)}")
        for number, name in names.items():
            if not self.nodes[number].args:
                lines.append(f"{name} = {self._text(number, {}, top=True)}")
        return lines

    def _text(self, number: int, called: dict[int, str], top: bool = False) -> str:
        if number in called and not top:
            return called[number]
        node = self.nodes[number]
        args = [self._text(a, called) for a in node.args]
        bare = [t[1:-1] if t.startswith("(") and _closes(t) else t for t in args]
        if node.op == "const":
            return f"{node.value:g}"
        if node.op in ("input", "bare"):
            return f"x.{node.name}"
        if node.op == "vector":
            return node.name  # p.k, or x.k of a gate that has a bias alone
        if node.op == "state":
            return f"s.{node.name}"
        if node.op == "adjoint":
            return f"d{node.name}"
        if node.op == "product":
            return f"R.{node.name}({bare[0]})"
        if node.op == "back":
            pairs = zip(node.name.split("+"), bare, strict=True)
            return "(" + " + ".join(f"R.{k}'({v})" for k, v in pairs) + ")"
        sign = {"add": " + ", "sub": " - ", "mul": " * ", "div": " / "}.get(node.op)
        if sign is None:
            return f"-{args[0]}" if node.op == "neg" else f"{node.op}({', '.join(bare)})"
        if node.op == "add":  # a + (b + c) reads as a + b + c
            sums = [self.nodes[a].op == "add" for a in node.args]
            args = [bare[i] if inner else args[i] for i, inner in enumerate(sums)]
        text = sign.join(args)
        return text if top else f"({text})"


def _closes(text: str) -> bool:
    """Whether the bracket with which `text` begins is closed by its last character."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return i == len(text) - 1
    return False
