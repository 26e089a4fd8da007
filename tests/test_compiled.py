"""The compiled backend: numbers equal those of the plain loop, for every cell and random ones."""

from __future__ import annotations

import copy
import random
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn, sigmoid, tanh

import random_kit
from cell_cases import CELLS, able, assert_same, inputs, leaves, make, normal, results
from odyssey.cells import Cell
from odyssey.errors import UserError
from odyssey.recurrence import compiled, run
from odyssey.recurrence.compiled import dispatch
from random_cells import STEPS, odd_cell, random_cell, randomise

CASES = [  # X, H, T, B, lengths, truncation
    (3, 3, 7, 4, [3, 7, 1, 5], None),
    (1, 1, 1, 1, None, None),
    (2, 7, 3, 2, None, 2),
    (7, 2, 7, 3, [7, 2, 6], 3),
    (3, 33, 4, 7, None, None),
]
LARGER = [(100, 129, 3, 7, [3, 1, 2, 3, 3, 3, 2], 2), (3, 257, 2, 1, None, None)]
TYPES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def check(cell, case, dtype, tolerance, reverse=False):
    _, _, T, B, lengths, truncation = case
    x, state = inputs(cell, T, B)
    x, state = x.to(dtype), tuple(v.to(dtype) for v in state)
    n = None if lengths is None else torch.tensor(lengths)
    options = {"reverse": reverse, "truncation": truncation}
    got = results(cell.to(dtype), x, state, n, backend="compiled", **options)
    # What is expected of float32 is the truth, rounded, not another's rounding errors.
    exact = [v.double() for v in (x, *state)]
    want = results(cell.double(), exact[0], tuple(exact[1:]), n, backend="reference", **options)
    assert_same(got, {k: v.to(dtype) for k, v in want.items()}, tolerance)


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=str)
def test_every_cell_equals_the_reference(name, dtype, tolerance):
    for k, case in enumerate(CASES):
        check(make(name, *case[:2]), case, dtype, tolerance, reverse=k % 2 == 1)


@pytest.mark.parametrize("name", ["lstm_peephole", "mut1"])
@pytest.mark.parametrize("case", LARGER, ids=str)
def test_larger_sizes(name, case):
    check(make(name, *case[:2]), case, *TYPES[1])


def test_all_cells_but_the_one_with_layer_norm():
    assert set(CELLS) - set(able("compiled")) == {"lstm_layernorm"}


# Compiling takes most of the time, so one in three is compiled; all run the same plan.
NUMBERS = [
    pytest.param(k, marks=pytest.mark.slow) if k % 3 == 0 and k > 9 else k for k in range(60)
]


@pytest.mark.parametrize("number", NUMBERS)
def test_random_cells_equal_the_reference(number, tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))  # nobody will want them again
    case = CASES[number % 2 * 3]  # sizes 3, 3 and 7, 2
    cell = randomise(random_cell(random_kit.seed(number))(*case[:2], dtype=torch.float64))
    for dtype, tolerance in TYPES if number % 3 == 0 else TYPES[:1]:
        check(cell, case, dtype, tolerance, reverse=number % 4 > 1)


@pytest.mark.parametrize("name", ["lstm_peephole", "mut1", "gru_reset_after", "nig"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_not_contiguous(name, dtype):
    cell = make(name, 3, 5).to(dtype)
    with torch.no_grad():
        for weight in cell.parameters():  # every other number of a larger memory, transposed
            wide = weight.new_zeros(*weight.shape[::-1], 2)
            wide[..., 0] = weight.t() if weight.dim() > 1 else weight
            weight.data = wide[..., 0].t() if weight.dim() > 1 else wide[..., 0]
    assert not any(weight.is_contiguous() for weight in cell.parameters())
    x = normal(4, 3, 7, seed=1).to(dtype).permute(2, 0, 1)
    state = tuple(normal(5, 4, seed=k).to(dtype).t() for k in range(2, 2 + len(cell.state)))
    a = results(cell, x, state, backend="compiled")
    b = results(cell, x, state, backend="reference")
    assert_same(a, b, 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_sequences_of_no_step_return_their_initial_state(dtype):
    """`run` refuses them; the backend itself hands states and gradients through."""
    cell = make("gru", 3, 5).to(dtype)
    x, h = leaves(normal(4, 3, 3, seed=1).to(dtype), normal(3, 5, seed=2).to(dtype))
    _, last = compiled.forward(cell, x, (h,), torch.tensor([2, 0, 4]), None)
    assert torch.equal(last.h[1], h[1])
    (gradient,) = torch.autograd.grad(last.h[1].sum(), [h])
    assert torch.equal(gradient, torch.tensor([[0.0], [1.0], [0.0]], dtype=dtype).expand(3, 5))


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "elman_relu", "mut1"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_nan_and_inf_come_out_where_the_reference_has_them(name, bad, dtype):
    cell = make(name, 3, 5).to(dtype)
    x, state = inputs(cell, 6, 3)
    x[2, 1, 0] = bad
    x, state = x.to(dtype), tuple(v.to(dtype) for v in state)
    a, b = (results(cell, x, state, backend=k) for k in ("compiled", "reference"))
    for key in a:
        assert torch.equal(a[key].isnan(), b[key].isnan()), key
        assert torch.equal(a[key].isinf(), b[key].isinf()), key


def test_backward_twice():
    cell = make("lstm", 3, 5)
    x, state = inputs(cell, 4, 2)
    outputs, _ = run(cell, x, state, backend="compiled")
    first = torch.autograd.grad(outputs.sum(), list(cell.parameters()), retain_graph=True)
    again = torch.autograd.grad(outputs.sum(), list(cell.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


# -- raw values as operands, factors and states, which no cell of the package has ------------------


# Those in which generated C takes another way than the plan's other engine.
IN_C = ["R of a bare input", "R of R", "R times x.h", "state is R", "state is bare"]


@pytest.fixture(autouse=True)
def memory_of_nan():
    """What is read before it was written shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("name", "kind"), [*((k, 0) for k in STEPS), *((k, 1) for k in IN_C)], ids=str
)
def test_odd_cells_equal_the_reference(name, kind):
    for k, case in enumerate(CASES[: 2 if kind else 4] + [(5, 5, 6, 3, [2, 6, 1], 1)]):
        cell = randomise(odd_cell(name)(*case[:2], dtype=torch.float64))
        if name == "R times x.h":  # its state is squared at each step, and would overflow
            with torch.no_grad():
                cell.R.mul_(0.2)
        check(cell, case, *TYPES[kind], reverse=k % 2 == 1)


class Leaky(Cell):
    """Its step reads things of the cell that are not among its weights."""

    gates = ("h",)
    leak, gain = 0.5, 1.0

    def step(self, x, R, p, s):
        new = tanh(x.h + self.gain * R.h(s.h))
        return (self.leak * s.h + new if self.training else new,)


def test_a_step_that_reads_numbers_and_switches_of_its_cell():
    """They are part of a plan, and may change after it was made."""
    cell = randomise(Leaky(3, 5).double())
    x, h = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)

    def right():
        assert_same(*(results(cell, x, (h,), backend=k) for k in ("compiled", "reference")))
        return dispatch.plan_of(cell)

    first = right()
    cell.leak = 0.25
    assert right() is not first
    plain = cell.eval() and right()
    cell.gain = torch.tensor(3.0, dtype=torch.float64)
    assert right() is not plain
    cell.gain.fill_(1.0)
    cell.unread = "changes nothing"
    assert right() is plain


class Reads(Cell):
    """Its step reads a buffer, a class attribute and containers, which may change later."""

    gates = ("h",)
    share = 0.5
    table: ClassVar[list] = [0.5, [0.25]]

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.register_buffer("leak", torch.tensor(0.5, dtype=torch.float64))
        self.scales = {"in": [1.0, 2.0]}
        self.more = SimpleNamespace(gain=1.5)

    def step(self, x, R, p, s):
        new = tanh(self.scales["in"][1] * x.h + self.more.gain * R.h(s.h))
        return (self.leak * self.share * s.h + self.table[1][0] * self.table[0] * new,)


def test_a_step_that_reads_buffers_class_attributes_and_containers():
    """Whatever of them changes, the next call knows: no number of an earlier plan is left."""
    cell = randomise(Reads(3, 5).double())
    x, h = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)

    def share(value):
        Reads.share = value

    def table(value):
        Reads.table[1][0] = value

    changes = [
        lambda: None,
        lambda: cell.leak.fill_(0.9),
        lambda: setattr(cell, "leak", torch.tensor(0.3, dtype=torch.float64)),
        lambda: share(0.125),
        lambda: table(0.75),
        lambda: cell.scales["in"].__setitem__(1, 3.0),
        lambda: setattr(cell.more, "gain", 0.75),
    ]
    plans = []
    try:
        for change in changes:
            change()
            assert_same(*(results(cell, x, (h,), backend=k) for k in ("compiled", "reference")))
            plans.append(dispatch.plan_of(cell))
        assert len(set(map(id, plans))) == len(changes)
        assert dispatch.plan_of(cell) is plans[-1]  # nothing has changed since
    finally:
        share(0.5), table(0.25)


class Own(Cell):
    """Its step reads parameters and buffers of its own class, of one number and one a unit."""

    gates = ("i", "h")
    vectors = ("d",)
    lacks: ClassVar[dict] = {"i": "W"}

    def __init__(self, input_size, hidden_size, **options):
        super().__init__(input_size, hidden_size, **options)
        for name, shape in SHAPES.items():
            setattr(self, name, nn.Parameter(torch.randn(shape(hidden_size))))
        self.register_buffer("tau", torch.rand(hidden_size))
        self.register_buffer("unread", torch.rand(1, hidden_size))
        self.frozen.requires_grad_(False)

    def step(self, x, R, p, s):
        d = sigmoid(self.alpha) * self.share(p.d)
        return (d * s.h + (1 - d) * tanh(x.h + self.gain * R.h(s.h) + x.i * R.i(s.h)),)

    def share(self, d):
        return sigmoid(self.each * d + self.tau) * self.row + 0.1 * self.frozen


SHAPES = {
    "alpha": lambda H: (),
    "gain": lambda H: (1,),
    "row": lambda H: (1, H),
    "each": lambda H: (H,),
    "frozen": lambda H: (),
    "never": lambda H: (H,),  # the step does not read it
}


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=str)
def test_parameters_and_buffers_of_a_cells_own(dtype, tolerance):
    """They are operands, like the weights: no other plan when they change."""
    for k, case in enumerate([*CASES[:3], (2, 1, 4, 3, None, 2)]):
        cell = randomise(Own(*case[:2]).to(dtype))
        check(cell, case, dtype, tolerance, reverse=k % 2 == 1)
        plan = dispatch.plan_of(cell)
        with torch.no_grad():
            cell.tau.mul_(-2)
            cell.alpha.add_(1)
        check(cell, case, dtype, tolerance)
        assert dispatch.plan_of(cell) is plan
        cell.alpha = nn.Parameter(torch.randn(case[1], dtype=dtype))
        check(cell, case, dtype, tolerance)


@pytest.mark.parametrize("what", ["(2,)", "float64"])
def test_own_parameters_of_other_shapes_and_types_run_in_the_loop(what):
    other = torch.ones(2) if what == "(2,)" else torch.ones((), dtype=torch.float64)

    class Mine(Cell):
        gates = ("h",)

        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.alpha = nn.Parameter(other)

        def step(self, x, R, p, s):
            return tanh(x.h + R.h(s.h)) * self.alpha.sum()

    cell = Mine(3, 5)
    assert dispatch.reason_against(cell) is not None
    y, _ = run(cell, torch.randn(4, 2, 3))
    y.sum().backward()
    assert cell.alpha.grad.shape == other.shape


def test_a_step_whose_numbers_always_change_is_for_the_reference():
    cell, x = Leaky(3, 5).double(), torch.zeros(2, 1, 3, dtype=torch.float64)
    for k in range(dispatch.MAX_PLANS):
        cell.leak = float(k + 2)
        run(cell, x, backend="compiled")
    cell.leak = 0.5
    with pytest.raises(UserError, match="numbers of the cell that keep changing"):
        run(cell, x, backend="compiled")
    run(cell, x)


# -- awkward sizes, long sequences, the same bits --------------------------------------------------


SIZES = (1, 2, 3, 7, 100, 129, 257)


def drawn(name):
    """(X, H, T, B, lengths, truncation, reverse) of a cell, three for each."""
    draw = random.Random(name)  # always the same ones: all sizes are to be among them
    # Over the cells every size comes up as B and as H; none has both large, which takes long.
    k = able("compiled").index(name)
    for j in (0, 1, 2):
        small, large = SIZES[(k + j) % 4], SIZES[(k + 3 * j) % 7]
        B, H = (small, large) if draw.random() < 0.5 else (large, small)
        T = draw.choice([1, 2, 3, 5])
        lengths = None if draw.random() < 0.3 else [draw.randint(1, T) for _ in range(B)]
        truncation = draw.choice([None, 2, 3])
        yield draw.choice([1, 3, 7, H]), H, T, B, lengths, truncation, draw.random() < 0.5


def test_the_sizes_drawn_are_all_there():
    every = [case for name in able("compiled") for case in drawn(name)]
    assert {case[1] for case in every} == {case[3] for case in every} == set(SIZES)


def both(cell, x, state, lengths=None, **options):
    """Results of the compiled cell in float32, and of the reference in float64, rounded."""
    exact, wide = copy.deepcopy(cell).double(), (x.double(), tuple(v.double() for v in state))
    got = results(cell, x, state, lengths, backend="compiled", **options)
    want = results(exact, *wide, lengths, backend="reference", **options)
    return got, {k: v.float() for k, v in want.items()}


def single(name, X, H, T, B, draw=0):
    cell = make(name, X, H, seed=100 * draw).float()
    x, state = inputs(cell, T, B, seed=100 * draw + 1)
    return cell, x.float(), tuple(v.float() for v in state)


@pytest.mark.parametrize("name", able("compiled"))
def test_sizes(name):
    for X, H, T, B, lengths, truncation, reverse in drawn(name):
        n = None if lengths is None else torch.tensor(lengths)
        options = {"truncation": truncation, "reverse": reverse}
        assert_same(*both(*single(name, X, H, T, B), n, **options), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lengths", "truncation"),
    [("lstm_peephole", [2000, 1999, 1], 37), ("gru", None, None), ("mut1", [731, 2000, 7], None)],
)
def test_two_thousand_steps(name, lengths, truncation):
    """On the first draw that the plain loop computes in float32: some are lost in its rounding."""
    n = None if lengths is None else torch.tensor(lengths)
    for draw in range(10):
        given = single(name, 3, 7, 2000, 3, draw)
        got, want = both(*given, n, truncation=truncation)
        loop = results(*given, n, backend="reference", truncation=truncation)
        off = [float((loop[k] - v).abs().max() / max(1, v.abs().max())) for k, v in want.items()]
        if max(off) < 5e-6:
            break
    else:
        pytest.fail("the loop itself is off by 5e-6 on every draw")
    assert_same(got, want, 1e-5)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "fgr", "mut1"])
def test_nan_in_one_sequence(name):
    """Comes out where the reference has it, in that sequence alone, and not at its padding."""
    draw = random_kit.dice()
    lengths = torch.tensor([5, 7, 2, 6])
    for reverse in (False, True):
        cell, x, state = single(name, 3, 7, 7, 4)
        b = draw.randrange(4)
        x[draw.randrange(int(lengths[b])), b, draw.randrange(3)] = float("nan")
        x[int(lengths[2]) :, 2] = float("nan")
        found = [
            results(cell, x, state, lengths, truncation=3, reverse=reverse, backend=k)
            for k in ("compiled", "reference")
        ]
        for key, value in found[0].items():
            assert torch.equal(value.isnan(), found[1][key].isnan()), key
        assert found[0]["outputs"][:, b].isnan().any()
        assert not found[0]["outputs"][:, [k for k in range(4) if k != b]].isnan().any()


@pytest.fixture
def threads():
    """torch.set_num_threads, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "fgr", "gru_reset_after"])
def test_the_same_bits_for_the_same_number_of_threads(name, threads):
    """Outputs have the same bits for any number; gradients of weights are sums over threads."""
    cell, x, state = single(name, 3, 100, 13, 11)  # enough work that threads are made
    lengths = torch.tensor([13, 1, 7, 13, 2, 12, 5, 13, 13, 3, 9])
    found = {}
    for count in (1, 2, 3):
        threads(count)
        first, again = (results(cell, x, state, lengths, backend="compiled") for _ in range(2))
        assert all(torch.equal(first[k], again[k]) for k in first)
        found[count] = first
    for key, value in found[1].items():
        if key.startswith(("outputs", "final")):
            assert torch.equal(value, found[2][key]) and torch.equal(value, found[3][key]), key
    assert_same(found[2], found[1], 1e-5)
