"""The plan's segments as Triton kernels of one step each, for cells too large for one program.

A program has ROWS sequences and UNITS units of one model; every value that another segment or the
next step needs goes through memory, as `segments` lays it out. The products between are torch's.
"""

from __future__ import annotations

from odyssey.recurrence.compiled.plan import Plan
from odyssey.recurrence.compiled.segments import Place, Segment
from odyssey.recurrence.compiled.triton_values import (
    Body,
    indented,
    names_of,
    pointer,
    whole_run,
)


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
