"""Padding never changes a number of a model: every cell, both directions, tokens and reals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import random_kit
from cell_cases import NAMES, normal
from model_kit import model, same

T, B, V, K = 5, 4, 6, 4
LENGTHS = [[3, 5, 1, 2], [2, 4, 4, 1]]  # with and without a sequence that fills T
TOKENS = [V - 1, -1, -(2**62)]
REALS = [1e30, float("nan"), float("inf")]


def _beyond(lengths):
    return torch.arange(T).unsqueeze(1) >= torch.tensor(lengths)


def _alone(net, x, targets, lengths):
    """Each sequence by itself, no padding, the losses added; logits at each one's own steps."""
    net.zero_grad()
    found, loss = [], torch.zeros((), dtype=torch.float64)
    for b, n in enumerate(lengths):
        logits, _ = net(x[:n, b : b + 1])
        wanted = targets[b] if net.last else targets[:n, b]
        loss = loss + F.cross_entropy(logits.view(-1, K), wanted.view(-1), reduction="sum")
        found.append(logits.detach().squeeze(1) if not net.last else logits[0].detach())
    loss.backward()
    return found, loss.detach(), [p.grad.clone() for p in net.parameters()]


def _padded(net, x, targets, lengths):
    net.zero_grad()
    logits, _ = net(x, torch.tensor(lengths))
    if net.last:
        loss = F.cross_entropy(logits, targets, reduction="sum")
        found = list(logits.detach())
    else:
        valid = ~_beyond(lengths)
        loss = F.cross_entropy(logits[valid], targets[valid], reduction="sum")
        found = [logits[:n, b].detach() for b, n in enumerate(lengths)]
        assert (logits[~valid] == net.head.bias).all(), "the stack says zero at padding"
    loss.backward()
    return found, loss.detach(), [p.grad.clone() for p in net.parameters()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("both", "kind"),
    [
        (False, "embedding"),
        (True, "real"),
        pytest.param(False, "one-hot", marks=pytest.mark.slow),
        pytest.param(True, "one-hot", marks=pytest.mark.slow),
        pytest.param(True, "embedding", marks=pytest.mark.slow),
        pytest.param(False, "real", marks=pytest.mark.slow),
    ],
)
def test_padding_changes_no_number(name, both, kind):
    generator = random_kit.torch_rng()
    real = kind == "real"
    for head, lengths in (("step", LENGTHS[0]), ("last", LENGTHS[1])):
        net = model(
            name,
            num_layers=2,
            hidden_size=3,
            bidirectional=both,
            head=head,
            output_size=K,
            input="real" if real else "tokens",
            input_size=3 if real else V,
            embedding_size=3 if kind == "embedding" else None,
        )
        x = normal(T, B, 3, seed=2) if real else torch.randint(V, (T, B), generator=generator)
        shape = (B,) if head == "last" else (T, B)
        targets = torch.randint(K, shape, generator=generator)
        expected = _alone(net, x, targets, lengths)
        beyond = _beyond(lengths)
        for garbage in REALS if real else TOKENS:
            filled = x.clone()
            filled[beyond] = garbage
            same(_padded(net, filled, targets, lengths), expected)


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("both", [False, True])
def test_no_gradient_reaches_the_padding(backend, both):
    net = model("lstm", num_layers=2, bidirectional=both, backend=backend)
    for garbage in REALS:
        x = normal(T, B, 3, seed=2)
        x[_beyond(LENGTHS[0])] = garbage
        x.requires_grad_()
        logits, _ = net(x, torch.tensor(LENGTHS[0]))
        logits.square().sum().backward()
        assert torch.isfinite(x.grad).all() and not x.grad[_beyond(LENGTHS[0])].any()
        assert x.grad[~_beyond(LENGTHS[0])].all()


def test_padding_is_not_touched():
    """The model must not write into the batch that it is given."""
    net = model("lstm", input="tokens", input_size=V)
    x = torch.full((T, B), 10**12)
    x[0] = 1
    before = x.clone()
    net(x, torch.ones(B, dtype=torch.int64))
    assert torch.equal(x, before)


def test_a_token_out_of_range_that_is_no_padding_is_an_error():
    """Only padding may hold anything: a wrong symbol inside a sequence must not pass silently."""
    for embedding in (None, 3):
        net = model("lstm", input="tokens", input_size=V, embedding_size=embedding)
        for token in (V, -1):
            x = torch.zeros(T, B, dtype=torch.int64)
            x[1, 0] = token
            with pytest.raises((RuntimeError, IndexError)):
                net(x, torch.tensor(LENGTHS[0]))
