"""A plan printed as C: one function for each direction, with the whole loop over time in it.

Between `schedule` and `build`. Everything that is the same for all cells is in kernel.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from odyssey.recurrence.compiled.schedule import Place, Plan, Product, Segment

# Operations as expressions of C; functions are in kernel.h or the C library.
C = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "abs": "__builtin_fabsf({})",
    "sqrt": "sqrtf({})",
    "log": "logf({})",
    "sin": "sinf({})",
    "cos": "cosf({})",
    "exp": "exp_of({})",
    "tanh": "tanh_of({})",
    "sigmoid": "sigmoid_of({})",
    "relu": "relu_of({})",
    "sign": "sign_of({})",
    "pass": "pass_of({}, {})",
}


def generate(plan: Plan) -> str:
    """The whole C file: kernel.h, then `generate_loops`."""
    header = files(__package__).joinpath("kernel.h").read_text(encoding="utf-8")
    return header + "\n" + generate_loops(plan)


def generate_loops(plan: Plan) -> str:
    """What is particular to the cell: its two loops and their entry points."""
    equations = "\n".join(f"     {line}" for line in str(plan.step).splitlines())
    names = {n: name for n, name in plan.step.names().items() if plan.graph[n].args}
    forward = [_work(plan, work, names, backward=False) for work in plan.forward]
    backward = [_work(plan, work, names, backward=True) for work in plan.backward]
    return f"""/* {plan.name}:

{equations} */

#define GATES {len(plan.gates)}
#define EXTRA {plan.extra}
#define BARE {len(plan.bare)}
#define STATES {len(plan.step.states)}
#define GROUPS {len(plan.groups)}
#define RESULTS {plan.results}
#define SCRATCH {max(plan.scratch, plan.back_scratch)}
#define DGATES {plan.dgates}
#define SUMS {plan.sums}
static const long matrices[GROUPS + 1] = {{{_list(len(g.names) for g in plan.groups)}}};

static void forward_loop(const Slice *slice) {{
    const Run *run = slice->run;
    const long H = run->hidden, B = run->batch, rows = slice->to - slice->from;
    float *results = slice->work, *crossing = results + rows * RESULTS * H;
    for (long t = 0; t < run->steps; t++) {{
        const long at = t * B + slice->from; /* the first row of this step */
{"".join(forward)}    }}
    (void)results, (void)crossing;
}}

static void backward_loop(const Slice *slice) {{
    const Run *run = slice->run;
    const long H = run->hidden, B = run->batch, rows = slice->to - slice->from;
    float *results = slice->work, *crossing = results + rows * GROUPS * H;
    float *sums = slice->sums, *part = sums + SUMS * H; /* over all steps, over a stretch */
    memset(sums, 0, sizeof(float) * 2 * SUMS * H);
    for (long k = 0; k < STATES; k++)
        for (long b = slice->from; b < slice->to; b++) {{
            /* A sequence that ends early comes to its adjoint at its end, below. */
            for (long j = 0; j < H; j++)
                run->first[k][b * H + j] = run->lengths ? 0.0f : run->last[k][b * H + j];
        }}
    for (long t = run->steps - 1; t >= 0; t--) {{
        const long at = t * B + slice->from;
        for (long b = slice->from; run->lengths && b < slice->to; b++)
            if (run->lengths[b] == t + 1)
                for (long k = 0; k < STATES; k++)
                    memcpy(run->first[k] + b * H, run->last[k] + b * H, sizeof(float) * H);
{"".join(backward)}        if (t % STRETCH == 0) add_up(sums, part, SUMS * H);
        if (t && run->truncation && t % run->truncation == 0)
            for (long k = 0; k < STATES; k++)
                memset(run->first[k] + slice->from * H, 0, sizeof(float) * rows * H);
    }}
    for (long b = slice->from; run->lengths && b < slice->to; b++)
        if (!run->lengths[b])
            for (long k = 0; k < STATES; k++)
                memcpy(run->first[k] + b * H, run->last[k] + b * H, sizeof(float) * H);
    (void)results, (void)crossing;
}}

static int start(const Run *run, int backward) {{
    const long H = run->hidden;
    float *packed[GROUPS + 1];
    int failed = 0;
    for (long g = 0; g < GROUPS; g++) {{
        const long n = matrices[g] * H;
        packed[g] = numbers(backward ? panels(H) * NR * n : panels(n) * NR * H);
        if (!packed[g]) failed = 1;
        else if (backward) pack_plain(run->weights[g], n, H, packed[g]);
        else pack_transposed(run->weights[g], n, H, packed[g]);
    }}
    if (!failed && backward)
        failed = run_slices(run, GROUPS + SCRATCH, SUMS, packed, backward_loop);
    else if (!failed)
        failed = run_slices(run, RESULTS + SCRATCH, 0, packed, forward_loop);
    for (long g = 0; g < GROUPS; g++) free(packed[g]);
    return failed;
}}

int forward(const Run *run) {{ return start(run, 0); }}
int backward(const Run *run) {{ return start(run, 1); }}
"""


def _list(values: Iterable[int]) -> str:
    """The initializer of an array, with a zero at its end, since C has no empty arrays."""
    return ", ".join([*map(str, values), "0"])


# Kind of place -> where its row begins, in the loop over the rows b of a slice.
ROWS = {
    "input": "run->gates + row * GATES * H",
    "gates": "run->gates + row * GATES * H",
    "extra": "run->extra + row * EXTRA * H",
    "bare": "run->bare + row * BARE * H",
    "y": "results + b * RESULTS * H",
    "scratch": "crossing + b * SCRATCH * H",
    "back": "results + b * GROUPS * H",
    "dgates": "run->dgates + row * DGATES * H",
    "vector": "run->vectors",
}
# The same for places whose slots are arrays of their own.
STATE_ROWS = {
    "before": "run->states[{}] + row * H",
    "after": "run->states[{}] + (row + B) * H",
    "adjoint": "run->first[{}] + (slice->from + b) * H",
}
READ_ONLY = ("before", "bare", "vector", "y", "back")  # for the code of a segment


def _row(place: Place) -> str:
    """Where the place's row begins, as an expression."""
    if place.kind in STATE_ROWS:
        return STATE_ROWS[place.kind].format(place.slot)
    return ROWS[place.kind]


def _pointer(place: Place) -> str:
    """The name of the pointer to the place's row."""
    if place.kind in STATE_ROWS:
        return f"{place.kind}{place.slot}"
    return "gates" if place.kind == "input" else place.kind


def _element(place: Place) -> str:
    """The value of unit j, as an lvalue."""
    if place.kind in STATE_ROWS or place.slot == 0:
        return f"{_pointer(place)}[j]"
    return f"{_pointer(place)}[{place.slot} * H + j]"


def _work(plan: Plan, work: Segment | Product, names: dict[int, str], *, backward: bool) -> str:
    """The code of one piece of work within the loop over time."""
    if isinstance(work, Segment):
        return _segment(plan, work, names)
    return _product_back(plan, work) if backward else _product(plan, work)


def _product(plan: Plan, work: Product) -> str:
    """A forward product: the operand of all rows times the group's matrices, transposed."""
    group, slot = plan.groups[work.group], work.operand.slot
    operand, stride = {
        "before": (f"run->states[{slot}] + at * H", "H"),
        "after": (f"run->states[{slot}] + (at + B) * H", "H"),
        "gates": (f"run->gates + (at * GATES + {slot}) * H", "GATES * H"),
        "extra": (f"run->extra + (at * EXTRA + {slot}) * H", "EXTRA * H"),
    }[work.operand.kind]
    return f"""        /* R.{group.name} */
        product(rows, {len(group.names)} * H, H, {operand}, {stride},
                slice->packed[{work.group}], results + {work.result.slot} * H, RESULTS * H);
"""


def _product_back(plan: Plan, work: Product) -> str:
    """A backward product: the adjoints of the group's products times its matrices."""
    group = plan.groups[work.group]
    if work.result.kind == "adjoint":
        result, stride = f"run->first[{work.result.slot}] + slice->from * H", "H"
    else:
        result, stride = f"results + {work.result.slot} * H", "GROUPS * H"
    operand = f"run->dgates + (at * DGATES + {work.operand.slot}) * H"
    return f"""        /* R.{group.name} transposed */
        product(rows, H, {len(group.names)} * H, {operand}, DGATES * H,
                slice->packed[{work.group}], {result}, {stride});
"""


def _segment(plan: Plan, work: Segment, names: dict[int, str]) -> str:
    """A segment: a loop over the rows of the slice and, within it, one over units."""
    indent, inner = " " * 12, " " * 16
    pointers = f"\n{indent}".join(_pointers(work))
    beyond = f"\n{inner}".join(_beyond_the_end(work))
    lines = f"\n{inner}".join(_lines(plan, work, names))
    return f"""        for (long b = 0; b < rows; b++) {{
{indent}const long row = at + b;
{indent}{pointers}
{indent}if (run->lengths && t >= run->lengths[slice->from + b]) {{
{inner}{beyond}
{indent}}}
{indent}EACH_UNIT
{indent}for (long j = 0; j < H; j++) {{
{inner}{lines}
{indent}}}
        }}
"""


def _pointers(work: Segment) -> list[str]:
    """Declarations of pointers to the rows that a segment reads and writes."""
    places = dict.fromkeys([p for _, p in work.loads] + [p for p, _ in work.stores])
    pointers = []
    for place in places:
        const = "const " if place.kind in READ_ONLY else ""
        pointers.append(f"{const}float *{_pointer(place)} = {_row(place)};")
    if any(place == ("adjoint", 0) for _, place in work.loads):
        pointers.append("const float *output = run->output + row * H;")
    return list(dict.fromkeys(pointers))  # all slots of a kind have one pointer


def _lines(plan: Plan, work: Segment, names: dict[int, str]) -> list[str]:
    """Statements for one unit: loads, operations, sums, stores."""
    graph = plan.graph

    def value(n: int) -> str:
        node = graph[n]
        if node.op == "const":
            return f"({_number(node.value)})"
        return f"{names[n]}_{n}" if n in names else f"v{n}"

    lines = []
    for n, place in work.loads:
        text = _element(place)
        if place == ("adjoint", 0):
            text += " + output[j]"
        if place.kind == "input":
            text += f" + run->biases[{place.slot} * H + j]"
        lines.append(f"const float {value(n)} = {text};")
    for n in work.compute:
        node = graph[n]
        lines.append(f"const float {value(n)} = {C[node.op].format(*map(value, node.args))};")
    lines += [f"part[{row} * H + j] += {value(n)};" for row, n in work.sums]
    lines += [f"{_element(place)} = {value(n)};" for place, n in work.stores]
    return lines


def _beyond_the_end(work: Segment) -> list[str]:
    """Statements for a row beyond its sequence's end.

    A state stays, and what later products read is zero.
    """
    lines = []
    for place, _ in work.stores:
        if place.kind == "after":
            before = _row(Place("before", place.slot))
            lines.append(f"memcpy({_pointer(place)}, {before}, sizeof(float) * H);")
        elif place.kind in ("gates", "extra", "dgates"):
            lines.append(f"memset({place.kind} + {place.slot} * H, 0, sizeof(float) * H);")
    return [*lines, "continue;"]


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "-INFINITY" if value < 0 else "INFINITY"
    return f"{value!r}f" if "e" in repr(value) or "." in repr(value) else f"{value}.0f"
