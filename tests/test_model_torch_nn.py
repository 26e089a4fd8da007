"""A SequenceModel equals nn.RNN, nn.LSTM and nn.GRU under a linear layer, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cell_cases import leaves, normal
from model_kit import TORCH, gradient_part, model, same, to_torch, twin

X, H, K, T, B = 3, 5, 4, 7, 5


def _cotangent(logits, states):
    """A scalar in which every number counts with its own weight."""
    values = [logits, *states]
    return sum((v * normal(*v.shape, seed=70 + i)).sum() for i, v in enumerate(values))


def _theirs(module, head, x, states, lengths, last):
    """torch.nn by its own means -> logits and the stacked last states."""
    hidden = states if isinstance(module, nn.LSTM) else states[0]
    if lengths is None:
        y, end = module(x, hidden)
    else:
        y, end = module(pack_padded_sequence(x, lengths, enforce_sorted=False), hidden)
        y, _ = pad_packed_sequence(y, total_length=x.shape[0])
    if last:  # each direction's output after its last step is what it ends with, top layer
        h = (end[0] if isinstance(end, tuple) else end).unflatten(0, (module.num_layers, -1))
        y = torch.cat(list(h[-1]), -1)
    return head(y), end if isinstance(end, tuple) else (end,)


def _stacked(state):
    """[layer][direction] -> State as torch has it: one (L·D, B, H) for each of h and c."""
    flat = [s for layer in state for s in layer]
    return tuple(torch.stack(v) for v in zip(*flat, strict=True))


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
@pytest.mark.parametrize("lengths", [None, [4, 7, 1, 7, 2], [3, 3, 5, 5, 1]], ids=str)
@pytest.mark.parametrize("head", ["step", "last"])
def test_equals_torch(name, backend, layers, both, lengths, head):
    ours = model(
        name, num_layers=layers, bidirectional=both, backend=backend, head=head, hidden_size=H
    )
    module = twin(ours, name)
    linear = nn.Linear(H * (1 + both), K).double()
    linear.load_state_dict(ours.head.state_dict())
    n = None if lengths is None else torch.tensor(lengths)
    rows = layers * (1 + both)
    given = [normal(rows, B, H, seed=30 + k) for k in range(2 if name == "lstm" else 1)]
    x = normal(T, B, X, seed=9)

    theirs = leaves(x, *given)
    expected, expected_end = _theirs(module, linear, theirs[0], theirs[1:], n, head == "last")
    _cotangent(expected, expected_end).backward()

    mine = leaves(x, *given)
    cells = ours.stack.grid()
    state = [
        tuple(
            cell.State(*(v[i * len(layer) + d] for v in mine[1:])) for d, cell in enumerate(layer)
        )
        for i, layer in enumerate(cells)
    ]
    logits, end = ours(mine[0], n, state)
    _cotangent(logits, _stacked(end)).backward()

    same(logits, expected)
    same(_stacked(end), tuple(expected_end))
    for a, b in zip(mine, theirs, strict=True):
        same(a.grad, b.grad)
    same(ours.head.weight.grad, linear.weight.grad)
    same(ours.head.bias.grad, linear.bias.grad)
    order = TORCH[name][1]
    for i, layer in enumerate(cells):
        for d, cell in enumerate(layer):
            for key, gradient in to_torch(cell, order, gradient_part(cell)).items():
                wanted = getattr(module, f"{key}_l{i}{'_reverse' if d else ''}").grad
                if key == "bias_hh":  # elsewhere torch's second bias doubles the first
                    if not cell.vectors:
                        continue
                    gradient, wanted = gradient[2 * H :], wanted[2 * H :]
                same(gradient, wanted)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("backend", ["reference", "library"])
def test_no_state_is_a_state_of_zeros(name, backend):
    ours = model(name, num_layers=2, bidirectional=True, backend=backend)
    x, n = normal(T, B, X, seed=3), torch.tensor([4, 7, 1, 7, 2])
    zeros = [tuple(cell.initial_state(x[0]) for cell in layer) for layer in ours.stack.grid()]
    assert torch.equal(ours(x, n)[0], ours(x, n, zeros)[0])
