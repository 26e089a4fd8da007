"""odyssey.RNN.from_torch and to_torch: the same function as nn.RNN, nn.GRU and nn.LSTM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import odyssey
from cell_cases import NAMES, cotangent, leaves, normal
from model_kit import TORCH, randomize
from odyssey.cells import CELLS

KINDS = {name: make for name, (make, _) in TORCH.items()}  # our cell -> torch's module
FORMS = ["whole", "packed sorted", "packed unsorted", "single"]
# Of the largest number (and of 1). In float32, 3,000 random layers came to 5e-7 at most.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def drawn(rng: np.random.Generator, kind: str, dtype: torch.dtype, **options) -> nn.RNNBase:
    """A module of torch.nn of random sizes, with torch's own initial weights."""
    X, H, layers, both, first = (int(n) for n in rng.integers([1, 1, 1, 0, 0], [8, 8, 4, 2, 2]))
    return KINDS[kind](
        X,
        H,
        num_layers=layers,
        bidirectional=bool(both),
        batch_first=bool(first),
        dtype=dtype,
        **options,
    )


def inputs(rng: np.random.Generator, module: nn.RNNBase, form: str):
    """What that module is called with, as leaves of autograd, and a function that calls it so."""
    T, B = (int(n) for n in rng.integers(1, 6, 2))
    dtype = module.weight_ih_l0.dtype
    rows = module.num_layers * (1 + module.bidirectional)
    batch = () if form == "single" else (B,)
    sizes = [T, *batch]
    if module.batch_first and not form.startswith("packed"):
        sizes.reverse()
    x = normal(*sizes, module.input_size, seed=1).to(dtype)
    states = [
        normal(rows, *batch, module.hidden_size, seed=2 + k).to(dtype)
        for k in range(2 if isinstance(module, nn.LSTM) else 1)
    ]
    lengths = rng.integers(1, T + 1, B)
    lengths[int(rng.integers(B))] = T
    lengths = torch.as_tensor(sorted(lengths, reverse=True) if "unsorted" not in form else lengths)

    def call(layer: nn.Module, x, states):
        given = x
        if form.startswith("packed"):
            given = pack_padded_sequence(x, lengths, enforce_sorted=form == "packed sorted")
        y, last = layer(given, tuple(states) if len(states) > 1 else states[0])
        assert isinstance(last, tuple) == (len(states) > 1)
        y = y.data if isinstance(y, PackedSequence) else y
        return y, last if isinstance(last, tuple) else (last,)

    return x, states, call


def results(layer: nn.Module, x, states, call) -> dict[str, torch.Tensor]:
    """Outputs, last states, and gradients by the inputs; those of the weights are in `.grad`."""
    x, *states = leaves(x, *states)
    layer.zero_grad()
    y, last = call(layer, x, states)
    # A mean over steps, as a loss is: a sum's rounding in float32 would grow with their number.
    (cotangent(y, last) / (x.numel() // x.shape[-1])).backward()
    found = {"y": y.detach(), **{f"last {k}": v.detach() for k, v in enumerate(last)}}
    return found | {"grad x": x.grad, **{f"grad {k}": v.grad for k, v in enumerate(states)}}


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float) -> None:
    """Equal within `tolerance` of the largest number in b, and of 1."""
    assert a.keys() == b.keys()
    limit = tolerance * max(1.0, *(float(v.abs().max()) for v in b.values()))
    for key in b:
        torch.testing.assert_close(
            a[key], b[key], rtol=0, atol=limit, msg=lambda m, key=key: f"{key}: {m}"
        )


def gradients(rnn: odyssey.RNN, module: nn.RNNBase) -> tuple[dict, dict]:
    """The gradients of both by our names: torch's b_ih is our b, the GRU's last b_hh our p."""
    ours, theirs = {}, {}
    for i, layer in enumerate(rnn.stack.grid()):
        for d, cell in enumerate(layer):
            suffix = f"l{i}{'_reverse' if d else ''}"
            keys = {"W": "weight_ih", "R": "weight_hh"} | ({"b": "bias_ih"} if module.bias else {})
            for letter, name in keys.items():
                ours[f"{letter} {suffix}"] = getattr(cell, letter).grad
                theirs[f"{letter} {suffix}"] = getattr(module, f"{name}_{suffix}").grad
            if module.bias and cell.vectors:
                ours[f"p {suffix}"] = cell.p.grad[0]
                second = getattr(module, f"bias_hh_{suffix}").grad
                theirs[f"p {suffix}"] = second[2 * cell.hidden_size :]
    return ours, theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_from_torch_and_back_is_the_same_function(kind, form, dtype, bias, rng):
    """Outputs, states and all gradients; sizes, layers, directions and batch_first are random."""
    module = drawn(rng, kind, dtype, bias=bias)
    x, states, call = inputs(rng, module, form)
    rnn = odyssey.RNN.from_torch(module)
    wanted = results(module, x, states, call)
    close(results(rnn, x, states, call), wanted, TOLERANCE[dtype])
    close(*gradients(rnn, module), TOLERANCE[dtype])
    for cell in rnn.stack.cells():
        assert all(p.requires_grad for p in (cell.W, cell.R))
        assert cell.b.requires_grad == bias and (bias or not bool(cell.b.any()))

    back = rnn.to_torch()
    assert type(back) is type(module) and back.extra_repr() == module.extra_repr()
    close(results(back, x, states, call), wanted, TOLERANCE[dtype])
    close(*gradients(rnn, back), TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["irnn", "np", *KINDS])
def test_to_torch_of_other_weights(name, rng):
    rnn = randomize(odyssey.RNN(name, 3, 4, num_layers=2, bidirectional=True))
    module = rnn.to_torch()
    x, states, call = inputs(rng, module, "packed unsorted")
    ours, theirs = results(rnn, x, states, call), results(module, x, states, call)
    close(ours, theirs, TOLERANCE[torch.float64])


@pytest.mark.parametrize("backend", ["reference", "library"])
def test_what_is_kept(backend):
    module = nn.GRU(3, 4, num_layers=2, dropout=0.25, batch_first=True, dtype=torch.float64).eval()
    module.weight_hh_l1.requires_grad_(False)
    state = torch.get_rng_state()
    rnn = odyssey.RNN.from_torch(module, backend=backend)
    back = rnn.to_torch()
    assert torch.equal(torch.get_rng_state(), state), "no random number is drawn"
    assert rnn.dropout == back.dropout == 0.25 and rnn.batch_first and back.batch_first
    assert rnn.backend == backend and not rnn.training and not back.training
    assert not rnn.stack.grid()[1][0].R.requires_grad and rnn.stack.grid()[0][0].R.requires_grad
    assert not back.weight_hh_l1.requires_grad and back.weight_hh_l0.requires_grad
    assert {p.dtype for p in rnn.parameters()} == {torch.float64}
    with torch.no_grad():
        module.weight_ih_l0.zero_()
    assert bool(rnn.stack.grid()[0][0].W.any()), "nothing is shared"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"irnn", "np", *KINDS}))
def test_other_cells_have_no_module(name):
    with pytest.raises(ValueError) as error:
        odyssey.RNN(name, 3, 4).to_torch()
    assert str(error.value) == (
        f"torch.nn has no module for the cell {CELLS[name].__name__}, only for elman_relu, "
        "gru_reset_after, irnn, lstm, np, rnn"
    )


def test_a_users_cell_that_derives_from_lstm_has_none():
    class Mine(CELLS["lstm"]):
        def step(self, x, R, p, s):
            h, c = super().step(x, R, p, s)
            return h / 2, c

    with pytest.raises(ValueError, match="no module for the cell Mine"):
        odyssey.RNN(Mine, 3, 4).to_torch()


def test_other_modules_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="no cell has the projection of proj_size=2: put an nn.L"):
        odyssey.RNN.from_torch(nn.LSTM(3, 4, proj_size=2))
    with pytest.raises(TypeError, match="from_torch takes a torch.nn.RNN, GRU or LSTM, not Linear"):
        odyssey.RNN.from_torch(nn.Linear(3, 4))

    class Doubled(nn.GRU):
        def forward(self, *given):
            y, h = super().forward(*given)
            return 2 * y, h

    with pytest.raises(TypeError, match="Doubled has a forward of its own"):
        odyssey.RNN.from_torch(Doubled(3, 4))
