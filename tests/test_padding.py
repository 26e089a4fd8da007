"""Padding never changes a number: every cell, both directions, every backend."""

from __future__ import annotations

import pytest
import torch

from cell_cases import PAIRS, cotangent, inputs, leaves, make, normal
from odyssey.recurrence import run

T, B = 7, 5
LENGTHS = [[4, 7, 1, 7, 2], [5, 3, 3, 1, 2]]  # with and without a sequence that fills T
GARBAGE = {"zeros": 0.0, "noise": None, "1e30": 1e30, "nan": float("nan"), "inf": float("inf")}


def _padded(x, lengths, garbage):
    """x with every step beyond its sequence's end replaced."""
    fill = GARBAGE[garbage]
    other = normal(*x.shape, seed=99) if fill is None else torch.full_like(x, fill)
    beyond = torch.arange(T).unsqueeze(1) >= torch.tensor(lengths)
    return torch.where(beyond.unsqueeze(-1), other, x), beyond


def _weights(outputs, last, seed=50):
    values = (outputs, *last)
    return [normal(*v.shape, seed=seed + k) for k, v in enumerate(values)]


def _alone(cell, x, state, lengths, reverse, backend):
    """Each sequence by itself without padding; the loss weighs its numbers as in the batch."""
    x, *state = leaves(x, *state)
    outputs = torch.zeros(T, B, cell.hidden_size, dtype=x.dtype)
    ends = [torch.zeros_like(v) for v in state]
    weights = _weights(outputs, ends)
    loss = torch.zeros((), dtype=x.dtype)
    for b, n in enumerate(lengths):
        start = tuple(v[b : b + 1] for v in state)
        y, last = run(cell, x[:n, b : b + 1], start, reverse=reverse, backend=backend)
        outputs[:n, b] = y[:, 0].detach()
        loss = loss + (y[:, 0] * weights[0][:n, b]).sum()
        for k, v in enumerate(last):
            ends[k][b] = v[0].detach()
            loss = loss + (v[0] * weights[1 + k][b]).sum()
    gradients = torch.autograd.grad(loss, [x, *state, *cell.parameters()])
    return outputs, ends, gradients


@pytest.mark.parametrize(("name", "backend"), PAIRS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_padding_changes_nothing(name, backend, reverse):
    cell = make(name, 3, 4)
    for lengths in LENGTHS:
        x, state = inputs(cell, T, B)
        expected = _alone(cell, x, state, lengths, reverse, backend)
        for garbage in GARBAGE:
            filled, beyond = _padded(x, lengths, garbage)
            got_x, *got_state = leaves(filled, *state)
            outputs, last = run(
                cell,
                got_x,
                tuple(got_state),
                torch.tensor(lengths),
                reverse=reverse,
                backend=backend,
            )
            loss = cotangent(outputs, last)
            gradients = torch.autograd.grad(loss, [got_x, *got_state, *cell.parameters()])

            where = f"{lengths}, padding of {garbage}"
            assert not outputs[beyond].any(), f"{where}: outputs at padding"
            assert not gradients[0][beyond].any(), f"{where}: gradient by the padding"
            torch.testing.assert_close(
                (outputs, tuple(last), gradients),
                (expected[0], tuple(expected[1]), expected[2]),
                rtol=1e-10,
                atol=1e-10,
                msg=lambda m, where=where: f"{where}: {m}",
            )


@pytest.mark.parametrize(("name", "backend"), PAIRS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_longer_padding_changes_nothing(name, backend, reverse):
    """The same batch padded to 7 and to 12 steps, and lengths that say nothing is padding."""
    cell = make(name, 3, 4)
    x, state = inputs(cell, T, B)
    lengths = torch.tensor([4, 7, 1, 7, 2])
    short, last = run(cell, x, state, lengths, reverse=reverse, backend=backend)
    more = torch.cat([x, normal(5, B, 3, seed=7)])
    long, end = run(cell, more, state, lengths, reverse=reverse, backend=backend)
    torch.testing.assert_close(long[:T], short, rtol=0, atol=1e-12)
    torch.testing.assert_close(tuple(end), tuple(last), rtol=0, atol=1e-12)
    assert not long[T:].any()

    full = torch.full((B,), T)
    a, b = (run(cell, x, state, n, reverse=reverse, backend=backend) for n in (full, None))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_the_order_of_the_batch_changes_nothing(name, backend):
    cell = make(name, 3, 4)
    x, state = inputs(cell, T, B)
    lengths = torch.tensor([4, 7, 1, 7, 2])
    outputs, last = run(cell, x, state, lengths, backend=backend)
    order = torch.tensor([3, 0, 4, 2, 1])
    moved, ends = run(
        cell, x[:, order], tuple(v[order] for v in state), lengths[order], backend=backend
    )
    torch.testing.assert_close(moved, outputs[:, order], rtol=0, atol=1e-12)
    torch.testing.assert_close(tuple(ends), tuple(v[order] for v in last), rtol=0, atol=1e-12)
