"""Where torch.nn computes the same function, both backends equal nn.RNN, nn.LSTM and nn.GRU."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cell_cases import cotangent, inputs, leaves, make, normal
from odyssey.recurrence import run

# Cell -> the module, and our gates in torch's order.
MODULES = {
    "rnn": (lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k), None),
    "elman_relu": (lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), None),
    "irnn": (lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), None),
    "lstm": (nn.LSTM, ("i", "f", "z", "o")),
    "np": (nn.LSTM, ("i", "f", "z", "o")),
    "gru_reset_after": (nn.GRU, ("r", "z", "n")),
}


def _order(cell, name):
    return MODULES[name][1] or cell.gates


def _fill(module, cell, name, suffix):
    """Copy the weights of `cell` into the direction of `module` that `suffix` names."""
    order = _order(cell, name)
    H = cell.hidden_size
    with torch.no_grad():
        for key, letter in (("weight_ih", "W"), ("weight_hh", "R"), ("bias_ih", "b")):
            stacked = torch.cat([cell.part(letter, gate) for gate in order])
            getattr(module, f"{key}_l0{suffix}").copy_(stacked)
        second = getattr(module, f"bias_hh_l0{suffix}").zero_()
        if cell.vectors:
            second[2 * H :] = cell.part("p", cell.vectors[0])


def _gradients(module, cell, name, suffix):
    """torch's gradients in the storage order of `cell`, by the names of its parameters."""
    order = _order(cell, name)
    H = cell.hidden_size
    found = {}
    for key, letter in (("weight_ih", "W"), ("weight_hh", "R"), ("bias_ih", "b")):
        rows = getattr(module, f"{key}_l0{suffix}").grad.split(H)
        by_gate = dict(zip(order, rows, strict=True))
        found[letter] = torch.cat([by_gate[gate] for gate in cell.rows[letter]])
    if cell.vectors:
        found["p"] = getattr(module, f"bias_hh_l0{suffix}").grad[2 * H :].unsqueeze(0)
    return found


def _torch(module, x, states, lengths):
    """states: one (directions, B, H) for each of h and c -> outputs (T, B, D*H), last states."""
    hidden = states if isinstance(module, nn.LSTM) else states[0]
    if lengths is None:
        y, last = module(x, hidden)
    else:
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, last = module(packed, hidden)
        y, _ = pad_packed_sequence(y, total_length=x.shape[0])
    return y, last if isinstance(last, tuple) else (last,)


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("lengths", [None, [4, 7, 1, 7, 2], [3, 3, 5, 5, 1]], ids=str)
@pytest.mark.parametrize("given", [False, True], ids=["zero state", "given state"])
def test_equals_torch(name, backend, both, lengths, given):
    X, H, B, T = 3, 5, 5, 7
    suffixes = ["", "_reverse"] if both else [""]
    cells = [make(name, X, H, seed=seed) for seed in range(len(suffixes))]
    module = MODULES[name][0](X, H, bidirectional=both).double()
    for cell, suffix in zip(cells, suffixes, strict=True):
        _fill(module, cell, name, suffix)
    n = None if lengths is None else torch.tensor(lengths)
    x, _ = inputs(cells[0], T, B)
    states = [normal(len(cells), B, H, seed=30 + k) for k in range(len(cells[0].state))]
    if not given:
        states = [torch.zeros_like(v) for v in states]

    theirs = leaves(x, *states)
    y, last = _torch(module, theirs[0], theirs[1:], n)
    cotangent(y, last).backward()

    ours = leaves(x, *states)
    pieces, ends = [], []
    for d, cell in enumerate(cells):
        start = tuple(v[d] for v in ours[1:]) if given else None
        out, end = run(cell, ours[0], start, n, reverse=d == 1, backend=backend)
        pieces.append(out)
        ends.append(end)
    outputs = torch.cat(pieces, -1)
    ends = tuple(torch.stack(v) for v in zip(*ends, strict=True))
    cotangent(outputs, ends).backward()

    def same(a, b):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)

    same(outputs, y)
    same(ends, tuple(last))
    same(ours[0].grad, theirs[0].grad)
    if given:
        for a, b in zip(ours[1:], theirs[1:], strict=True):
            same(a.grad, b.grad)
    for cell, suffix in zip(cells, suffixes, strict=True):
        expected = _gradients(module, cell, name, suffix)
        assert expected.keys() == dict(cell.named_parameters()).keys()
        for key, gradient in expected.items():
            same(getattr(cell, key).grad, gradient)
