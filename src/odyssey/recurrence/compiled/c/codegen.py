"""The plan as C: one function for each direction, the whole loop over time in it."""

from __future__ import annotations

from importlib.resources import files

from odyssey.recurrence.compiled.schedule import Plan
from odyssey.recurrence.compiled.schedule.segments import Place, Product, Segment

# How each operation reads in C; the functions are in kernel.h or the C library.
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


def source(plan: Plan) -> str:
    """The whole C file: kernel.h and what is particular to the cell."""
    return header() + "\n" + body(plan)


def header() -> str:
    return files(__package__).joinpath("kernel.h").read_text(encoding="utf-8")


def body(plan: Plan) -> str:
    """What is generated: the two loops of this cell and their entry points."""
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


def _list(values: object) -> str:
    return ", ".join([*map(str, values), "0"])  # type: ignore[call-overload]


# Kind of place -> where its row begins, in the loop over rows b of the slice.
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
STATE_ROWS = {
    "before": "run->states[{}] + row * H",
    "after": "run->states[{}] + (row + B) * H",
    "adjoint": "run->first[{}] + (slice->from + b) * H",
}


def _pointer(place: Place) -> str:
    if place.kind in STATE_ROWS:
        return f"{place.kind}{place.slot}"
    return "gates" if place.kind == "input" else place.kind


def _unit(place: Place) -> str:
    """The number of unit j."""
    if place.kind in STATE_ROWS or place.slot == 0:
        return f"{_pointer(place)}[j]"
    return f"{_pointer(place)}[{place.slot} * H + j]"


def _work(plan: Plan, work: Segment | Product, names: dict[int, str], *, backward: bool) -> str:
    if isinstance(work, Product):
        return _product(plan, work, backward=backward)
    return _segment(plan, work, names, backward=backward)


def _product(plan: Plan, work: Product, *, backward: bool) -> str:
    group = plan.groups[work.group]
    n = len(group.names)
    if backward:
        to, apart = f"results + {work.result.slot} * H", "GROUPS * H"
        if work.result.kind == "adjoint":
            to, apart = f"run->first[{work.result.slot}] + slice->from * H", "H"
        operand, between = f"run->dgates + (at * DGATES + {work.operand.slot}) * H", "DGATES * H"
        sizes, text = f"rows, H, {n} * H", f"R.{group.name} transposed"
    else:
        to, apart = f"results + {work.result.slot} * H", "RESULTS * H"
        slot, kind = work.operand.slot, work.operand.kind
        operand, between = {
            "before": (f"run->states[{slot}] + at * H", "H"),
            "after": (f"run->states[{slot}] + (at + B) * H", "H"),
            "gates": (f"run->gates + (at * GATES + {slot}) * H", "GATES * H"),
            "extra": (f"run->extra + (at * EXTRA + {slot}) * H", "EXTRA * H"),
        }[kind]
        sizes, text = f"rows, {n} * H, H", f"R.{group.name}"
    return f"""        /* {text} */
        product({sizes}, {operand}, {between},
                slice->packed[{work.group}], {to}, {apart});
"""


def _segment(plan: Plan, work: Segment, names: dict[int, str], *, backward: bool) -> str:
    graph = plan.graph
    last_kind = "dgates" if backward else "after"

    def value(n: int) -> str:
        node = graph[n]
        if node.op == "const":
            return f"({_number(node.value)})"
        return f"{names[n]}_{n}" if n in names else f"v{n}"

    places = [p for _, p in work.loads] + [p for p, _ in work.stores]
    pointers = []
    for place in dict.fromkeys(places):
        if place.kind in STATE_ROWS:
            row = STATE_ROWS[place.kind].format(place.slot)
        else:
            row = ROWS[place.kind]
        written = place.kind not in ("before", "bare", "vector", "y", "back")
        const = "" if written else "const "
        line = f"{const}float *{_pointer(place)} = {row};"
        if line not in pointers:
            pointers.append(line)
    lines = []
    for n, place in work.loads:
        text = _unit(place)
        if place == ("adjoint", 0):
            text += " + output[j]"
            pointers.append("const float *output = run->output + row * H;")
        if place.kind == "input":
            text += f" + run->biases[{place.slot} * H + j]"
        lines.append(f"const float {value(n)} = {text};")
    for n in work.compute:
        node = graph[n]
        lines.append(f"const float {value(n)} = {C[node.op].format(*map(value, node.args))};")
    lines += [f"part[{row} * H + j] += {value(n)};" for row, n in work.sums]
    lines += [f"{_unit(place)} = {value(n)};" for place, n in work.stores]

    # Beyond a sequence's end a state stays, and what later products read is zero.
    beyond = []
    for place, _ in work.stores:
        if place.kind == "after":
            before = f"run->states[{place.slot}] + row * H"
            beyond.append(f"memcpy({_pointer(place)}, {before}, sizeof(float) * H);")
        elif place.kind in (last_kind, "gates", "extra"):
            zeroed = f"{place.kind} + {place.slot} * H"
            beyond.append(f"memset({zeroed}, 0, sizeof(float) * H);")
    deep, inner = " " * 12, " " * 16
    return f"""        for (long b = 0; b < rows; b++) {{
{deep}const long row = at + b;
{deep}{f"{chr(10)}{deep}".join(pointers)}
{deep}if (run->lengths && t >= run->lengths[slice->from + b]) {{
{inner}{f"{chr(10)}{inner}".join([*beyond, "continue;"])}
{deep}}}
{deep}EACH_UNIT
{deep}for (long j = 0; j < H; j++) {{
{inner}{f"{chr(10)}{inner}".join(lines)}
{deep}}}
        }}
"""


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "-INFINITY" if value < 0 else "INFINITY"
    return f"{value!r}f" if "e" in repr(value) or "." in repr(value) else f"{value}.0f"
