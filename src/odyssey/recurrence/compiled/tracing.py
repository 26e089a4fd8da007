"""Reading a cell's `step` once, with symbols in place of tensors, into a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from odyssey.cells.cell import Cell
from odyssey.errors import UserError
from odyssey.recurrence.compiled.graph import BINARY, UNARY, Graph


class Untraceable(UserError):
    """A step that is not of the form which kernels are derived from; `why` is what it does."""

    why = ""


def refusal(cell: Cell, what: str) -> Untraceable:
    """That no kernel can be derived for this cell, because its step does `what`."""
    error = Untraceable(
        f"model.backend=compiled cannot run {type(cell).__name__}, because its step {what}; "
        "choose model.backend=auto or reference"
    )
    error.why = what
    return error


@dataclass(frozen=True)
class Step:
    """A traced step: its graph and the nodes of the new states, in the order of `cell.state`."""

    graph: Graph
    states: tuple[str, ...]
    new: tuple[int, ...]

    def names(self) -> dict[int, str]:
        """What nodes are called: the new states, and activations after their gate."""
        names = {}
        for name, number in reversed(list(zip(self.states, self.new, strict=True))):
            names[number] = name
        taken = set(self.states)
        for number, node in enumerate(self.graph.nodes):
            if node.op in ("tanh", "sigmoid", "relu") and number not in names:
                gate = self._gate(node.args[0])
                if gate is not None and gate not in taken:
                    names[number] = gate
                    taken.add(gate)
        return names

    def _gate(self, number: int) -> str | None:
        """The gate whose x.k or R.k is in the sum that `number` is."""
        node = self.graph[number]
        if node.op in ("input", "product"):
            return node.name
        if node.op == "add":
            return self._gate(node.args[0]) or self._gate(node.args[1])
        return None

    def __str__(self) -> str:
        return "\n".join(self.graph.equations(self.names()))


# Functions of a tensor, by the name that torch gives them: as method, in torch or in
# torch.nn.functional, with or without a trailing underscore.
DIRECT = tuple(op for op in (*UNARY, *BINARY) if op not in ("sign", "pass"))
ALSO = {
    "negative": "neg",
    "absolute": "abs",
    "expit": "sigmoid",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "radd": "add",
    "rmul": "mul",
}


class Symbol:
    """Stands for one value of every unit; arithmetic on it makes nodes."""

    def __init__(self, tracer: Tracer, number: int) -> None:
        self._tracer = tracer
        self._number = number

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        for given in (*args, *(kwargs or {}).values()):
            # Some functions take a list of tensors, as torch.cat does.
            for each in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(each, Symbol):
                    return each._tracer.call(name, args, kwargs or {})
        return NotImplemented

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._tracer.knows(name):
            return lambda *args, **kwargs: self._tracer.call(name, (self, *args), kwargs)
        raise self._tracer.refusal(f"asks for .{name} of a value")

    def __bool__(self) -> bool:
        raise self._tracer.refusal("branches on a value")

    def __iter__(self) -> Any:
        raise self._tracer.refusal("takes a value apart")


def _arithmetic(name: str) -> Callable[..., Any]:
    def method(self: Symbol, *others: Any) -> Any:
        return self._tracer.call(name, (self, *others), {})

    return method


for _name in ("add", "sub", "mul", "truediv", "neg", "abs", "pow"):
    setattr(Symbol, f"__{_name}__", _arithmetic(_name))
for _name in ("radd", "rsub", "rmul", "rtruediv", "rpow"):
    setattr(Symbol, f"__{_name}__", _arithmetic(_name))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "getitem", "matmul", "float", "int", "len"):
    setattr(Symbol, f"__{_name}__", _arithmetic(_name))
Symbol.__hash__ = object.__hash__  # type: ignore[method-assign]  # which __eq__ took away


class Tracer:
    """Makes nodes out of what a step does to its symbols."""

    def __init__(self, cell: Cell) -> None:
        self.graph = Graph()
        self.cell = cell

    def refusal(self, what: str) -> Untraceable:
        return refusal(self.cell, what)

    def symbol(self, number: int) -> Symbol:
        return Symbol(self, number)

    def knows(self, name: str) -> bool:
        plain = name.strip("_")
        return plain in DIRECT or plain in ALSO or plain in ("rsub", "rtruediv", "pow", *_MADE)

    def number(self, value: Any) -> int:
        """The node of an argument: a symbol, a number or a tensor that is one."""
        if isinstance(value, Symbol):
            return value._number
        if isinstance(value, Tensor):
            if value.numel() != 1 or value.requires_grad or isinstance(value, nn.Parameter):
                raise self.refusal(f"uses a tensor {tuple(value.shape)} that is not declared")
            value = value.item()
        if isinstance(value, (int, float)):
            return self.graph.const(value)
        raise self.refusal(f"uses {value!r} as a value")

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Symbol:
        """One function, by torch's name for it."""
        plain = name.strip("_")
        if not self.knows(name):
            if plain in ("lt", "le", "gt", "ge", "eq", "ne"):
                raise self.refusal("compares values")
            raise self.refusal(f"calls {name}, which has no rule here")
        given = {k: v for k, v in kwargs.items() if k not in ("inplace", "input", "other")}
        if given.get("alpha", 1) == 1:
            given.pop("alpha", None)
        if given or name.endswith("_") and not name.startswith("_") or kwargs.get("inplace"):
            how = ", ".join(f"{k}={v}" for k, v in given.items()) or "in place"
            raise self.refusal(f"calls {name} with {how}, which has no rule here")
        args += tuple(kwargs[k] for k in ("input", "other") if k in kwargs)
        if plain in _MADE:
            return self.symbol(_MADE[plain](self.graph, self.number(args[0])))
        if plain == "pow":
            return self._power(args[0], args[1])
        if plain in ("rsub", "rtruediv"):
            plain, args = plain[1:], (args[1], args[0])
        op = ALSO.get(plain, plain)
        count = 2 if op in ("add", "sub", "mul", "div") else 1
        if op == "relu":
            args = args[:1]  # the second is `inplace`
        if len(args) != count:
            raise self.refusal(f"calls {name} with {len(args)} arguments")
        return self.symbol(self.graph.make(op, *(self.number(a) for a in args)))

    def _power(self, base: Any, exponent: Any) -> Symbol:
        if isinstance(exponent, Tensor):
            exponent = exponent.item()
        whole = isinstance(exponent, (int, float)) and float(exponent).is_integer()
        if not isinstance(base, Symbol) or not whole or not 1 <= abs(exponent) <= 8:
            raise self.refusal("calls pow with other than a whole exponent from 1 to 8")
        number = result = self.number(base)
        for _ in range(abs(int(exponent)) - 1):
            result = self.graph.make("mul", result, number)
        if exponent < 0:
            result = self.graph.make("div", self.graph.const(1), result)
        return self.symbol(result)


# Functions that are made of others.
_MADE: dict[str, Callable[[Graph, int], int]] = {
    "square": lambda g, a: g.make("mul", a, a),
    "reciprocal": lambda g, a: g.make("div", g.const(1), a),
    "silu": lambda g, a: g.make("mul", a, g.make("sigmoid", a)),
    "softsign": lambda g, a: g.make("div", a, g.make("add", g.const(1), g.make("abs", a))),
}


def trace(cell: Cell) -> Step:
    """One step of `cell` as a graph. Raises Untraceable where it is not of the form."""
    tracer = Tracer(cell)
    graph = tracer.graph

    def leaf(op: str, name: str) -> Symbol:
        return tracer.symbol(graph.leaf(op, name))

    def product(name: str) -> Callable[[Any], Symbol]:
        def apply(v: Any) -> Symbol:
            if not isinstance(v, Symbol):
                raise tracer.refusal(f"applies R.{name} to a constant")
            return tracer.symbol(graph.product(name, v._number))

        return apply

    def kind(name: str) -> str:
        if name in cell.bare:
            return "bare"
        return "input" if name in cell.rows["W"] else "vector"  # without W, a bias alone

    def called(k: str) -> str:
        return "x." + k if kind(k) == "vector" else k

    fields = cell.Inputs._fields  # type: ignore[attr-defined]
    x = cell.Inputs(**{k: leaf(kind(k), called(k)) for k in fields})
    s = cell.State(*(leaf("state", k) for k in cell.state))
    p = SimpleNamespace(**{k: leaf("vector", "p." + k) for k in cell.vectors})
    R = SimpleNamespace(**{k: product(k) for k in cell.rows["R"]})
    try:
        out = cell.step(x, R, p, s)
    except Untraceable:
        raise
    except Exception as error:  # whatever a step does with symbols that are no tensors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise tracer.refusal(f"does what symbols cannot ({reason})") from error
    values = (out,) if isinstance(out, (Symbol, Tensor)) else tuple(out)
    new = tuple(tracer.number(v) for v in values)
    for name, number in zip(cell.state, new, strict=True):
        needs = {graph[n].op for n in graph.reachable([number])}
        if not needs & {"input", "bare", "state", "product"}:
            raise tracer.refusal(f"makes the state {name} of nothing that a sequence has")
        if any(math.isnan(graph[n].value) for n in graph.reachable([number])):
            raise tracer.refusal("has a constant that is not a number")
    return Step(graph, tuple(cell.state), new)
