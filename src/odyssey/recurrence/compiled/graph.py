"""One step of a cell as a small graph: every value once, in the order of its computation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# What a node may be. Leaves have no arguments and a name (a constant: a value).
# `input` is x.k of a gate with W, `bare` the bare input, `vector` p.k or a gate's bias alone;
# `adjoint` is what the backward step is given for a new state.
LEAVES = ("input", "bare", "vector", "state", "const", "adjoint")
# Matrix products: `product` is R_name times its argument; `back` is the transpose of a merged
# product times its arguments, one for each of its matrices.
PRODUCTS = ("product", "back")
# Everything else acts on each unit by itself.
UNARY = ("neg", "tanh", "sigmoid", "relu", "exp", "log", "sqrt", "abs", "sign", "sin", "cos")
# `pass`(g, y) is g where y > 0 (or NaN, as in torch) and 0 elsewhere.
BINARY = ("add", "sub", "mul", "div", "pass")
COMMUTES = ("add", "mul")
# Made again from their arguments rather than kept.
CHEAP = ("neg", "relu", "abs", "sign", "add", "sub", "mul", "pass")


class Node(NamedTuple):
    """One value for each unit of each sequence."""

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: float = 0.0


class Graph:
    """Nodes in the order of their making; equal nodes are one, so a number stands for a value.

    What costs nothing to see is simplified on the way: x + 0, 1 * x, -(-x), arithmetic of
    constants. 0 * x stays, since it is NaN where x is.
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
        return self._add(Node(op, name=name))

    def const(self, value: float) -> int:
        return self._add(Node("const", value=float(value)))

    def product(self, name: str, operand: int) -> int:
        return self._add(Node("product", (operand,), name))

    def back(self, name: str, adjoints: Sequence[int]) -> int:
        return self._add(Node("back", tuple(adjoints), name))

    def make(self, op: str, *args: int) -> int:
        """The number of `op` of these nodes, new or known."""
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
        node = self.nodes[number]
        return node.value if node.op == "const" else None

    def _simplified(self, op: str, a: int, b: int = -1) -> int | None:
        u = self._value(a)
        if op == "neg":
            if u is not None:
                return self.const(-u)
            return self.nodes[a].args[0] if self.nodes[a].op == "neg" else None
        if b < 0 or op == "pass":
            return None
        v = self._value(b)
        if u is not None and v is not None and not (op == "div" and v == 0):
            return self.const({"add": u + v, "sub": u - v, "mul": u * v}.get(op, u / (v or 1)))
        if op == "add":
            if u == 0:
                return b
            if v == 0:
                return a
            if self.nodes[b].op == "neg":
                return self.make("sub", a, self.nodes[b].args[0])
            if self.nodes[a].op == "neg":
                return self.make("sub", b, self.nodes[a].args[0])
        if op == "sub":
            if v == 0:
                return a
            if u == 0:
                return self.make("neg", b)
            if self.nodes[b].op == "neg":
                return self.make("add", a, self.nodes[b].args[0])
        if op in ("mul", "div"):
            if v == 1:
                return a
            if v == -1:
                return self.make("neg", a)
        if op == "mul":
            if u == 1:
                return b
            if u == -1:
                return self.make("neg", b)
            # A sign is carried outwards, where an addition takes it up.
            if self.nodes[a].op == "neg":
                return self.make("neg", self.make("mul", self.nodes[a].args[0], b))
            if self.nodes[b].op == "neg":
                return self.make("neg", self.make("mul", a, self.nodes[b].args[0]))
        return None

    def reachable(self, ends: Iterable[int]) -> list[int]:
        """All nodes that `ends` need, themselves too, in order."""
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
        """A line for each name, `i = sigmoid(x.i + R.i(s.h))`; what is used twice gets one too."""
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
    """Whether the bracket that opens `text` is closed by its last character."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return i == len(text) - 1
    return False
