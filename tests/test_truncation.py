"""Truncated backpropagation through time, against gradients derived without `truncation`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cell_cases import PAIRS, able, assert_same, cotangent, inputs, leaves, make, normal, results
from odyssey.recurrence import run
from oracles import Weights

T, B = 7, 4
LENGTHS = [None, [3, 7, 1, 5], [2, 6, 6, 4]]
SOME = [pair for pair in PAIRS if pair[0] in {"jordan", "gru", "lstm", "lstm_peephole", "fgr"}]
SOME += [(name, "library") for name in able("library") if (name, "library") not in SOME]


def _loss_weights(T, B, H, count):
    """The numbers `cotangent` weighs outputs and final states with."""
    return normal(T, B, H, seed=50), [normal(B, H, seed=51 + k) for k in range(count)]


def _elman_by_hand(w, xs, h0, G, F, n):
    """Backprop through time for h_t = tanh(W x_t + R h_{t-1} + b), one sequence.

    The loss is sum_t G_t . h_t + F . h_last. The delta is not handed from step t to step t-1
    where t is a multiple of n.
    """
    (W,), (R,), (b,) = w.W.values(), w.R.values(), w.b.values()
    hs = [h0]
    for x in xs:
        hs.append(np.tanh(W @ x + R @ hs[-1] + b))
    dW, dR, db, dx = np.zeros_like(W), np.zeros_like(R), np.zeros_like(b), np.zeros_like(xs)
    dh = F.copy()
    for t in reversed(range(len(xs))):
        delta = (G[t] + dh) * (1 - hs[t + 1] ** 2)
        dW += np.outer(delta, xs[t])
        dR += np.outer(delta, hs[t])
        db += delta
        dx[t] = W.T @ delta
        dh = R.T @ delta
        if t > 0 and t % n == 0:
            dh = np.zeros_like(dh)
    return dW, dR, db, dx, dh


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 20])
def test_elman_equals_the_gradient_by_hand(backend, reverse, lengths, n):
    cell = make("rnn", 3, 5)
    x, state = inputs(cell, T, B)
    tensor = None if lengths is None else torch.tensor(lengths)
    got = results(cell, x, state, tensor, reverse=reverse, truncation=n, backend=backend)

    w = Weights(cell)
    G, (F,) = _loss_weights(T, B, 5, 1)
    turn = slice(None, None, -1 if reverse else 1)
    sums = [0.0, 0.0, 0.0]
    dx, dh = np.zeros((T, B, 3)), np.zeros((B, 5))
    for k in range(B):
        m = T if lengths is None else lengths[k]
        xs, Gs = x[:m, k].numpy()[turn], G[:m, k].numpy()[turn]
        *parts, dx_k, dh[k] = _elman_by_hand(w, xs, state[0][k].numpy(), Gs, F[k].numpy(), n)
        sums = [a + b for a, b in zip(sums, parts, strict=True)]
        dx[:m, k] = dx_k[turn]
    expected = dict(zip(["W", "R", "b", "x", "h"], [*sums, dx, dh], strict=True))
    for key, value in expected.items():
        np.testing.assert_allclose(got[f"grad {key}"].numpy(), value, rtol=1e-10, atol=1e-10)


def _by_windows(cell, x, state, lengths, reverse, n, backend):
    """Each sequence alone, run window by window with the state detached between windows."""
    x, *first = leaves(x, *state)
    G, Fs = _loss_weights(x.shape[0], x.shape[1], cell.hidden_size, len(first))
    loss = torch.zeros((), dtype=x.dtype)
    for k in range(x.shape[1]):
        m = x.shape[0] if lengths is None else lengths[k]
        xs, Gs = x[:m, k : k + 1], G[:m, k : k + 1]
        if reverse:
            xs, Gs = xs.flip(0), Gs.flip(0)
        carried = tuple(v[k : k + 1] for v in first)
        for start in range(0, m, n):
            if start:
                carried = tuple(v.detach() for v in carried)
            y, carried = run(cell, xs[start : start + n], carried, backend=backend)
            loss = loss + (y * Gs[start : start + n]).sum()
        loss = loss + sum((v * F[k]).sum() for v, F in zip(carried, Fs, strict=True))
    weights = dict(cell.named_parameters())
    gradients = torch.autograd.grad(loss, [x, *first, *weights.values()])
    names = ["x", *cell.state, *weights]
    return {f"grad {k}": v for k, v in zip(names, gradients, strict=True)}


@pytest.mark.parametrize(("name", "backend"), SOME)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_equals_the_sum_over_windows(name, backend, reverse, lengths):
    cell = make(name, 3, 4)
    x, state = inputs(cell, T, B)
    tensor = None if lengths is None else torch.tensor(lengths)
    for n in (1, 3, 4):
        got = results(cell, x, state, tensor, reverse=reverse, truncation=n, backend=backend)
        expected = _by_windows(cell, x, state, lengths, reverse, n, "reference")
        assert_same({k: got[k] for k in expected}, expected)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", LENGTHS[:2], ids=str)
def test_no_forward_value_changes(name, backend, reverse, lengths):
    cell = make(name, 3, 4)
    x, state = inputs(cell, T, B)
    tensor = None if lengths is None else torch.tensor(lengths)
    full = run(cell, x, state, tensor, reverse=reverse, backend=backend)
    for n in (1, 2, 3, 6):
        cut = run(cell, x, state, tensor, reverse=reverse, truncation=n, backend=backend)
        torch.testing.assert_close(cut, full, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_as_long_as_the_sequence_is_full_backpropagation(name, backend):
    cell = make(name, 3, 8)
    x, state = inputs(cell, T, 8)  # so many that no seed leaves each ReLU at zero
    for lengths in (None, torch.tensor([3, 7, 1, 5] * 2), torch.tensor([3, 5, 1, 5] * 2)):
        full = results(cell, x, state, lengths, backend=backend)
        for n in (T, T + 1, 1000):
            cut = results(cell, x, state, lengths, truncation=n, backend=backend)
            assert all(torch.equal(cut[key], full[key]) for key in full)
    assert not torch.equal(
        results(cell, x, state, truncation=T - 1, backend=backend)["grad R"],
        results(cell, x, state, backend=backend)["grad R"],
    )


@pytest.mark.parametrize(("name", "backend"), PAIRS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_nothing_flows_across_a_cut(name, backend, reverse):
    """The last step's output depends on its own window's inputs alone, by gradient."""
    cell = make(name, 3, 4)
    x, state = inputs(cell, T, 16)  # so many that no seed leaves each ReLU at zero
    x, *state = leaves(x, *state)
    outputs, _ = run(cell, x, tuple(state), reverse=reverse, truncation=3, backend=backend)
    last = outputs[0] if reverse else outputs[-1]
    gradient, *starts = torch.autograd.grad(last.sum(), [x, *state], materialize_grads=True)
    own = slice(0, 1) if reverse else slice(6, 7)  # steps 6 of 0..6: the windows are 3, 3, 1
    assert gradient[own].abs().sum() > 0
    gradient[own] = 0
    assert not gradient.any()
    assert not any(v.any() for v in starts)


def test_cotangent_is_what_the_oracle_weighs():
    outputs, last = normal(T, B, 5, seed=1), (normal(B, 5, seed=2), normal(B, 5, seed=3))
    G, Fs = _loss_weights(T, B, 5, 2)
    total = (outputs * G).sum() + sum((v * F).sum() for v, F in zip(last, Fs, strict=True))
    torch.testing.assert_close(cotangent(outputs, last), total)
