"""Reading a step: the equations, how products are merged, and what cannot be read."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from odyssey.cells import CELLS, Cell
from odyssey.errors import UserError
from odyssey.recurrence import backends, choose
from odyssey.recurrence.compiled.autodiff import groups
from odyssey.recurrence.compiled.explain import main
from odyssey.recurrence.compiled.schedule import make_plan
from odyssey.recurrence.compiled.tracing import Untraceable, trace


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


def test_what_a_step_keeps_for_the_backward_step():
    """The peephole LSTM keeps its gates in the memory of its projections, and nothing more."""
    plan = make_plan(CELLS["lstm_peephole"](3, 5))
    assert (plan.extra, plan.scratch, plan.back_scratch, plan.dgates) == (0, 0, 0, 4)
    assert len(plan.forward) == len(plan.backward) == 2  # one product and one elementwise body
    assert len(make_plan(CELLS["gru"](3, 5)).forward) == 4


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
        (lambda a, h: torch.cat([a, h], -1), "calls cat, which has no rule"),
        (lambda a, h: {torch.Tensor: a}[type(a)], "what symbols cannot"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(body, says):
    with pytest.raises(Untraceable, match=f"model.backend=compiled cannot run Mine.*{says}") as e:
        trace(_cell(body)(2, 5))
    assert str(e.value).endswith("choose model.backend=auto or reference")
    assert "\n" not in str(e.value)


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
