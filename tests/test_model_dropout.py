"""Dropout lies between layers, and only in training."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from cell_cases import normal
from model_kit import model
from odyssey.recurrence import run

T, B = 6, 4


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("head", ["step", "last"])
def test_three_layers_by_hand(backend, both, head, seed):
    """The same generator, the same masks: one after layer 1, one after layer 2, none elsewhere."""
    net = model(
        "lstm", num_layers=3, dropout=0.4, bidirectional=both, backend=backend, head=head
    ).train()
    x = normal(T, B, 3, seed=1)
    torch.manual_seed(seed)
    logits, _ = net(x)
    after = torch.rand(())

    torch.manual_seed(seed)
    y = x
    for i, layer in enumerate(net.stack.grid()):
        if i:
            y = F.dropout(y, 0.4)
        y = torch.cat(
            [run(c, y, reverse=d == 1, backend=backend)[0] for d, c in enumerate(layer)], -1
        )
    if head == "last":
        H = 5
        y = torch.cat([y[-1, :, :H], y[0, :, H:]], -1)
    torch.testing.assert_close(logits, net.head(y), rtol=0, atol=1e-14)
    assert torch.equal(after, torch.rand(())), "and nothing else was drawn"


def test_none_in_evaluation():
    wet = model("lstm", num_layers=2, dropout=0.9).eval()
    dry = model("lstm", num_layers=2, dropout=0.0).train()
    x = normal(T, B, 3, seed=1)
    before = torch.get_rng_state()
    assert torch.equal(wet(x)[0], dry(x)[0])
    assert torch.equal(before, torch.get_rng_state())


def test_none_with_one_layer():
    net = model("lstm", dropout=0.9).train()
    x = normal(T, B, 3, seed=1)
    assert torch.equal(net(x)[0], net.eval()(x)[0])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.83])
def test_share_and_scale(p):
    """Of N numbers about pN are zeroed (within five deviations) and the rest is 1/(1-p) larger."""
    net = model("rnn", num_layers=2, dropout=p, hidden_size=40).train()
    seen = []
    net.stack.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    net(normal(30, 20, 3, seed=2))
    ((given, out),) = seen
    n, gone = out.numel(), out == 0
    assert not (given == 0).any()
    assert abs(int(gone.sum()) - p * n) < 5 * math.sqrt(p * (1 - p) * n)
    torch.testing.assert_close(out[~gone], given[~gone] / (1 - p), rtol=1e-12, atol=0)
    masks = gone.flatten(0, 1)  # each step of each sequence has its own; few are alike by chance
    assert len(torch.unique(masks, dim=0)) > len(masks) / 2


def test_two_passes_differ():
    net = model("rnn", num_layers=2, dropout=0.5).train()
    x = normal(T, B, 3, seed=2)
    assert not torch.equal(net(x)[0], net(x)[0])
