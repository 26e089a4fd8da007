"""`python scripts/explain.py cell=mut1`: what is derived from a cell, stage by stage, as text."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from odyssey.cells import CELLS
from odyssey.cells.cell import Cell
from odyssey.cli_utils import print_error, see_current_folder, show, typed_as
from odyssey.errors import UserError, did_you_mean, options
from odyssey.recurrence.compiled.c import codegen as c_codegen
from odyssey.recurrence.compiled.schedule import Plan, Product, Segment, make_plan
from odyssey.recurrence.compiled.triton import codegen as triton_codegen

HELP = """{} cell=NAME [hidden=128] [input=64] [batch=32] [source=c]

Prints what model.backend=compiled derives from a cell: its equations, those of the backward step,
the order of both, products, bytes and operations for each step, and the generated source:
source=c, triton or none. A cell of your own is cell=my_cells.MyCell."""

DEFAULTS = {"hidden": "128", "input": "64", "batch": "32", "source": "c"}

SOURCES = {  # name -> title, function of a plan
    "c": ("C, after kernel.h", c_codegen.generate_loops),
    "triton": ("Triton", triton_codegen.generate),
    "none": None,
}

# Places in tensors of all steps; the others are reused at each step and stay in the cache.
TENSORS_OF_ALL_STEPS = ("input", "gates", "extra", "bare", "before", "after", "dgates")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 2 for wrong input and for a cell that cannot be compiled."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        show(HELP.format(typed_as("explain")))
        return 0
    try:
        given = DEFAULTS | _settings(arguments)
        sizes = [int(given[k]) for k in ("input", "hidden", "batch") if given[k].isdecimal()]
        if len(sizes) < 3 or 0 in sizes:
            raise UserError("hidden, input and batch must be whole numbers of 1 or more")
        if given["source"] not in SOURCES:
            raise UserError(f"source={given['source']} is not one of {options(SOURCES)}")
        show(
            explain(_cell(given["cell"], sizes[0], sizes[1]), sizes[2], given["source"]),
            colours=False,
        )
    except UserError as error:
        for message in error.messages:
            print_error(message)
        return 2
    return 0


def _settings(arguments: list[str]) -> dict[str, str]:
    """The values of `key=value` arguments by key."""
    found = {}
    names = ("cell", "hidden", "input", "batch", "source")
    for argument in arguments:
        key, _, value = argument.partition("=")
        key = "cell" if key == "cell._target_" else key  # as one types it to train
        if key not in names or not value:
            raise UserError(
                f"{argument} is not understood{did_you_mean(key, names)}; "
                f"type one of {', '.join(f'{k}=…' for k in names)}"
            )
        found[key] = value
    if "cell" not in found:
        raise UserError("type which cell, as in cell=lstm")
    return found


def _class(name: str) -> type[Cell]:
    """The class of a registered cell, or of a user's own, as my_cells.MyCell."""
    if name in CELLS:
        return CELLS[name]
    see_current_folder()
    module, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), last) if module else None
    except Exception as error:  # a user's file may raise anything when it is imported
        raise UserError(f"cell={name} cannot be read: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise UserError(f"cell={name} is unknown{did_you_mean(name, CELLS)}")
    return found


def _cell(name: str, inputs: int, hidden: int) -> Cell:
    cell_class = _class(name)
    try:
        return cell_class(inputs, hidden)
    except Exception as error:  # a user's cell may raise anything
        raise UserError(f"cell={name} cannot be made: {error}") from error


def explain(cell: Cell, batch: int, source: str = "c") -> str:
    """All stages as text; `source` is one of SOURCES. Raises Untraceable where there are none."""
    plan = make_plan(cell)
    parts = [
        ("Equations", "\n".join(plan.graph.equations(plan.step.names()))),
        ("Backward equations", _backward_equations(plan)),
        ("Order of a forward step", _order(plan, plan.forward, backward=False)),
        ("Order of a backward step", _order(plan, plan.backward, backward=True)),
        (f"Each step, batch {batch}, {cell.hidden_size} units", _costs(plan, cell, batch)),
    ]
    printer = SOURCES[source]
    if printer is not None:
        parts.append((printer[0], printer[1](plan).rstrip()))
    return "\n\n".join(f"{title}\n{'-' * len(title)}\n{text}" for title, text in parts)


def _backward_equations(plan: Plan) -> str:
    """The equations of the backward step; da is the adjoint of a.

    dh, dc … are those of the new states, which are given, ds.h, ds.c … those of the old states.
    """
    names = plan.step.names()
    named = dict(names)
    for number, value in plan.adjoints.items():
        node = plan.graph[number]
        if node.op in ("input", "bare", "vector", "state"):
            prefix = {"input": "x.", "bare": "x.", "state": "s.", "vector": ""}[node.op]
            named.setdefault(value, f"d{prefix}{node.name}")
    lines = plan.graph.equations(named)
    forward = {line.split(" = ")[0] for line in plan.graph.equations(names)}
    return "\n".join(line for line in lines if line.split(" = ")[0] not in forward)


def _order(plan: Plan, works: Sequence[Segment | Product], *, backward: bool) -> str:
    """A line for each piece of work."""
    lines = []
    for work in works:
        if isinstance(work, Product):
            name = plan.groups[work.group].name
            matrix = f"R.{name} transposed" if backward else f"R.{name}"
            lines.append(f"product      {matrix}: {_place(work.operand)} -> {_place(work.result)}")
        else:
            stores = ", ".join(_place(p) for p, _ in work.stores)
            lines.append(f"elementwise  {len(work.compute)} operations -> {stores}")
            if work.sums:
                names = (*plan.vectors, *(f"b.{k}" for k in plan.biased))
                lines.append(f"             sums for {', '.join(names[i] for i, _ in work.sums)}")
    return "\n".join(lines)


def _place(place: tuple[str, int]) -> str:
    return f"{place[0]}[{place[1]}]"


def _costs(plan: Plan, cell: Cell, batch: int) -> str:
    """Operations and bytes of one step, forward and backward."""
    hidden, lines = cell.hidden_size, []
    matrices = sum(len(g.names) for g in plan.groups)
    for name, works in (("forward", plan.forward), ("backward", plan.backward)):
        segments = [w for w in works if isinstance(w, Segment)]
        products = len(works) - len(segments)
        moved = sum(p.kind in TENSORS_OF_ALL_STEPS for s in segments for _, p in s.loads)
        moved += sum(p.kind in TENSORS_OF_ALL_STEPS for s in segments for p, _ in s.stores)
        moved += name == "backward"  # the adjoint of the outputs
        work = sum(len(s.compute) + len(s.sums) for s in segments)
        lines.append(
            f"{name:<9}{products} product{'s' if products != 1 else ' '} "
            f"{2 * matrices * batch * hidden**2 / 1e6:8.2f} MFLOP, "
            f"{work:3} elementwise operations a unit {work * batch * hidden / 1e6:6.2f} MFLOP, "
            f"{4 * moved * batch * hidden / 1e3:8.1f} kB of memory"
        )
    inputs = len(plan.gates) + (len(plan.bare) if cell.P is not None else 0)
    project = 2 * inputs * batch * cell.input_size * hidden / 1e6
    lines.append(f"before the loop, all steps at once: {project:.2f} MFLOP a step for W x")
    after = 2 * project + 2 * matrices * batch * hidden**2 / 1e6
    lines.append(f"after it: {after:.2f} MFLOP a step for the gradients of W, R and x")
    lines.append(f"weights R {4 * matrices * hidden**2 / 1e3:.1f} kB, read at each step")
    return "\n".join(lines)
