"""What the first layer and the head read, how both start, and how many weights there are."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import random_kit
from cell_cases import NAMES, normal
from model_kit import model, same
from odyssey.cells import CELLS
from odyssey.errors import UserError
from odyssey.nn import EncoderDecoder, HeadInit, SequenceModel, Sizes, read_end

V, T, B = 7, 6, 5
LENGTHS = torch.tensor([4, 6, 1, 3, 2])


def _tokens(seed: int = 0, *shape: int) -> torch.Tensor:
    generator = random_kit.torch_rng(seed)
    return torch.randint(V, shape or (T, B), generator=generator)


# -- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rnn", "lstm", "mut1"])
def test_one_hot_times_w_is_an_embedding_row(name):
    """A one-hot model equals one whose cell reads the columns of W from an embedding."""
    hot = model(name, input="tokens", input_size=V)
    read = model(name, input="tokens", input_size=V, embedding_size=V)
    with torch.no_grad():
        for cell, other in zip(read.stack.cells(), hot.stack.cells(), strict=True):
            cell.load_state_dict(other.state_dict())
        read.head.load_state_dict(hot.head.state_dict())
        read.reader.embedding.weight.copy_(torch.eye(V))
    tokens = _tokens()
    same(hot(tokens, LENGTHS)[0], read(tokens, LENGTHS)[0])

    # By hand for the first step: W's column of the token, and no other.
    cell = hot.stack.cells()[0]
    for gate in cell.rows["W"]:
        column = F.embedding(tokens, cell.part("W", gate).T)
        x = getattr(cell.project(hot.reader(tokens, None, torch.float64)), gate)
        same(x, column + (cell.part("b", gate) if gate in cell.rows["b"] else 0))


def test_the_embedding_is_read_by_its_rows():
    net = model("lstm", input="tokens", input_size=V, embedding_size=3)
    tokens = _tokens()
    real = model("lstm", input="real", input_size=3)
    real.stack.load_state_dict(net.stack.state_dict())
    real.head.load_state_dict(net.head.state_dict())
    same(net(tokens)[0], real(net.reader.embedding.weight[tokens])[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_has_the_type_of_the_weights(dtype):
    net = model("rnn", input="tokens", input_size=V).to(dtype)
    logits, _ = net(_tokens())
    assert logits.dtype == dtype and logits.shape == (T, B, 4)


# -- the head ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("both", [False, True])
def test_last_reads_each_end(lengths, both):
    """One sequence after another: forward half at its last step, backward half at its first."""
    H = 5
    net = model("lstm", head="last", bidirectional=both, num_layers=2)
    x = normal(T, B, 3, seed=4)
    logits, state = net(x, lengths)
    y, _ = net.stack(x, lengths)
    for b in range(B):
        n = T if lengths is None else int(lengths[b])
        end = y[n - 1, b, :H]
        if both:
            end = torch.cat([end, y[0, b, H:]])
        same(logits[b], net.head.weight @ end + net.head.bias)
        same(torch.cat([s.h[b] for s in state[-1]]), end)


def test_last_of_length_one():
    outputs = normal(1, 3, 4, seed=0)
    same(read_end(outputs, None, 2), outputs[0])
    same(read_end(outputs, torch.tensor([1, 1, 1]), 2), outputs[0])


# -- how embedding and head start --------------------------------------------------------------


def _start(init: HeadInit, seed: int = 3) -> SequenceModel:
    torch.manual_seed(random_kit.seed(seed))
    return SequenceModel(
        CELLS["rnn"],
        Sizes(80, embedding_size=70),
        input="tokens",
        input_size=60,
        output_size=90,
        head="step",
        head_init=init,
    )


def test_head_init_of_none_is_torchs_own():
    """Drawn by nn.Embedding and nn.Linear themselves, in this order around the stack."""
    net = _start(HeadInit())
    torch.manual_seed(random_kit.seed(3))
    embedding = nn.Embedding(60, 70)
    CELLS["rnn"](70, 80)
    linear = nn.Linear(80, 90)
    assert torch.equal(net.reader.embedding.weight, embedding.weight)
    assert torch.equal(net.head.weight, linear.weight)
    assert torch.equal(net.head.bias, linear.bias)


@pytest.mark.parametrize("bias", ["zeros", "uniform", "normal"])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_head_init_draws_what_it_says(kind, bias):
    scale = 0.37
    net = _start(HeadInit(kind, scale, bias))
    for weight in (net.reader.embedding.weight, net.head.weight):
        _is_drawn(weight, kind, scale)
    if bias == "zeros":
        assert not net.head.bias.any()
    else:
        _is_drawn(net.head.bias, bias, scale)
    before = _start(HeadInit())
    for a, b in zip(net.stack.parameters(), before.stack.parameters(), strict=True):
        assert torch.equal(a, b), "the cells are not the head's business"


def _is_drawn(weight, kind, scale):
    """Mean and deviation within five standard errors; bounds of the uniform kept and reached."""
    weight, n = weight.detach(), weight.numel()
    deviation = scale if kind == "normal" else scale / math.sqrt(3)
    excess = 3.0 if kind == "normal" else 1.8  # kurtosis, for the standard error of a variance
    assert abs(float(weight.mean())) < 5 * deviation / math.sqrt(n)
    error = 5 * deviation**2 * math.sqrt((excess - 1) / n)
    assert abs(float(weight.var()) - deviation**2) < error
    largest = float(weight.abs().max())
    assert largest > scale if kind == "normal" else scale * (1 - 10 / n) < largest <= scale


def test_a_decoders_embedding_starts_as_told_too():
    net = EncoderDecoder(
        CELLS["rnn"],
        Sizes(30, embedding_size=40),
        input_size=50,
        output_size=60,
        head_init=HeadInit("uniform", 0.01),
    )
    for weight in (net.reader.embedding.weight, net.decoder_reader.embedding.weight):
        _is_drawn(weight, "uniform", 0.01)
    assert not torch.equal(net.reader.embedding.weight, net.decoder_reader.embedding.weight)
    _is_drawn(net.head.weight, "uniform", 0.01)


# -- parameters --------------------------------------------------------------------------------


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("X", "H", "L", "E", "K"), [(1, 1, 1, None, 1), (11, 7, 3, 5, 13)])
@pytest.mark.parametrize("both", [False, True])
def test_parameters_of_an_lstm(X, H, L, E, K, both):
    D = 2 if both else 1
    net = model(
        "lstm",
        input="tokens",
        input_size=X,
        output_size=K,
        hidden_size=H,
        num_layers=L,
        embedding_size=E,
        bidirectional=both,
    )
    read = E or X
    layers = D * 4 * (H * read + H * H + H) + (L - 1) * D * 4 * (H * H * D + H * H + H)
    assert _count(net) == (X * E if E else 0) + layers + (H * D + 1) * K


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("both", [False, True])
def test_parameters_of_every_cell(name, both):
    H, D = 5, 2 if both else 1
    net = model(name, num_layers=2, bidirectional=both, hidden_size=H)
    count = CELLS[name].count
    assert _count(net) == D * (count(3, H) + count(H * D, H)) + (H * D + 1) * 4


def test_a_decoder_in_two_directions_is_refused():
    """It would read from the far end the very answers that it is to give."""
    with pytest.raises(UserError, match="model.bidirectional=true.*model.bidirectional=false"):
        EncoderDecoder(CELLS["rnn"], Sizes(3, bidirectional=True), input_size=4, output_size=4)


def test_head_and_embedding_by_a_function() -> None:
    """Each weight is filled by the function as torch's own is, with the scale where one is set."""
    seed, cell = random_kit.seed(), CELLS["lstm"]

    def make(init: HeadInit) -> SequenceModel:
        torch.manual_seed(seed)
        return SequenceModel(
            cell,
            Sizes(5, embedding_size=4),
            input="tokens",
            input_size=6,
            output_size=3,
            head="step",
            head_init=init,
        )

    net = make(HeadInit("torch.nn.init.xavier_normal_", None, "torch.nn.init.ones_"))
    scaled = make(HeadInit("torch.nn.init.xavier_normal_", 0.5))
    torch.manual_seed(seed)
    embedding, _, head = torch.nn.Embedding(6, 4), cell(4, 5), torch.nn.Linear(5, 3)
    for weight in (embedding.weight, head.weight):
        torch.nn.init.xavier_normal_(weight)
    assert torch.equal(net.reader.embedding.weight, embedding.weight)
    assert torch.equal(net.head.weight, head.weight)
    assert (net.head.bias == 1).all()
    torch.testing.assert_close(scaled.head.weight, head.weight / 2)
    with pytest.raises(UserError, match=r"torch.nn.init.ones_ cannot fill weights \(3,\): "):
        make(HeadInit("torch.nn.init.xavier_normal_", 0.7, "torch.nn.init.ones_"))
