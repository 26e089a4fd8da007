"""State goes in and comes out: chained windows, checkpoints, encoder and decoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import random_kit
from cell_cases import NAMES, PAIRS, normal
from model_kit import TORCH, randomize, same, twin
from model_kit import model as make
from odyssey.cells import CELLS
from odyssey.nn import (
    EncoderDecoder,
    Sizes,
    detach,
    flatten_state,
    unflatten_state,
)

T, B, V = 11, 3, 6


@pytest.mark.parametrize(("name", "backend"), PAIRS)
@pytest.mark.parametrize("cuts", [[5], [1, 2, 3], [4, 10]], ids=str)
def test_chained_windows_equal_one_pass(name, backend, cuts):
    """Logits and final states; and, as the state keeps its graph, every gradient too."""
    net = make(name, num_layers=2, backend=backend, input="tokens", input_size=V, hidden_size=4)
    x = torch.randint(V, (T, B), generator=random_kit.torch_rng(2))
    weigh = normal(T, B, 4, seed=8)

    whole, end = net(x)
    (whole * weigh).sum().backward()
    wanted = [p.grad.clone() for p in net.parameters()]

    net.zero_grad()
    state, pieces = None, []
    for start, stop in zip([0, *cuts], [*cuts, T], strict=True):
        logits, state = net(x[start:stop], None, state)
        pieces.append(logits)
    (torch.cat(pieces) * weigh).sum().backward()

    same(torch.cat(pieces), whole)
    same(flatten_state(state), flatten_state(end))
    same([p.grad for p in net.parameters()], wanted)


@pytest.mark.parametrize("name", NAMES)
def test_ragged_then_on(name):
    """Windows of which some sequences end early go on from each sequence's own end."""
    net = make(name, num_layers=2, hidden_size=4)
    x = normal(T, B, 3, seed=3)
    lengths = torch.tensor([5, 2, 7])
    _, state = net(x[:7], lengths)
    more, _ = net(x[7:], None, state)
    for b, n in enumerate(lengths.tolist()):
        alone, _ = net(torch.cat([x[:n, b : b + 1], x[7:, b : b + 1]]))
        same(more[:, b], alone[n:, 0])


@pytest.mark.parametrize("name", ["rnn", "lstm", "fgr"])
@pytest.mark.parametrize("both", [False, True])
def test_detach_and_flatten(name, both):
    net = make(name, num_layers=2, bidirectional=both)
    _, state = net(normal(T, B, 3, seed=3))
    assert all(v.requires_grad for layer in state for s in layer for v in s)
    cut = detach(state)
    assert not any(v.requires_grad or v.grad_fn for layer in cut for s in layer for v in s)
    back = unflatten_state(net.stack, flatten_state(cut))
    for old, new, cells in zip(state, back, net.stack.grid(), strict=True):
        for a, b, cell in zip(old, new, cells, strict=True):
            assert type(b) is cell.State
            assert all(torch.equal(u, v) for u, v in zip(a, b, strict=True))


# -- encoder and decoder -----------------------------------------------------------------------


def _translator(name: str, layers: int, embedding: int | None, backend: str = "auto"):
    sizes = Sizes(4, num_layers=layers, embedding_size=embedding, backend=backend)
    return randomize(EncoderDecoder(CELLS[name], sizes, input_size=V, output_size=V))


def _words(seed: int, steps: int) -> torch.Tensor:
    return torch.randint(V, (steps, B), generator=random_kit.torch_rng(seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("embedding", [None, 3])
def test_decoder_goes_on_from_the_encoder(name, embedding):
    """By hand: each sequence alone through one stack and then the other."""
    net = _translator(name, 2, embedding)
    source, told = _words(1, 7), _words(2, 5)
    lengths = torch.tensor([7, 1, 4])
    logits, end = net(source, lengths, decoder=told)
    assert logits.shape == (5, B, V)

    def read(reader, tokens):
        one_hot = torch.eye(V, dtype=torch.float64)[tokens]
        return one_hot if embedding is None else one_hot @ reader.embedding.weight

    for b, n in enumerate(lengths.tolist()):
        _, state = net.stack(read(net.reader, source[:n, b : b + 1]))
        y, last = net.decoder(read(net.decoder_reader, told[:, b : b + 1]), None, state)
        same(logits[:, b], (y @ net.head.weight.T + net.head.bias)[:, 0])
        for layer, alone in zip(end, last, strict=True):
            same([v[b] for v in layer[0]], [v[0] for v in alone[0]])


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("backend", ["reference", "library"])
def test_encoder_decoder_equals_two_of_torch(name, backend):
    """Values and gradients of a nn.LSTM (RNN, GRU) that starts where another ended."""
    net = _translator(name, 3, None, backend)

    def copy(stack):
        wrapped = nn.Module()
        wrapped.stack = stack
        return twin(wrapped, name)

    one, two = copy(net.stack), copy(net.decoder)
    source, told = _words(1, 7), _words(2, 5)
    eye = torch.eye(V, dtype=torch.float64)
    _, hidden = one(eye[source])
    y, _ = two(eye[told], hidden)
    expected = net.head(y)
    logits, _ = net(source, decoder=told)
    same(logits, expected)

    weigh = normal(5, B, V, seed=4)
    grads = torch.autograd.grad((logits * weigh).sum(), [c.W for c in net.stack.cells()])
    theirs = [getattr(one, f"weight_ih_l{i}") for i in range(3)]
    wanted = torch.autograd.grad((expected * weigh).sum(), theirs)
    order = TORCH[name][1]
    for cell, a, b in zip(net.stack.cells(), grads, wanted, strict=True):
        rows = dict(zip(order, b.split(4), strict=True))
        same(a, torch.cat([rows[g] for g in cell.rows["W"]]))


def test_the_decoder_only_sees_the_past():
    net = _translator("lstm", 2, 3)
    source, told = _words(1, 7), _words(2, 5)
    before, _ = net(source, decoder=told)
    told[3] = (told[3] + 1) % V
    after, _ = net(source, decoder=told)
    assert torch.equal(before[:3], after[:3]) and not torch.equal(before[3:], after[3:])


def test_truncation_cuts_both_stacks_and_no_value():
    """Length 1 leaves the encoder no gradient at all but through its last step."""
    net = _translator("rnn", 1, 3)
    source, told = _words(1, 7), _words(2, 5)
    full, _ = net(source, decoder=told)
    cut, _ = net(source, decoder=told, truncation=1)
    same(full, cut, 1e-14)
    (cell,) = net.stack.cells()
    net.zero_grad()
    cut[0].sum().backward()
    # Of the recurrent matrix only the last step counts: an outer product, so of rank 1 a sequence.
    _, before = net.stack(net.reader(source[:6], None, torch.float64))
    _, end = net.stack(net.reader(source, None, torch.float64))
    (dec,) = net.decoder.cells()
    y = net.head.weight.sum(0) * (1 - _first(net, told, end) ** 2)
    back = (y @ dec.R) * (1 - end[0][0].h ** 2)
    same(cell.R.grad, back.T @ before[0][0].h)


def _first(net, told, end):
    """The decoder's first hidden state."""
    y, _ = net.decoder(net.decoder_reader(told[:1], None, torch.float64), None, end)
    return y[0]
