"""Values and places of a plan as expressions of Triton; what both forms of kernels share."""

from __future__ import annotations

from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.segments import Place, Segment

# How each operation reads in Triton; the functions with `_of` are in triton_functions.py.
TRITON = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "abs": "tl.abs({})",
    "sqrt": "tl.sqrt_rn({})",
    "log": "tl.log({})",
    "sin": "tl.sin({})",
    "cos": "tl.cos({})",
    "exp": "tl.exp({})",
    "tanh": "tanh_of({})",
    "sigmoid": "sigmoid_of({})",
    "relu": "relu_of({})",
    "sign": "sign_of({})",
    "pass": "pass_of({}, {})",
}
ARITHMETIC = ("add", "sub", "mul", "div")


def pointer(plan: Plan, place: Place, column: str = "unit") -> str:
    """Where a place's numbers lie. The kernels name `line` a row of step t in memory of T steps,
    `before` one in memory of T + 1 steps, `place` one in memory of one step, each a column; `unit`
    is a row.
    """
    k = place.slot
    slots = {
        "input": ("gates", len(plan.gates)),
        "gates": ("gates", len(plan.gates)),
        "extra": ("extra", plan.extra),
        "bare": ("bare", len(plan.bare)),
        "dgates": ("dgates", plan.dgates),
        "y": ("y", plan.results),
        "scratch": ("scratch", max(plan.scratch, plan.back_scratch)),
        "back": ("back", len(plan.groups)),
    }
    match place.kind:
        case "before":
            return f"state_{k} + before * H + {column}"
        case "after":
            return f"state_{k} + (before + B) * H + {column}"
        case "adjoint":
            return f"first_{k} + place * H + {column}"
        case "output":
            return f"output + line * H + {column}"
        case kind:
            name, n = slots[kind]
            row = "place" if kind in ("y", "scratch", "back") else "line"
            return f"{name} + ({row} * {n} + {k}) * H + {column}"


class Body:
    """Lines of one kernel. A value that has a name already is neither loaded nor made again."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lines: list[str] = []
        self.known: set[int] = set()
        names = plan.step.names()
        self._called = {n: name for n, name in names.items() if plan.graph[n].args}

    def name(self, n: int) -> str:
        return f"{self._called[n]}_{n}" if n in self._called else f"v{n}"

    def value(self, n: int) -> str:
        """The name of a value; a constant as a whole tile."""
        node = self.plan.graph[n]
        if node.op == "const":
            return f"tl.full((ROWS, UNITS), {_number(node.value)}, tl.float32)"
        return self.name(n)

    def let(self, n: int, text: str) -> None:
        self.known.add(n)
        self.lines.append(f"{self.name(n)} = {text}")

    def load(self, n: int, place: Place) -> None:
        """Read a value from memory."""
        if n in self.known:
            return
        if place.kind == "vector":
            self.let(n, f"vector_{place.slot}")
            return
        text = f"tl.load({pointer(self.plan, place)}, mask=here, other=0.0)"
        if place.kind == "input":
            text += f" + bias_{place.slot}"
        if place == ("adjoint", 0):
            text += f" + tl.load({pointer(self.plan, Place('output', 0))}, mask=here, other=0.0)"
        self.let(n, text)

    def compute(self, work: Segment) -> None:
        """All that a segment makes."""
        graph = self.plan.graph
        for n in work.compute:
            if n in self.known:
                continue
            node = graph[n]
            args = [self.value(a) for a in node.args]
            if node.op in ARITHMETIC and any(graph[a].op != "const" for a in node.args):
                args = [
                    _number(graph[a].value) if graph[a].op == "const" else text
                    for a, text in zip(node.args, args, strict=True)
                ]
            self.let(n, TRITON[node.op].format(*args))

    def store(self, place: Place, text: str) -> None:
        self.lines.append(f"tl.store({pointer(self.plan, place)}, {text}, mask=here)")


def names_of(plan: Plan, kind: str) -> list[str]:
    """The pointers of a kind of which there is one for each state or group."""
    count = len(plan.groups) if kind == "weights" else len(plan.step.states)
    return [f"{kind}_{k}" for k in range(count)]


def whole_run(plan: Plan) -> list[str]:
    """Biases and vectors, which are the same at all steps, as rows."""
    lines = []
    for kind, name, n in (
        ("bias", "biases", len(plan.gates)),
        ("vector", "vectors", len(plan.vectors)),
    ):
        for k in range(n):
            where = f"{name} + (model * {n} + {k}) * H + unit"
            lines.append(f"{kind}_{k} = tl.load({where}, mask=unit < H, other=0.0)")
    return lines


def indented(lines: list[str], depth: int) -> str:
    return "".join(f"{'    ' * depth}{line}\n" for line in lines)


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return f"({value!r})" if value < 0 else repr(value)
