"""A plan printed as Triton: a module with the kernels of both forms that `engine` chooses from.

Persistent form, `forward_loop` and `backward_loop`: one kernel a direction with the whole loop over
time in it. A program takes ROWS sequences of one model through all steps and synchronizes with no
other; it has all units, so that the operands of its products are its own. Within a step every value
is a tile (ROWS, UNITS) in registers, UNITS being H rounded up to a power of two. States and their
adjoints stay in registers from step to step, and so do the sums of vectors' and biases' gradients,
which are reduced over rows once, at the end. All loads of a step are issued at its begin, so that
they overlap with the products.

The weights of a product are packed as (n, UNITS, UNITS), zero beyond H, by `engine.pack`. With
RESIDENT they are loaded once, before the loop, and the compiler keeps them in shared memory.
Otherwise each step loads them again, from the second-level cache, DEPTH rows at a time, and the
operand with them: this very program has stored it, and a barrier lies between.

Padded units and rows beyond the batch hold zero wherever a product could read them, since what is
computed from zeros there (log 0) must not be multiplied by a weight of zero.

Step form, `forward_step_0` and so on: one kernel for each segment, for cells that are too large for
one program. A program has ROWS sequences and UNITS units of one model; values that another segment
or step needs go through memory, as `schedule` lays it out. The products between are torch's.
"""

from __future__ import annotations

from odyssey.recurrence.compiled.schedule import Place, Plan, Product, Segment

# Operations as expressions of Triton; the functions with `_of` are in runtime.py.
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
    """The addresses of a place's numbers, as a tile (ROWS, columns).

    The kernels hold the indices of their rows as columns: `line` in memory of T steps, `before` in
    memory of T + 1 steps, `place` in memory of one step. `unit` is the row of the units' indices.
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
    """The lines of one kernel. A value is loaded or computed once, then known by its name."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lines: list[str] = []
        self.known: set[int] = set()
        names = plan.step.names()
        self._called = {n: name for n, name in names.items() if plan.graph[n].args}

    def name(self, n: int) -> str:
        """The variable of a node."""
        return f"{self._called[n]}_{n}" if n in self._called else f"v{n}"

    def value(self, n: int) -> str:
        """The variable of a node; a constant as a whole tile."""
        node = self.plan.graph[n]
        if node.op == "const":
            return f"tl.full((ROWS, UNITS), {_number(node.value)}, tl.float32)"
        return self.name(n)

    def let(self, n: int, text: str) -> None:
        """Assign the expression `text` to the variable of node n."""
        self.known.add(n)
        self.lines.append(f"{self.name(n)} = {text}")

    def load(self, n: int, place: Place) -> None:
        """Load a node from memory, unless it is known."""
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
        """Compute the nodes of a segment that are not known."""
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
        """Store the expression `text`."""
        self.lines.append(f"tl.store({pointer(self.plan, place)}, {text}, mask=here)")


def names_of(plan: Plan, kind: str) -> list[str]:
    """The parameters of a kind of pointer of which there is one for each state or group."""
    count = len(plan.groups) if kind == "weights" else len(plan.step.states)
    return [f"{kind}_{k}" for k in range(count)]


def load_constants(plan: Plan) -> list[str]:
    """Lines that load biases and vectors, which are the same at all steps, as rows."""
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


# -- persistent form -----------------------------------------------------------------------------


def _loop(plan: Plan, *, backward: bool) -> str:
    """The persistent kernel of one direction."""
    states, weights = names_of(plan, "state"), names_of(plan, "weights")
    arguments = ["gates", "biases", "extra", "bare", *states, "vectors", *weights, "lengths"]
    if backward:
        last, first = names_of(plan, "last"), names_of(plan, "first")
        arguments += ["output", *last, *first, "dgates", "sums"]
    constants = ["H", "ROWS", "UNITS", "DEPTH", "RESIDENT", "LENGTHS", "PRECISION"]
    sizes = ", ".join(["T", "B", "truncation", *(f"{name}: tl.constexpr" for name in constants)])
    body = _LoopBody(plan, backward=backward)
    resident = [
        f"w_{g}_{k} = tl.load(weights_{g} + ((model * {len(group.names)} + {k}) * UNITS + deep)"
        " * UNITS + unit)"
        for g, group in enumerate(plan.groups)
        for k in range(len(group.names))
    ]
    load_weights = ""
    if resident:
        lines = ["deep = tl.arange(0, UNITS)[:, None]", *resident]
        load_weights = f"    if RESIDENT:\n{indented(lines, 2)}"
    name, header = "forward_loop", "for t in range(T):"
    if backward:
        name, header = "backward_loop", "for left in range(T):"
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
{indented(load_constants(plan), 1)}{load_weights}{indented(body.before_loop(), 1)}    {header}
{indented(body.lines, 2)}{indented(body.after_loop(), 1)}"""


class _LoopBody(Body):
    """The body of the loop over time of a persistent kernel."""

    def __init__(self, plan: Plan, *, backward: bool) -> None:
        super().__init__(plan)
        self.backward = backward
        self.states = range(len(plan.step.states))
        self.stored: dict[Place, str] = {}  # place -> the variable stored there in this step
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
            if isinstance(each, Segment):
                self._loads(each)
        if not backward:  # so that all have loaded what is overwritten in this step
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

    def before_loop(self) -> list[str]:
        """Lines before the loop: what is carried from step to step."""
        lines = []
        for k in self.states:
            if not self.backward:
                where = f"state_{k} + ((model * (T + 1)) * B + rows)[:, None] * H + unit"
                lines.append(f"now_{k} = tl.load({where}, mask=here, other=0.0)")
                continue
            lines.append(f"given_{k} = tl.load(last_{k} + place * H + unit, mask=here, other=0.0)")
            # A sequence that ends early takes up its adjoint at its end.
            lines.append(f"adjoint_{k} = given_{k}")
            lines += ["if LENGTHS:", f"    adjoint_{k} = tl.zeros((ROWS, UNITS), tl.float32)"]
        if self.backward:
            for row in range(self.plan.sums):
                lines.append(f"sum_{row} = tl.zeros((ROWS, UNITS), tl.float32)")
        return lines

    def after_loop(self) -> list[str]:
        """Lines after the loop: the initial states' adjoints and the sums."""
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

    def _loads(self, work: Segment) -> None:
        """Load what lies in memory, or is carried, when the step begins."""
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
        """Compute a segment, add to the sums, store."""
        self.compute(work)
        for row, n in work.sums:
            self.lines.append(f"sum_{row} += tl.where(valid, {self.value(n)}, 0.0)")
        for place, n in work.stores:
            if place.kind == "scratch":
                continue  # the value is in a register
            if place.kind == "adjoint":
                self.lines.append(f"next_{place.slot} = tl.where(here, {self.value(n)}, 0.0)")
                continue
            name = f"{place.kind}_{place.slot}_new"
            old = f"now_{place.slot}" if place.kind == "after" else "0.0"
            self.lines.append(f"{name} = tl.where(valid, {self.value(n)}, {old})")
            self.store(place, name)
            self.stored[place] = name

    def _product(self, work: Product) -> None:
        """One operand times n matrices; backward, the sum of n operands times one matrix each."""
        group = self.plan.groups[work.group]
        g, n = work.group, len(group.names)
        if self.backward:
            places = [Place("dgates", work.operand.slot + k) for k in range(n)]
            results = [f"back_{g}"] * n
        else:
            places = [work.operand]
            results = [self.name(p) for p in group.products]
        operands = [self._operand(place) for place in places]
        resident = []
        streamed = [
            "tl.debug_barrier()",
            "for begin in range(0, H if H > DEPTH else UNITS, DEPTH):",
            "    ahead = begin + tl.arange(0, DEPTH)[None, :]",
            "    down = begin + tl.arange(0, DEPTH)[:, None]",
            "    near = (rows < B)[:, None] & (ahead < H)",
        ]
        for k, place in enumerate(places):
            where = pointer(self.plan, place, "ahead")
            streamed.append(f"    a_{k} = tl.load({where}, mask=near, other=0.0)")
        for k, to in enumerate(results):
            a = k if self.backward else 0
            resident.append(f"{to} = add_product({to}, {operands[a]}, w_{g}_{k}, PRECISION)")
            where = f"weights_{g} + ((model * {n} + {k}) * UNITS + down) * UNITS + unit"
            streamed.append(f"    w = tl.load({where})")
            streamed.append(f"    {to} = add_product({to}, a_{a}, w, PRECISION)")
        for to in dict.fromkeys(results):
            self.lines.append(f"{to} = tl.zeros((ROWS, UNITS), tl.float32)")
        self.lines += ["if RESIDENT:", *(f"    {line}" for line in resident)]
        self.lines += ["else:", *(f"    {line}" for line in streamed)]
        if not self.backward:
            self.known.update(group.products)
            return
        # The result is the adjoint of the group's operand, which may be a state's whole adjoint.
        for n in self._back_nodes(group.name):
            self.let(n, f"back_{g}")
        if work.result.kind == "adjoint":
            self.lines.append(f"next_{work.result.slot} = tl.where(here, back_{g}, 0.0)")

    def _operand(self, place: Place) -> str:
        """The variable of a product's operand: stored in this step, or a state before it."""
        if place in self.stored:
            return self.stored[place]
        return f"now_{place.slot}"

    def _back_nodes(self, name: str) -> list[int]:
        """The nodes of the transposed products of the group `name`."""
        nodes = self.plan.graph.nodes
        return [n for n, node in enumerate(nodes) if node.op == "back" and node.name == name]


# -- step form -----------------------------------------------------------------------------------


def _step_kernels(plan: Plan) -> str:
    """`forward_step_0`, …, `backward_step_0`, …: one for each segment, in order."""
    kernels = []
    for backward, works in ((False, plan.forward), (True, plan.backward)):
        segments = [work for work in works if isinstance(work, Segment)]
        for k, work in enumerate(segments):
            name = f"{'backward' if backward else 'forward'}_step_{k}"
            kernels.append(_step_kernel(plan, work, name, backward=backward))
    return "\n".join(kernels)


def _step_kernel(plan: Plan, work: Segment, name: str, *, backward: bool) -> str:
    """The kernel of one segment of one step."""
    arguments = ["gates", "biases", "extra", "bare", *names_of(plan, "state"), "vectors"]
    arguments += ["lengths", "y", "scratch"]
    if backward:
        arguments += ["output", *names_of(plan, "first"), "dgates", "back", "sums"]
    sizes = ["t", "T", "B", *(f"{k}: tl.constexpr" for k in ("H", "ROWS", "UNITS", "LENGTHS"))]
    body = Body(plan)
    for n, place in work.loads:
        body.load(n, place)
    body.lines.append("tl.debug_barrier()")  # so that all have loaded what is overwritten below
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
{indented([*load_constants(plan), *summing, *body.lines], 1)}"""


# -- the module ----------------------------------------------------------------------------------


def generate(plan: Plan) -> str:
    """The whole module: the two loops, then the kernels of single segments."""
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
{_step_kernels(plan)}'''
