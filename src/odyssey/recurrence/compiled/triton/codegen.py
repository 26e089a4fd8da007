"""The plan as Triton: a module with one kernel for each direction, the whole loop in it.

A program takes ROWS sequences of one model through all steps and waits for nobody; it has all
units, so that the operands of its products are its own. Within a step every value is a tile (ROWS,
UNITS) in registers, UNITS being H rounded up to a power of two; states and their adjoints stay in
registers from step to step, and so do the sums of vectors' and biases' gradients, which are added
up over rows once, at the end. What a step reads from memory it asks for first, so that it comes
while the products run.

The weights of a product lie packed (n, UNITS, UNITS), zero beyond H, as `gpu.pack` lays them.
RESIDENT: they are read once, before the loop, and the compiler keeps them in shared memory.
Otherwise each step reads them again, from the second-level cache, in stretches of DEPTH
rows, and the operand with them: that was stored by this very program, and a barrier lies between.

Padded units and rows past the batch hold zero wherever a product could read them: a value made of
nothing (log 0) must not meet a weight of zero.
"""

from __future__ import annotations

from odyssey.recurrence.compiled.schedule import Plan
from odyssey.recurrence.compiled.schedule.segments import Place, Product, Segment

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


def step_kernels(plan: Plan) -> str:
    """`forward_step_0`, …, `backward_step_0`, …: one for each segment, in order."""
    found = []
    for backward, works in ((False, plan.forward), (True, plan.backward)):
        segments = [work for work in works if isinstance(work, Segment)]
        for k, work in enumerate(segments):
            name = f"{'backward' if backward else 'forward'}_step_{k}"
            found.append(_kernel(plan, work, name, backward=backward))
    return "\n".join(found)


def _kernel(plan: Plan, work: Segment, name: str, *, backward: bool) -> str:
    arguments = ["gates", "biases", "extra", "bare", *names_of(plan, "state"), "vectors"]
    arguments += ["lengths", "y", "scratch"]
    if backward:
        arguments += ["output", *names_of(plan, "first"), "dgates", "back", "sums"]
    sizes = ["t", "T", "B", *(f"{k}: tl.constexpr" for k in ("H", "ROWS", "UNITS", "LENGTHS"))]
    body = Body(plan)
    for n, place in work.loads:
        body.load(n, place)
    body.lines.append("tl.debug_barrier()")  # all threads have read what is overwritten below
    body.compute(work)
    for row, n in work.sums:
        body.lines += [
            f"where = sums + (part * {plan.sums} + {row}) * H + units",
            "so_far = tl.load(where, mask=units < H, other=0.0)",
            f"new = tl.sum(tl.where(valid, {body.value(n)}, 0.0), 0)",
            "tl.store(where, so_far + new, mask=units < H)",
        ]
    for place, n in work.stores:
        text = body.value(n)
        if place.kind == "after":  # beyond a sequence's end a state stays
            old = f"tl.load({pointer(plan, Place('before', place.slot))}, mask=here, other=0.0)"
            body.lines += [f"new = {text}", "if LENGTHS:", f"    new = tl.where(valid, new, {old})"]
            text = "new"
        elif place.kind in ("gates", "extra", "dgates"):
            text = f"tl.where(valid, {text}, 0.0)"
        body.store(place, text)
    summing = ["part = model * tl.num_programs(0) + tl.program_id(0)"] if work.sums else []
    return f"""
@triton.jit(do_not_specialize=["t", "T", "B"])
def {name}({", ".join(arguments)}, {", ".join(sizes)}):
    model = tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    units = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    unit = units[None, :]
    here = (rows < B)[:, None] & (unit < H)
    valid = here
    if LENGTHS:
        valid = here & (t < tl.load(lengths + rows, mask=rows < B, other=0))[:, None]
    place = (model * B + rows)[:, None]
    line = ((model * T + t) * B + rows)[:, None]
    before = ((model * (T + 1) + t) * B + rows)[:, None]
{indented([*whole_run(plan), *summing, *body.lines], 1)}"""


def source(plan: Plan) -> str:
    """The whole module: the two loops, then the kernels of one segment each."""
    equations = "\n".join(f"    {line}" for line in str(plan.step).splitlines())
    return f'''"""{plan.name}:

{equations}
"""

import triton
import triton.language as tl

from odyssey.recurrence.compiled.triton.runtime import (
    add_product,
    pass_of,
    relu_of,
    sigmoid_of,
    sign_of,
    tanh_of,
)


{_loop(plan, backward=False)}

{_loop(plan, backward=True)}
{step_kernels(plan)}'''


def _loop(plan: Plan, *, backward: bool) -> str:
    states, weights = names_of(plan, "state"), names_of(plan, "weights")
    arguments = ["gates", "biases", "extra", "bare", *states, "vectors", *weights, "lengths"]
    if backward:
        last, first = names_of(plan, "last"), names_of(plan, "first")
        arguments += ["output", *last, *first, "dgates", "sums"]
    constants = ["H", "ROWS", "UNITS", "DEPTH", "RESIDENT", "LENGTHS", "PRECISION"]
    sizes = ", ".join(["T", "B", "truncation", *(f"{name}: tl.constexpr" for name in constants)])
    step = _Step(plan, backward=backward)
    resident = [
        f"w_{g}_{k} = tl.load(weights_{g} + ((model * {len(group.names)} + {k}) * UNITS + deep)"
        " * UNITS + unit)"
        for g, group in enumerate(plan.groups)
        for k in range(len(group.names))
    ]
    held = ""
    if resident:
        lines = ["deep = tl.arange(0, UNITS)[:, None]", *resident]
        held = f"    if RESIDENT:\n{indented(lines, 2)}"
    name, order = "forward_loop", "for t in range(T):"
    if backward:
        name, order = "backward_loop", "for left in range(T):"
    return f"""
@triton.jit(do_not_specialize=["T", "B", "truncation"])
def {name}({", ".join(arguments)}, {sizes}):
    model = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = (model * B + rows)[:, None]
    unit = tl.arange(0, UNITS)[None, :]
    here = (rows < B)[:, None] & (unit < H)
    valid = here
    if LENGTHS:
        length = tl.load(lengths + rows, mask=rows < B, other=0)[:, None]
{indented(whole_run(plan), 1)}{held}{indented(step.start(), 1)}    {order}
{indented(step.lines, 2)}{indented(step.end(), 1)}"""


class _Step(Body):
    """The body of the loop over time, one direction."""

    def __init__(self, plan: Plan, *, backward: bool) -> None:
        super().__init__(plan)
        self.backward = backward
        self.states = range(len(plan.step.states))
        self.stored: dict[Place, str] = {}  # what lies there, by name
        if backward:
            self.lines += ["t = T - 1 - left"]
        self.lines += [
            "line = ((model * T + t) * B + rows)[:, None]",
            "before = ((model * (T + 1) + t) * B + rows)[:, None]",
            "if LENGTHS:",
            "    valid = here & (t < length)",
        ]
        if backward:
            for k in self.states:
                self.lines += [
                    f"    adjoint_{k} = tl.where(length == t + 1, given_{k}, adjoint_{k})"
                ]
        work = plan.backward if backward else plan.forward
        for each in work:
            self._loads(each)
        if not backward:  # all threads have read the slots that are overwritten in this step
            self.lines.append("tl.debug_barrier()")
        for each in work:
            if isinstance(each, Segment):
                self._segment(each)
            else:
                self._product(each)
        if backward:
            self.lines.append("cut = (t > 0) & (t % truncation == 0)")
            for k in self.states:
                self.lines.append(f"adjoint_{k} = tl.where(cut, 0.0, next_{k})")
        else:
            for k in self.states:
                self.lines.append(f"now_{k} = {self.stored[Place('after', k)]}")

    def start(self) -> list[str]:
        """Before the loop: what goes from step to step."""
        lines = []
        for k in self.states:
            if not self.backward:
                where = f"state_{k} + ((model * (T + 1)) * B + rows)[:, None] * H + unit"
                lines.append(f"now_{k} = tl.load({where}, mask=here, other=0.0)")
                continue
            lines.append(f"given_{k} = tl.load(last_{k} + place * H + unit, mask=here, other=0.0)")
            # A sequence that ends early comes to its adjoint at its end.
            lines.append(f"adjoint_{k} = given_{k}")
            lines += ["if LENGTHS:", f"    adjoint_{k} = tl.zeros((ROWS, UNITS), tl.float32)"]
        if self.backward:
            for row in range(self.plan.sums):
                lines.append(f"sum_{row} = tl.zeros((ROWS, UNITS), tl.float32)")
        return lines

    def end(self) -> list[str]:
        """After the loop: the initial states' adjoints and the sums."""
        if not self.backward:
            return []
        lines = ["if LENGTHS:"]
        for k in self.states:
            lines.append(f"    adjoint_{k} = tl.where(length == 0, given_{k}, adjoint_{k})")
        for k in self.states:
            lines.append(f"tl.store(first_{k} + place * H + unit, adjoint_{k}, mask=here)")
        n = self.plan.sums
        if n:
            lines.append("part = model * tl.num_programs(0) + tl.program_id(0)")
            lines.append("units = tl.arange(0, UNITS)")
        for row in range(n):
            where = f"sums + (part * {n} + {row}) * H + units"
            lines.append(f"tl.store({where}, tl.sum(sum_{row}, 0), mask=units < H)")
        return lines

    def _loads(self, work: Segment | Product) -> None:
        """Ask for all that lies in memory when the step begins."""
        if isinstance(work, Product):
            return
        for n, place in work.loads:
            own = ("gates", "extra") if self.backward else ()
            if place.kind in ("input", "bare", "vector", *own):
                self.load(n, place)
            elif place.kind == "before":
                if self.backward:
                    self.load(n, place)
                elif n not in self.known:
                    self.let(n, f"now_{place.slot}")
            elif place.kind == "after" and self.backward:
                self.load(n, place)
            elif place.kind == "adjoint" and n not in self.known:
                text = f"adjoint_{place.slot}"
                if place.slot == 0:
                    output = pointer(self.plan, Place("output", 0))
                    text += f" + tl.load({output}, mask=here, other=0.0)"
                self.let(n, text)

    def _segment(self, work: Segment) -> None:
        self.compute(work)
        for row, n in work.sums:
            self.lines.append(f"sum_{row} += tl.where(valid, {self.value(n)}, 0.0)")
        for place, n in work.stores:
            if place.kind == "scratch":
                continue  # it is in a register
            if place.kind == "adjoint":
                self.lines.append(f"next_{place.slot} = tl.where(here, {self.value(n)}, 0.0)")
                continue
            name = f"{place.kind}_{place.slot}_new"
            old = f"now_{place.slot}" if place.kind == "after" else "0.0"
            self.lines.append(f"{name} = tl.where(valid, {self.value(n)}, {old})")
            self.store(place, name)
            self.stored[place] = name

    def _product(self, work: Product) -> None:
        """One operand times n matrices, or n operands times one matrix each, added up."""
        group = self.plan.groups[work.group]
        g, n = work.group, len(group.names)
        if self.backward:
            places = [Place("dgates", work.operand.slot + k) for k in range(n)]
            results = [f"back_{g}"] * n
        else:
            places = [work.operand]
            results = [self.name(p) for p in group.products]
        operands = [self._operand(place) for place in places]
        held = []
        again = [
            "tl.debug_barrier()",
            "for begin in range(0, H if H > DEPTH else UNITS, DEPTH):",
            "    ahead = begin + tl.arange(0, DEPTH)[None, :]",
            "    down = begin + tl.arange(0, DEPTH)[:, None]",
            "    near = (rows < B)[:, None] & (ahead < H)",
        ]
        for k, place in enumerate(places):
            where = pointer(self.plan, place, "ahead")
            again.append(f"    a_{k} = tl.load({where}, mask=near, other=0.0)")
        for k, to in enumerate(results):
            a = k if self.backward else 0
            held.append(f"{to} = add_product({to}, {operands[a]}, w_{g}_{k}, PRECISION)")
            where = f"weights_{g} + ((model * {n} + {k}) * UNITS + down) * UNITS + unit"
            again.append(f"    w = tl.load({where})")
            again.append(f"    {to} = add_product({to}, a_{a}, w, PRECISION)")
        for to in dict.fromkeys(results):
            self.lines.append(f"{to} = tl.zeros((ROWS, UNITS), tl.float32)")
        self.lines += ["if RESIDENT:", *(f"    {line}" for line in held)]
        self.lines += ["else:", *(f"    {line}" for line in again)]
        if not self.backward:
            self.known.update(group.products)
            return
        # The result is the adjoint of the group's operand, and may be a state's as it stands.
        for n in self._back_nodes(group.name):
            self.let(n, f"back_{g}")
        if work.result.kind == "adjoint":
            self.lines.append(f"next_{work.result.slot} = tl.where(here, back_{g}, 0.0)")

    def _operand(self, place: Place) -> str:
        """A product's operand by name: stored in this step, or a state before it."""
        if place in self.stored:
            return self.stored[place]
        return f"now_{place.slot}"

    def _back_nodes(self, name: str) -> list[int]:
        nodes = self.plan.graph.nodes
        return [n for n, node in enumerate(nodes) if node.op == "back" and node.name == name]
