"""A cell that is called runs one step, as nn.LSTMCell and nn.GRUCell do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import random_cells
from cell_cases import NAMES, inputs, make, normal
from odyssey.cells import CELLS, GRU, LSTM
from odyssey.recurrence import run


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_the_run_over_time(name):
    cell = make(name, 3, 4)
    x, state = inputs(cell, 5, 2)
    outputs, last = run(cell, x, state, backend="reference")
    for t in range(5):
        new = cell(x[t], state if len(state) > 1 else state[0])
        assert isinstance(new, tuple) == (len(state) > 1)
        state = _tuple(new)
        torch.testing.assert_close(state[0], outputs[t], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, tuple(last), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_a_batch_or_without_a_state(name):
    cell = make(name, 3, 4)
    x, state = inputs(cell, 2, 1)
    alone = _tuple(cell(x[0, 0], tuple(v[0] for v in state) if len(state) > 1 else state[0][0]))
    both = _tuple(cell(x[0], state if len(state) > 1 else state[0]))
    assert all(torch.equal(a, b[0]) and a.shape == (4,) for a, b in zip(alone, both, strict=True))
    zeros = [torch.zeros_like(v) for v in state]
    given = _tuple(cell(x[0], zeros if len(zeros) > 1 else zeros[0]))
    assert all(torch.equal(a, b) for a, b in zip(_tuple(cell(x[0])), given, strict=True))


def test_it_is_torchs_lstm_cell():
    cell = make("lstm", 3, 4)
    theirs = nn.LSTMCell(3, 4, dtype=torch.float64)
    with torch.no_grad():
        values = (cell.W, cell.R, cell.b, torch.zeros_like(cell.b))
        for p, value in zip(theirs.parameters(), values, strict=True):
            p.copy_(value)
    x, state = inputs(cell, 1, 5)
    torch.testing.assert_close(cell(x[0], state), theirs(x[0], state), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(cell(x[0]), theirs(x[0]), rtol=1e-12, atol=1e-12)


def test_a_sequence_is_referred_to_the_layer():
    with pytest.raises(ValueError) as error:
        LSTM(3, 4)(torch.zeros(7, 5, 3))
    assert str(error.value) == (
        "a cell runs one step, of x (B, 3) or (3), not (7, 5, 3); for sequences say "
        "odyssey.RNN(LSTM, 3, 4)(x)"
    )


@pytest.mark.parametrize(
    ("cell", "x", "state", "words"),
    [
        (LSTM, (5, 2), None, "a cell runs one step, of x (B, 3) or (3), not (5, 2)"),
        (LSTM, (5, 3), torch.zeros(5, 4), "the state of LSTM must be (h, c), each (5, 4), not [(5"),
        (LSTM, (5, 3), (torch.zeros(5, 4),), "must be (h, c), each (5, 4), not [(5, 4)]"),
        (LSTM, (3,), (torch.zeros(1, 4),) * 2, "must be (h, c), each (4,), not [(1, 4), (1, 4)]"),
        (GRU, (5, 3), (torch.zeros(5, 4),), "the state of GRU must be a tensor h (5, 4), not [("),
        (GRU, (5, 3), torch.zeros(5, 3), "must be a tensor h (5, 4), not [(5, 3)]"),
    ],
    ids=str,
)
def test_wrong_shapes_are_one_sentence(cell, x, state, words):
    with pytest.raises(ValueError) as error:
        cell(3, 4)(torch.zeros(x), state)
    assert words in str(error.value)


@pytest.mark.parametrize("name", random_cells.STEPS)
def test_cells_of_unusual_forms(name):
    cell = random_cells.randomise(random_cells.odd_cell(name)(3, 4, dtype=torch.float64))
    x, state = inputs(cell, 3, 2)
    outputs, last = run(cell, x, state, backend="reference")
    for t in range(3):
        state = _tuple(cell(x[t], state if len(state) > 1 else state[0]))
        torch.testing.assert_close(state[0], outputs[t], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, tuple(last), rtol=1e-12, atol=1e-12)


def test_gradients_reach_all_weights():
    cell = CELLS["lstm_peephole"](3, 4)
    h, c = cell(normal(5, 3, seed=1).float())
    h, c = cell(normal(5, 3, seed=2).float(), (h, c))
    (h + c).sum().backward()
    assert all(bool(p.grad.any()) for p in cell.parameters())
