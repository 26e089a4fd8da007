"""Stages of the compiled backend: tracing, autodiff, both schedules, and what explain prints."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cell_cases import able
from odyssey.cells import CELLS, Cell
from odyssey.errors import UserError
from odyssey.recurrence import backends, choose
from odyssey.recurrence.compiled.autodiff import differentiate, groups
from odyssey.recurrence.compiled.explain import main
from odyssey.recurrence.compiled.graph import CHEAP
from odyssey.recurrence.compiled.schedule import Product, Segment, backward, forward, make_plan
from odyssey.recurrence.compiled.schedule.segments import SlotNames, levels
from odyssey.recurrence.compiled.tracing import Untraceable, trace
from random_cells import STEPS, odd_cell, random_cell


def test_the_graph_prints_its_equations():
    assert str(trace(CELLS["cifg"](3, 5))).splitlines() == [
        "z = tanh(x.z + R.z(s.h))",
        "i = sigmoid(x.i + R.i(s.h) + (s.c * p.p_i))",
        "c = (z * i) + (s.c * (1 - i))",
        "o = sigmoid(x.o + R.o(s.h) + (p.p_o * c))",
        "h = o * tanh(c)",
    ]


@pytest.mark.parametrize(
    ("name", "merged"),
    [
        ("lstm", ["i+f+z+o"]),
        ("lstm_peephole", ["z+i+f+o"]),
        ("gru", ["r+z", "n"]),
        ("gru_reset_after", ["r+z+n"]),
        ("mut1", ["r", "n"]),
        ("mut3", ["z", "r", "n"]),
        ("fgr", ["z+i+f+o", "i_i+i_f+i_o", "f_i+f_f+f_o", "o_i+o_f+o_o"]),
    ],
)
def test_products_of_one_operand_are_one(name, merged):
    cell = CELLS[name](3, 5)
    assert [g.name for g in groups(trace(cell), cell.rows["R"])] == merged


def test_spellings_of_one_value_are_one_node():
    class Spelled(Cell):
        gates = ("h",)

        def step(self, x, R, p, s):
            a = x.h + R.h(s.h)
            b = torch.add(R.h(s.h), x.h)
            values = [torch.sigmoid(a), b.sigmoid(), F.sigmoid(a), torch.nn.Sigmoid()(b)]
            assert len({v._number for v in values}) == 1
            return (values[0] * torch.tensor(2.0) + 0 - (-values[1]) * 1.0,)

    assert str(trace(_untraced(Spelled))).count("sigmoid") == 1


def _untraced(cls):
    """A cell whose constructor does not run the step, which may suit symbols alone."""
    cell = cls.__new__(cls)
    torch.nn.Module.__init__(cell)
    return cell


def _cell(body):
    class Mine(Cell):
        gates = ("h",)

        def step(self, x, R, p, s):
            return (body(x.h + R.h(s.h), s.h),)

    return Mine


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (lambda a, h: torch.cumsum(a, -1), "calls cumsum, which has no rule"),
        (lambda a, h: a.softmax(-1), "asks for .softmax"),
        (lambda a, h: torch.tanh(a) if (a > 0).all() else a, "compares values"),
        (lambda a, h: a * torch.ones(5), r"tensor \(5,\) that is not declared"),
        (lambda a, h: a - a.mean(-1, keepdim=True), "asks for .mean"),
        (lambda a, h: a**2.5, "whole exponent"),
        (lambda a, h: torch.add(a, h, alpha=2), "alpha=2"),
        (lambda a, h: a[:, :1] + h, "calls getitem"),
        (lambda a, h: torch.relu_(a), "in place"),
        (lambda a, h: torch.cat([a, h], -1)[:, :5], "calls cat, which has no rule"),
        (lambda a, h: {torch.Tensor: a}[type(a)], "what symbols cannot"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(body, says):
    with pytest.raises(Untraceable, match=f"model.backend=compiled cannot run Mine.*{says}") as e:
        trace(_cell(body)(2, 5))
    assert str(e.value).endswith("choose model.backend=auto or reference")
    assert "\n" not in str(e.value)


# -- the schedules -------------------------------------------------------------------------------


def test_what_a_step_keeps_for_the_backward_step():
    """The peephole LSTM keeps its gates in the memory of its projections, and nothing more."""
    plan = make_plan(CELLS["lstm_peephole"](3, 5))
    assert (plan.extra, plan.scratch, plan.back_scratch, plan.dgates) == (0, 0, 0, 4)
    assert len(plan.forward) == len(plan.backward) == 2  # one product and one elementwise body
    assert len(make_plan(CELLS["gru"](3, 5)).forward) == 4


def _stages(name):
    """A cell's step, its derivatives and the names of its slots."""
    cell = CELLS[name](3, 5)
    step = trace(cell)
    gates = cell.rows["W"]
    vectors = tuple(n.name for n in step.graph.nodes if n.op == "vector")
    biased = tuple(k for k in gates if k in cell.rows["b"])
    return step, differentiate(step, cell.rows["R"]), SlotNames(gates, cell.bare, vectors, biased)


def _text(graph, n):
    return graph.equations({n: "v"})[-1].removeprefix("v = ")


def test_which_values_are_stored():
    """Activations, not what is cheap from them, a function of a state, or a state."""
    step, derived, names = _stages("cifg")  # c = z * i + s.c * (1 - i), h = o * tanh(c)
    stored = forward.values_to_store(step, derived, names)
    assert [step.names()[n] for n in stored] == ["z", "i", "o"]
    step, derived, names = _stages("gru")  # its second product reads r * s.h
    stored = forward.values_to_store(step, derived, names)
    operands = [group.operand for group in derived.groups]
    assert [_text(step.graph, n) for n in stored if n in operands] == [
        "s.h * sigmoid(x.r + R.r(s.h))"
    ]


def test_where_stored_values_lie():
    """Each in the slot of its own gate, once that has been read."""
    step, derived, names = _stages("gru")
    stored = forward.values_to_store(step, derived, names)
    level = levels(step.graph, step.graph.reachable([*step.new, *stored]))
    layout = forward.lay_out(step, derived, names, stored, level)
    places = {step.names().get(n): place for n, place in layout.lasting.items()}
    for gate in ("r", "z", "n"):
        assert places[gate] == ("gates", names.gates.index(gate))
    assert places["h"] == ("after", 0)
    assert layout.extra == 1  # the second product's operand, when all slots are taken
    assert layout.operand(derived.groups[0]) == ("before", 0)
    assert layout.operand(derived.groups[1]) == ("extra", 0)


def test_what_a_backward_step_computes_and_when():
    step, derived, names = _stages("gru")
    order = backward.order_nodes(derived, step.states, names)
    # R.n's adjoint is known at once; behind its product are those of r and z.
    assert [order.level[n] for n in order.dgates] == [1 if k == "r" else 0 for k in names.gates]
    assert [names.gates[first] for first in order.first] == ["r", "n"]
    assert order.level[order.states[0]] == 2
    assert len(order.sums) == len(names.biased) == 3
    assert order.results == (*order.dgates, *order.sums, *order.states)


def test_adjoints_of_products_that_are_no_inputs_have_slots_of_their_own():
    step, derived, names = _stages("gru_reset_after")  # R.n(s.h) is multiplied by r
    order = backward.order_nodes(derived, step.states, names)
    assert len(order.dgates) == 6 and order.first == (3,)


def test_where_adjoints_lie():
    step, derived, names = _stages("lstm")
    stored = forward.schedule_forward(step, derived, names).layout
    order = backward.order_nodes(derived, step.states, names)
    layout = backward.lay_out(derived, order, stored)
    # h's old adjoint is the product's result as it stands, c's is elementwise work.
    assert list(layout.products.values()) == [("adjoint", 0)]
    assert [s.place for s in layout.stores if s.place.kind == "adjoint"] == [("adjoint", 1)]
    assert layout.scratch == 0
    work = backward.emit(derived, order, layout)
    assert [type(w) for w in work] == [Segment, Product]
    assert sorted(row for row, _ in work[0].sums) == [0, 1, 2, 3]


CASES = [(name, CELLS[name]) for name in able("compiled")]
CASES += [(name, odd_cell(name)) for name in STEPS]
CASES += [(f"random {seed}", random_cell(seed)) for seed in range(100)]


@pytest.mark.parametrize(("name", "cell"), CASES, ids=[name for name, _ in CASES])
def test_every_place_holds_what_is_loaded_from_it(name, cell):
    """Both steps with nodes in place of numbers: what is stored where, and what is overwritten."""
    plan = make_plan(cell(3, 5))
    leaves = {(node.op, node.name): n for n, node in enumerate(plan.graph.nodes)}
    memory = {}
    for k, gate in enumerate(plan.gates):
        memory["gates", k] = ("input", leaves.get(("input", gate)))
    for kind, op, names in (
        ("bare", "bare", plan.bare),
        ("vector", "vector", plan.vectors),
        ("before", "state", plan.step.states),
    ):
        memory |= {(kind, k): leaves.get((op, name)) for k, name in enumerate(names)}

    computed = []

    def run_segment(work):
        for n, place in work.loads:
            if place.kind == "input":
                assert memory["gates", place.slot] == ("input", n)
            else:
                assert memory[place] == n, place
            # The outputs' adjoint is added to what is loaded from the first one.
            assert place.kind != "adjoint" or plan.graph[n].op == "adjoint"
        known = {n for n, _ in work.loads}
        for n in work.compute:
            for a in plan.graph[n].args:
                assert a in known or plan.graph[a].op == "const"
            known.add(n)
            computed.append(n)
        for n in (n for _, n in work.stores):
            assert n in known or plan.graph[n].op == "const"
        memory.update(work.stores)

    for work in plan.forward:
        if isinstance(work, Segment):
            run_segment(work)
            continue
        group = plan.groups[work.group]
        assert memory[work.operand] == group.operand
        for k, n in enumerate(group.products):
            memory["y", work.result.slot + k] = n
    expensive = [n for n in computed if plan.graph[n].op not in CHEAP]
    assert len(set(expensive)) == len(expensive)  # none is computed twice
    assert [memory["after", k] for k in range(len(plan.step.new))] == list(plan.step.new)
    for group, place in zip(plan.groups, plan.operands, strict=True):  # for the weights' gradient
        assert memory[place] == group.operand

    lasting = ("gates", "extra", "bare", "vector", "before", "after")
    memory = {place: n for place, n in memory.items() if place[0] in lasting}
    for k, state in enumerate(plan.step.states):
        memory["adjoint", k] = leaves["adjoint", state]
    zero = plan.graph.const(0)
    sums = {}
    for work in plan.backward:
        if isinstance(work, Segment):
            run_segment(work)
            assert not sums.keys() & dict(work.sums).keys()
            sums |= dict(work.sums)
            continue
        group = plan.groups[work.group]
        adjoints = tuple(plan.adjoints.get(p, zero) for p in group.products)
        found = (memory["dgates", work.operand.slot + k] for k in range(len(adjoints)))
        assert tuple(found) == adjoints
        memory[work.result] = plan.graph.back(group.name, adjoints)

    def adjoint(op, name):
        return plan.adjoints.get(leaves.get((op, name)), zero)

    for k, state in enumerate(plan.step.states):
        assert memory["adjoint", k] == adjoint("state", state)
    inputs = [*(("input", k) for k in plan.gates), *(("bare", k) for k in plan.bare)]
    assert [memory["dgates", k] for k in range(len(inputs))] == [adjoint(*k) for k in inputs]
    wanted = [*(("vector", k) for k in plan.vectors), *(("input", k) for k in plan.biased)]
    assert sums == {row: adjoint(*k) for row, k in enumerate(wanted) if adjoint(*k) != zero}


# -- what explain prints, and who refuses --------------------------------------------------------


def test_a_cell_may_be_named_as_one_trains_it(capsys):
    assert main(["cell=rnn", "source=none"]) == 0
    first = capsys.readouterr().out
    assert main(["cell._target_=odyssey.cells.Elman", "source=none"]) == 0
    assert capsys.readouterr().out == first


def test_the_command_explains_a_cell(capsys):
    assert main(["cell=mut1", "hidden=10", "batch=1"]) == 0
    out = capsys.readouterr().out
    for text in ("n = tanh(", "dx.z = ", "R.n transposed: dgates[3]", "forward  2 products"):
        assert text in out
    assert "static void backward_loop" in out
    assert main(["cell=mut1", "source=triton"]) == 0
    assert "def backward_loop(" in capsys.readouterr().out
    assert main(["cell=lstm_layernorm"]) == main(["cell=mut9"]) == main(["hiden=3"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 3 and "reference" in err[0]
    assert "did you mean" in err[1] and "hidden" in err[2]


def test_layer_norm_is_for_the_reference():
    cell = CELLS["lstm_layernorm"](2, 3)
    assert backends(cell) == ("reference",)
    assert choose(cell, "auto") == "reference"
    with pytest.raises(UserError, match="LayerNormLSTM.*reference"):
        choose(cell, "compiled")
