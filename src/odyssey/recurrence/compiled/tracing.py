"""First stage of the pipeline: a cell's `step`, called once with symbols, becomes a graph.

`trace` returns a `Step`, which `autodiff` differentiates. A step that mixes units, branches on
values or calls a function without a rule raises `Untraceable`, and has no kernels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from odyssey.cells.cell import Cell, a_weight
from odyssey.errors import UserError
from odyssey.recurrence.compiled.graph import BINARY, UNARY, Graph


class Untraceable(UserError):
    """No kernels can be derived from a step; `why` is what it does: "branches on a value"."""

    why = ""


def refusal(cell: Cell, what: str) -> Untraceable:
    """The error that says that no kernel can be derived for this cell, because its step `what`."""
    error = Untraceable(
        f"model.backend=compiled cannot run {type(cell).__name__}, because its step {what}; "
        "choose model.backend=auto or reference"
    )
    error.why = what
    return error


@dataclass(frozen=True)
class Step:
    """A traced step: its graph, the names of the states, and the nodes of the new states."""

    graph: Graph
    states: tuple[str, ...]
    new: tuple[int, ...]
    vectors: tuple[str, ...]  # those of `vectors` as p.k, lone biases as x.k, the cell's own
    own: tuple[str, ...]  # the cell's own parameters and buffers that the step reads

    def names(self) -> dict[int, str]:
        """Names of nodes: new states, and activations, which are named after their gate."""
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
        """The gate whose x.k or R.k is an addend of the node."""
        node = self.graph[number]
        if node.op in ("input", "product"):
            return node.name
        if node.op == "add":
            return self._gate(node.args[0]) or self._gate(node.args[1])
        return None

    def __str__(self) -> str:
        return "\n".join(self.graph.equations(self.names()))


# Functions of torch (methods, in torch and torch.nn.functional) that are operations of the graph,
# by the same name and by others.
SAME_NAME = tuple(op for op in (*UNARY, *BINARY) if op not in ("sign", "pass"))
SYNONYMS = {
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
    """Stands for a tensor (B, H) in a step; functions of it add nodes to the tracer's graph."""

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


class OwnVector(Symbol):
    """Stands for a parameter or buffer of the cell's own; its node is made when a step reads it."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer = tracer
        self._name = name

    @property
    def _number(self) -> int:  # type: ignore[override]
        return self._tracer.graph.leaf("vector", f"self.{self._name}")


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
    """Adds a node to its graph for each function that a step calls with a symbol."""

    def __init__(self, cell: Cell) -> None:
        self.graph = Graph()
        self.cell = cell

    def refusal(self, what: str) -> Untraceable:
        return refusal(self.cell, what)

    def symbol(self, number: int) -> Symbol:
        return Symbol(self, number)

    def knows(self, name: str) -> bool:
        """Whether there is a rule for the function that torch calls `name`."""
        plain = name.strip("_")
        return plain in (*SAME_NAME, *SYNONYMS, *_COMPOSED, "rsub", "rtruediv", "pow")

    def number(self, value: Any) -> int:
        """The node of an argument: a symbol, a number, or a tensor that holds one number."""
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
        """Add the node of one function, by torch's name for it."""
        plain = name.strip("_")
        if not self.knows(name):
            if plain in ("lt", "le", "gt", "ge", "eq", "ne"):
                raise self.refusal("compares values")
            raise self.refusal(f"calls {name}, which has no rule here")
        given = {k: v for k, v in kwargs.items() if k not in ("inplace", "input", "other")}
        if given.get("alpha", 1) == 1:
            given.pop("alpha", None)
        if given or name.endswith("_") and not name.startswith("_") or kwargs.get("inplace"):
            options = ", ".join(f"{k}={v}" for k, v in given.items()) or "in place"
            raise self.refusal(f"calls {name} with {options}, which has no rule here")
        args += tuple(kwargs[k] for k in ("input", "other") if k in kwargs)
        if plain in _COMPOSED:
            return self.symbol(_COMPOSED[plain](self.graph, self.number(args[0])))
        if plain == "pow":
            return self._power(args[0], args[1])
        if plain in ("rsub", "rtruediv"):
            plain, args = plain[1:], (args[1], args[0])
        op = SYNONYMS.get(plain, plain)
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


# Functions that are composed of operations of the graph.
_COMPOSED: dict[str, Callable[[Graph, int], int]] = {
    "square": lambda g, a: g.make("mul", a, a),
    "reciprocal": lambda g, a: g.make("div", g.const(1), a),
    "silu": lambda g, a: g.make("mul", a, g.make("sigmoid", a)),
    "softsign": lambda g, a: g.make("div", a, g.make("add", g.const(1), g.make("abs", a))),
}


def trace(cell: Cell) -> Step:
    """One step of `cell` as a graph. Raises Untraceable where no kernels can be derived from it."""
    tracer = Tracer(cell)
    try:
        out = _with_symbols(tracer).step(*_symbols(tracer))
    except Untraceable:
        raise
    except Exception as error:  # a step may fail in any way when it meets symbols
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise tracer.refusal(f"does what symbols cannot ({reason})") from error
    values = (out,) if isinstance(out, (Symbol, Tensor)) else tuple(out)
    new = tuple(tracer.number(v) for v in values)
    for name, number in zip(cell.state, new, strict=True):
        _check_state(tracer, name, number)
    vectors = [node.name for node in tracer.graph.nodes if node.op == "vector"]
    own = tuple(k.removeprefix("self.") for k in vectors if k.startswith("self."))
    return Step(tracer.graph, tuple(cell.state), new, tuple(vectors), own)


def own_vectors(cell: Cell) -> tuple[str, ...]:
    """The parameters of a cell's own class, and its buffers, that a step may read as vectors.

    Parameters hold one number or one value a unit, buffers one value a unit. Buffers of one number
    are constants, on which a step may branch.
    """
    # A replica for another thread has former parameters instead.
    given: dict[str, Tensor | None] = {**getattr(cell, "_former_parameters", {})}
    given |= {**cell._parameters, **cell._buffers}
    if given.keys() <= cell.rows.keys():
        return ()
    weight, hidden = a_weight(cell), cell.hidden_size
    vector, number = ((hidden,), (1, hidden)), ((), (1,), (1, 1))
    return tuple(
        name
        for name, value in given.items()
        if name not in cell.rows and value is not None and value.dtype == weight.dtype
        if value.shape in (vector if name in cell._buffers else vector + number)
    )


def _with_symbols(tracer: Tracer) -> Cell:
    """A copy of the cell in which a symbol stands for each of `own_vectors`."""
    stand_in = copy.copy(tracer.cell)
    for name in own_vectors(tracer.cell):
        # Python looks into the object's own dictionary before it asks nn.Module.
        vars(stand_in)[name] = OwnVector(tracer, name)
    return stand_in


def _symbols(tracer: Tracer) -> tuple[Any, SimpleNamespace, SimpleNamespace, Any]:
    """The arguments x, R, p and s of a step, made of symbols."""
    cell, graph = tracer.cell, tracer.graph

    def leaf(op: str, name: str) -> Symbol:
        return tracer.symbol(graph.leaf(op, name))

    def input_leaf(name: str) -> Symbol:
        if name in cell.bare:
            return leaf("bare", name)
        if name in cell.rows["W"]:
            return leaf("input", name)
        return leaf("vector", f"x.{name}")  # a gate that has a bias alone

    def product(name: str) -> Callable[[Any], Symbol]:
        def apply(v: Any) -> Symbol:
            if not isinstance(v, Symbol):
                raise tracer.refusal(f"applies R.{name} to a constant")
            return tracer.symbol(graph.product(name, v._number))

        return apply

    fields = cell.Inputs._fields  # type: ignore[attr-defined]
    x = cell.Inputs(**{k: input_leaf(k) for k in fields})
    s = cell.State(*(leaf("state", k) for k in cell.state))
    p = SimpleNamespace(**{k: leaf("vector", f"p.{k}") for k in cell.vectors})
    R = SimpleNamespace(**{k: product(k) for k in cell.rows["R"]})
    return x, R, p, s


def _check_state(tracer: Tracer, name: str, number: int) -> None:
    """Raise Untraceable where the new state `name`, a node, is not one of a recurrence."""
    nodes = [tracer.graph[n] for n in tracer.graph.reachable([number])]
    if not {node.op for node in nodes} & {"input", "bare", "state", "product"}:
        raise tracer.refusal(f"makes the state {name} of nothing that a sequence has")
    if any(math.isnan(node.value) for node in nodes):
        raise tracer.refusal("has a constant that is not a number")
