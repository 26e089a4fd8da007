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

from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.segments import Place, Product, Segment
from odyssey.recurrence.compiled.triton_steps import step_kernels
from odyssey.recurrence.compiled.triton_values import (
    Body,
    indented,
    names_of,
    pointer,
    whole_run,
)


def source(plan: Plan) -> str:
    """The whole module: the two loops, then the kernels of one segment each."""
    equations = "\n".join(f"    {line}" for line in str(plan.step).splitlines())
    return f'''"""{plan.name}:

{equations}
"""

import triton
import triton.language as tl

from odyssey.recurrence.compiled.triton_functions import (
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
