"""odyssey.RNN against single steps of its cells, sequence by sequence, and its errors."""

from __future__ import annotations

import copy
import io
import math
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import odyssey
from cell_cases import NAMES, assert_same, cotangent, leaves, normal
from model_kit import randomize
from odyssey.cells import CELLS, Cell, Init
from odyssey.nn import Stack

FORMS = ["whole", "lengths", "packed sorted", "packed unsorted", "single"]


class Lag(Cell):
    """A user's cell with three states, of which the output is the first."""

    state = ("h", "c", "d")
    gates = ("n",)

    def step(self, x, R, p, s):
        return torch.tanh(x.n + R.n(s.h) + 0.5 * s.d), s.h, s.c


def drawn(rng: np.random.Generator, cell, form: str, dtype=torch.float64, **options):
    """A layer of random sizes and weights, and inputs for it: x (T, B, X), states, lengths."""
    X, H, T, B = (int(n) for n in rng.integers(1, 7, 4))
    B = 1 if form == "single" else B
    rnn = odyssey.RNN(
        cell,
        X,
        H,
        num_layers=int(rng.integers(1, 4)),
        bidirectional=bool(rng.integers(2)),
        batch_first=bool(rng.integers(2)),
        **options,
    )
    randomize(rnn).to(dtype)
    rows = rnn.num_layers * rnn.stack.directions
    x = normal(T, B, X, seed=1).to(dtype)
    states = [
        normal(rows, B, H, seed=2 + k).to(dtype) for k in range(len(rnn.stack.cells()[0].state))
    ]
    lengths = [T] * B
    if form not in ("whole", "single"):
        lengths = [int(n) for n in rng.integers(1, T + 1, B)]
        lengths[int(rng.integers(B))] = T  # torch pads packed sequences to the longest only
    if form == "packed sorted":
        lengths.sort(reverse=True)
    return rnn, x, states, lengths


def call(rnn, form: str, x, states, lengths):
    """A layer called in that form -> outputs (T, B, ·) and states, each (rows, B, H).

    states: the given ones, None for none. It checks that what comes back has the form of what went
    in.
    """
    hx = None
    if states is not None:
        states = [v.squeeze(1) for v in states] if form == "single" else states
        hx = states[0] if len(states) == 1 else tuple(states)
    if form == "single":
        y, last = rnn(x.squeeze(1), hx)
        assert y.shape == (*x.shape[:1], y.shape[-1])
        y = y.unsqueeze(1)
    elif form.startswith("packed"):
        given = pack_padded_sequence(x, lengths, enforce_sorted=form == "packed sorted")
        packed, last = rnn(given, hx)
        assert isinstance(packed, PackedSequence)
        for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            a, b = getattr(packed, field), getattr(given, field)
            assert (a is None and b is None) or torch.equal(a, b), field
        y, n = pad_packed_sequence(packed)
        assert n.tolist() == lengths
    else:
        more = () if form == "whole" else (lengths,)
        y, last = rnn(x.transpose(0, 1) if rnn.batch_first else x, hx, *more)
        y = y.transpose(0, 1) if rnn.batch_first else y
    assert type(last) is (tuple if isinstance(last, tuple) else torch.Tensor)
    last = last if isinstance(last, tuple) else (last,)
    return y, tuple(v.unsqueeze(1) if form == "single" else v for v in last)


def step_by_step(rnn, x, states, lengths):
    """The same by the definition: each sequence alone, one call of a cell for each step."""
    outputs, ends = [], []
    for b, n in enumerate(lengths):
        sequence, last = list(x[:n, b]), []
        for i, layer in enumerate(rnn.stack.grid()):
            halves = []
            for d, cell in enumerate(layer):
                row = i * len(layer) + d
                state = tuple(v[row, b] for v in states)
                found = []
                for value in reversed(sequence) if d else sequence:
                    new = cell(value, state[0] if len(state) == 1 else state)
                    state = new if isinstance(new, tuple) else (new,)
                    found.append(state[0])
                halves.append(found[::-1] if d else found)
                last.append(state)
            sequence = [torch.cat(values) for values in zip(*halves, strict=True)]
        y = torch.stack(sequence)
        outputs.append(nn.functional.pad(y, (0, 0, 0, x.shape[0] - n)))
        ends.append([torch.stack(v) for v in zip(*last, strict=True)])
    last = tuple(torch.stack(v, 1) for v in zip(*ends, strict=True))
    return torch.stack(outputs, 1), last


def results(rnn, function, x, states) -> dict[str, torch.Tensor]:
    """Outputs, states and the gradients of a scalar of all of them, by name."""
    x, *states = leaves(x, *states)
    y, last = function(x, states)
    given = {"x": x, **{f"state {k}": v for k, v in enumerate(states)}}
    given |= dict(rnn.named_parameters())
    grads = torch.autograd.grad(
        cotangent(y, last), list(given.values()), allow_unused=True, materialize_grads=True
    )
    found = {"outputs": y.detach(), **{f"last {k}": v.detach() for k, v in enumerate(last)}}
    return found | {f"grad {k}": g for k, g in zip(given, grads, strict=True)}


def compare(rnn, form, x, states, lengths, tolerance):
    ours = results(rnn, lambda x, s: call(rnn, form, x, s, lengths), x, states)
    wanted = results(rnn, lambda x, s: step_by_step(rnn, x, s, lengths), x, states)
    assert_same(ours, wanted, tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_it_is_its_cells_step_by_step(name, form, rng):
    compare(*_forms(rng, name, form, torch.float64), 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_so_it_is_in_float32_on_the_fastest_backend(name, rng):
    form = FORMS[int(rng.integers(len(FORMS)))]
    compare(*_forms(rng, name, form, torch.float32), 1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_users_cell_of_three_states(form, dtype, rng):
    compare(*_forms(rng, Lag, form, dtype), 1e-10 if dtype == torch.float64 else 1e-4)


def _forms(rng, cell, form, dtype):
    rnn, x, states, lengths = drawn(rng, cell, form, dtype)
    return rnn, form, x, states, lengths


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["gru", "lstm_peephole"])
def test_no_state_is_a_state_of_zeros(name, form, rng):
    rnn, x, states, lengths = drawn(rng, name, form)
    zeros = [torch.zeros_like(v) for v in states]
    a, b = call(rnn, form, x, None, lengths), call(rnn, form, x, zeros, lengths)
    assert torch.equal(a[0], b[0])
    assert all(torch.equal(v, w) for v, w in zip(a[1], b[1], strict=True))


@pytest.mark.parametrize("backend", ["reference", "compiled", "library"])
def test_truncation_cuts_the_gradient_alone(backend):
    rnn = randomize(odyssey.RNN("lstm", 3, 4, num_layers=2, backend=backend))
    x = normal(9, 2, 3, seed=1).requires_grad_()
    whole, cut = rnn(x)[0], rnn(x, truncation=4)[0]
    torch.testing.assert_close(whole, cut, rtol=1e-12, atol=1e-12)
    first = torch.autograd.grad(cut[8].sum(), x)[0]
    assert bool((first[:8] == 0).all()) and bool((first[8] != 0).any())
    assert bool((torch.autograd.grad(whole[8].sum(), x)[0][0] != 0).any())


def test_the_lengths_may_be_a_list_or_a_tensor_of_any_integers_and_padding_may_be_nan():
    rnn = randomize(odyssey.RNN("gru", 3, 4, bidirectional=True, batch_first=True))
    x = normal(3, 5, 3, seed=1)
    y, h = rnn(x, lengths=[2, 5, 1])
    x[0, 2:] = math.nan
    for lengths in (torch.tensor([2, 5, 1]), torch.tensor([2, 5, 1], dtype=torch.int32), (2, 5, 1)):
        again, end = rnn(x, None, lengths)
        assert torch.equal(again, y) and torch.equal(end, h)
    assert bool((y[0, 2:] == 0).all())


def test_dropout_is_that_of_the_stack_between_layers_in_training(seed):
    with pytest.warns(UserWarning, match="dropout=0.5 lies between layers"):
        odyssey.RNN("lstm", 3, 4, dropout=0.5)
    rnn = randomize(odyssey.RNN("lstm", 3, 4, num_layers=2, dropout=0.5))
    x = normal(5, 2, 3, seed=1)
    torch.manual_seed(seed)
    ours = rnn(x)[0]
    torch.manual_seed(seed)
    assert torch.equal(ours, rnn.stack(x)[0])
    assert not torch.equal(ours, rnn.eval()(x)[0])


def test_it_draws_what_a_stack_draws(seed):
    torch.manual_seed(seed)
    stack = Stack(lambda x, h: CELLS["lstm"](x, h, forget_bias=1.0), 3, 4, num_layers=2)
    torch.manual_seed(seed)
    rnn = odyssey.RNN("lstm", 3, 4, 2, forget_bias=1.0)
    for a, b in zip(stack.parameters(), rnn.parameters(), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(seed)
    rnn.reset_parameters()
    for a, b in zip(stack.parameters(), rnn.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_cell_may_be_a_name_a_class_or_a_function_that_makes_one(seed):
    made = []
    for cell in ("lstm", CELLS["lstm"], lambda x, h, **options: CELLS["lstm"](x, h, **options)):
        torch.manual_seed(seed)
        made.append(odyssey.RNN(cell, 3, 4, init=Init(recurrent="orthogonal")))
    x = torch.randn(5, 2, 3)
    assert torch.equal(made[0](x)[0], made[1](x)[0]) and torch.equal(made[0](x)[0], made[2](x)[0])


def test_device_and_dtype_are_those_of_the_weights():
    rnn = odyssey.RNN("lstm_peephole", 3, 4, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in rnn.parameters()} == {("meta", torch.bfloat16)}
    orthogonal = Init(recurrent="orthogonal")  # which torch cannot draw in 16 bits
    rnn = odyssey.RNN("lstm", 3, 4, dtype=torch.bfloat16, init=orthogonal)
    y, (h, c) = rnn(torch.randn(5, 2, 3, dtype=torch.bfloat16))
    assert y.dtype == h.dtype == c.dtype == torch.bfloat16


def test_it_says_what_it_is():
    rnn = odyssey.RNN(Lag, 3, 4, num_layers=2, bidirectional=True, batch_first=True, dropout=0.25)
    said = "Lag, 3, 4, num_layers=2, bidirectional=True, batch_first=True, dropout=0.25"
    assert rnn.extra_repr() == said
    assert odyssey.RNN("gru", 3, 4, backend="reference").extra_repr() == (
        "GRU, 3, 4, backend='reference'"
    )
    rnn.flatten_parameters()


# -- copies ----------------------------------------------------------------------------------------


def _through_torch_save(rnn):
    file = io.BytesIO()
    torch.save(rnn, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def _through_state_dict(rnn):
    file = io.BytesIO()
    torch.save(rnn.state_dict(), file)
    file.seek(0)
    other = odyssey.RNN("mut1", 3, 4, num_layers=2, bidirectional=True).double()
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda rnn: pickle.loads(pickle.dumps(rnn)),
        _through_torch_save,
        _through_state_dict,
    ],
    ids=["deepcopy", "pickle", "torch.save", "state_dict"],
)
def test_a_copy_has_the_weights_and_shares_none(copied):
    rnn = randomize(odyssey.RNN("mut1", 3, 4, num_layers=2, bidirectional=True))
    x = normal(5, 2, 3, seed=1)
    y, _ = rnn(x)  # so that there are plans of its cells, which must not stand in the way
    other = copied(rnn)
    assert torch.equal(other(x)[0], y)
    with torch.no_grad():
        for p in rnn.parameters():
            p.zero_()
    assert torch.equal(other(x)[0], y)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (dict(cell="lstn"), ValueError, "no cell is called 'lstn' (did you mean 'lstm'?); choose"),
        (dict(cell=nn.LSTM), TypeError, "LSTM is not a cell: derive it from odyssey.cells.Cell"),
        (dict(cell=CELLS["gru"](3, 4)), TypeError, "must be the name or the class of a cell, not"),
        (dict(cell=None), TypeError, "must be the name or the class of a cell, not a NoneType"),
        (dict(cell=lambda x, h: None), TypeError, "cell must make a Cell of (X, H), not a NoneT"),
        (dict(bias=False), TypeError, "neither RNN nor LSTM has an option bias: which gates"),
        (dict(proj_size=2), TypeError, "has an option proj_size: put an nn.Linear after"),
        (dict(num_layer=2), TypeError, "an option num_layer (did you mean 'num_layers'?)"),
        (dict(forget_bia=2.0), TypeError, "an option forget_bia (did you mean 'forget_bias'?)"),
        (dict(cell="rnn", forget_bias=1.0), ValueError, "Elman has no forget gate"),
        (dict(input_size=0), ValueError, "input_size must be a whole number of at least 1, not 0"),
        (dict(hidden_size=2.5), ValueError, "hidden_size must be a whole number of at least 1"),
        (dict(num_layers=0), ValueError, "num_layers must be a whole number of at least 1, not 0"),
        (dict(dropout="a"), ValueError, "dropout must be a probability, 0 to 1, not 'a'"),
        (dict(forget_bias="a"), TypeError, "forget_bias must be a number, not 'a'"),
        (dict(init=3), TypeError, "init must be an odyssey.cells.Init, not 3"),
        (dict(dropout=1.5), ValueError, "dropout must be a probability, 0 to 1, not 1.5"),
        (dict(backend="fast"), ValueError, "backend=fast is not a backend; choose one of auto"),
        (
            dict(cell="gru", backend="library"),
            ValueError,
            "backend=library cannot run the cell GRU, because torch.nn has no such cell; choose "
            "backend=auto",
        ),
    ],
    # Without addresses of objects, which differ between the processes of pytest-xdist.
    ids=lambda v: re.sub(r" at 0x\w+", "", str(v))[:40] if isinstance(v, dict) else "",
)
def test_a_wrong_argument_is_one_sentence(arguments, kind, words):
    with pytest.raises(kind) as error:
        odyssey.RNN(**({"cell": "lstm", "input_size": 3, "hidden_size": 4} | arguments))
    assert words in str(error.value) and "\n" not in str(error.value)
    assert "model." not in str(error.value)


X52 = torch.zeros(7, 5, 3)
H, WIDE = torch.zeros(2, 5, 4), torch.zeros(2, 5, 5)
PACKED = pack_padded_sequence(X52, [7, 7, 5, 5, 1])


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ((torch.zeros(7, 5, 2),), ValueError, "x must be (T, B, 3), or (T, 3) for a single seq"),
        ((torch.zeros(3),), ValueError, "x must be (T, B, 3), or (T, 3) for a single sequence, no"),
        ((torch.zeros(0, 5, 3),), ValueError, "with T of at least 1"),
        (([[0.0] * 3],), TypeError, "x must be a Tensor or a PackedSequence, not a list"),
        ((X52.double(),), ValueError, "x is torch.float64 and the weights are torch.float32"),
        ((X52.to("meta"),), ValueError, "x is on meta and the weights are on cpu: move one"),
        ((X52, H), ValueError, "LSTM must be a tuple (h, c), each (2, 5, 4), not a tensor (2, 5,"),
        ((X52, (H,)), ValueError, "not a tuple of a tensor (2, 5, 4)"),
        ((X52, (H, WIDE)), ValueError, "not a tuple of a tensor (2, 5, 4), a tensor (2, 5, 5)"),
        ((X52, (H, None)), ValueError, "not a tuple of a tensor (2, 5, 4), a NoneType"),
        ((X52[:, 0], (H, H)), ValueError, "a tuple (h, c), each (2, 4), not"),
        ((X52, None, [7, 7, 7, 7]), ValueError, "lengths must be (5,), not (4,)"),
        ((X52, None, [7, 7, 7, 7, 8]), ValueError, "lengths must be 1 to 7 (T), not 7 to 8"),
        ((X52, None, [7, 7, 7, 7, 0]), ValueError, "lengths must be 1 to 7 (T), not 0 to 7"),
        ((X52, None, [0.5] * 5), TypeError, "lengths must be whole numbers of steps, not torch."),
        ((X52[:, 0], None, [3]), ValueError, "lengths are those of a batch: say x[:n] instead"),
        ((PACKED, None, [3] * 5), ValueError, "leave out lengths="),
        (
            (PACKED._replace(data=torch.zeros(25, 2)),),
            ValueError,
            "must be (steps, 3), not (25, 2)",
        ),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)
def test_a_wrong_input_is_one_sentence(given, kind, words):
    with pytest.raises(kind) as error:
        odyssey.RNN("lstm", 3, 4, bidirectional=True)(*given)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_other_forms_are_named_where_they_are_meant():
    with pytest.raises(ValueError, match=r"x must be \(B, T, 3\), or"):
        odyssey.RNN("lstm", 3, 4, batch_first=True)(torch.zeros(7, 5, 2))
    with pytest.raises(ValueError, match=r"of GRU must be a tensor h \(1, 5, 4\), not a tuple of"):
        odyssey.RNN("gru", 3, 4)(X52, (torch.zeros(1, 5, 4),))
    with pytest.raises(ValueError, match="truncation must be at least 1 step, not 0"):
        odyssey.RNN("gru", 3, 4)(X52, truncation=0)


def test_under_autocast_x_may_have_another_type():
    rnn = odyssey.RNN("lstm", 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = rnn(torch.randn(5, 2, 3).bfloat16())
    assert y.shape == (5, 2, 4)


def test_an_empty_batch_is_one():
    y, (h, c) = odyssey.RNN("lstm_peephole", 3, 4, bidirectional=True)(torch.zeros(7, 0, 3))
    assert y.shape == (7, 0, 8) and h.shape == c.shape == (2, 0, 4)
