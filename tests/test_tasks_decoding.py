"""What is drawn from a model's outputs, and where a text ends."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from odyssey.errors import UserError
from odyssey.tasks.decoding import Nucleus, draw_one, until


def kept(probabilities: np.ndarray, top_k: int | None, top_p: float | None) -> np.ndarray:
    """The probabilities that are left, by going through them from the likeliest on."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    order = order[:top_k]
    left = np.zeros_like(probabilities)
    total = sum(probabilities[i] for i in order)
    have = 0.0
    for i in order:
        if top_p is not None and have >= top_p * total:
            break
        left[i] = probabilities[i]
        have += probabilities[i]
    return left / left.sum()


@pytest.mark.parametrize("top_k", [None, 1, 3, 9, 100])
@pytest.mark.parametrize("top_p", [None, 1e-9, 0.3, 0.75, 1.0])
def test_the_likeliest_share_the_probability(top_k, top_p, rng: np.random.Generator) -> None:
    for size in (1, 2, 9, 40):
        probabilities = rng.dirichlet(np.full(size, 0.4))
        got = Nucleus(top_k, top_p).of(torch.from_numpy(probabilities)).numpy()
        np.testing.assert_allclose(got, kept(probabilities, top_k, top_p), rtol=1e-9, atol=1e-12)


def test_draws_follow_what_is_left(rng: np.random.Generator) -> None:
    logits = torch.from_numpy(rng.normal(size=7) * 2)
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    nucleus = Nucleus(4, 0.9)
    drawn = [draw_one(logits, 0.8, generator, nucleus) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=7) / len(drawn)
    expected = kept(torch.softmax(logits / 0.8, 0).numpy(), 4, 0.9)
    assert (shares[expected == 0] == 0).all()
    deviation = np.sqrt(expected * (1 - expected) / len(drawn))
    assert (abs(shares - expected) <= 5 * deviation + 1e-12).all()


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_what_leaves_nothing_is_refused(options: dict) -> None:
    with pytest.raises(UserError, match="is out of range"):
        Nucleus(**options)


def test_a_text_ends_before_its_stop_however_it_comes_in_pieces() -> None:
    for _ in range(300):
        text = "".join(random.choices("ab\n", k=random.randint(0, 20)))
        stop = "".join(random.choices("ab\n", k=random.randint(1, 4)))
        cuts = sorted(random.choices(range(len(text) + 1), k=5))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        got = list(until(iter(pieces), stop))
        assert "".join(got) == text.partition(stop)[0], (text, stop, pieces)


def test_nothing_is_held_back_that_cannot_be_the_stop() -> None:
    pieces = until(iter(["a", "b", "x"]), "bc")
    assert next(pieces) == "a"
    assert list(pieces) == ["bx", ""]
