"""The compiled backend at awkward sizes, over long sequences, and bit for bit."""

from __future__ import annotations

import copy
import random

import pytest
import torch

import random_kit
from cell_cases import able, assert_same, inputs, make, results

SIZES = (1, 2, 3, 7, 100, 129, 257)


def drawn(name):
    """(X, H, T, B, lengths, truncation, reverse) of a cell, three for each."""
    draw = random.Random(name)  # always the same ones: all sizes are to be among them
    # Over the cells every size comes up as B and as H; none has both large, which takes long.
    k = able("compiled").index(name)
    for j in (0, 1, 2):
        small, large = SIZES[(k + j) % 4], SIZES[(k + 3 * j) % 7]
        B, H = (small, large) if draw.random() < 0.5 else (large, small)
        T = draw.choice([1, 2, 3, 5])
        lengths = None if draw.random() < 0.3 else [draw.randint(1, T) for _ in range(B)]
        truncation = draw.choice([None, 2, 3])
        yield draw.choice([1, 3, 7, H]), H, T, B, lengths, truncation, draw.random() < 0.5


def test_the_sizes_drawn_are_all_there():
    every = [case for name in able("compiled") for case in drawn(name)]
    assert {case[1] for case in every} == {case[3] for case in every} == set(SIZES)


def both(cell, x, state, lengths=None, **options):
    """Results of the compiled cell in float32, and of the reference in float64, rounded."""
    exact, wide = copy.deepcopy(cell).double(), (x.double(), tuple(v.double() for v in state))
    got = results(cell, x, state, lengths, backend="compiled", **options)
    want = results(exact, *wide, lengths, backend="reference", **options)
    return got, {k: v.float() for k, v in want.items()}


def single(name, X, H, T, B):
    cell = make(name, X, H).float()
    x, state = inputs(cell, T, B)
    return cell, x.float(), tuple(v.float() for v in state)


@pytest.mark.parametrize("name", able("compiled"))
def test_sizes(name):
    for X, H, T, B, lengths, truncation, reverse in drawn(name):
        n = None if lengths is None else torch.tensor(lengths)
        options = {"truncation": truncation, "reverse": reverse}
        assert_same(*both(*single(name, X, H, T, B), n, **options), 1e-5)


@pytest.mark.parametrize(
    ("name", "lengths", "truncation"),
    [("lstm_peephole", [2000, 1999, 1], 37), ("gru", None, None), ("mut1", [731, 2000, 7], None)],
)
def test_two_thousand_steps(name, lengths, truncation):
    n = None if lengths is None else torch.tensor(lengths)
    cell = single(name, 3, 7, 2000, 3)
    assert_same(*both(*cell, n, truncation=truncation), 1e-5)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "fgr", "mut1"])
def test_nan_in_one_sequence(name):
    """Comes out where the reference has it, in that sequence alone, and not at its padding."""
    draw = random_kit.dice()
    lengths = torch.tensor([5, 7, 2, 6])
    for reverse in (False, True):
        cell, x, state = single(name, 3, 7, 7, 4)
        b = draw.randrange(4)
        x[draw.randrange(int(lengths[b])), b, draw.randrange(3)] = float("nan")
        x[int(lengths[2]) :, 2] = float("nan")
        found = [
            results(cell, x, state, lengths, truncation=3, reverse=reverse, backend=k)
            for k in ("compiled", "reference")
        ]
        for key, value in found[0].items():
            assert torch.equal(value.isnan(), found[1][key].isnan()), key
        assert found[0]["outputs"][:, b].isnan().any()
        assert not found[0]["outputs"][:, [k for k in range(4) if k != b]].isnan().any()


@pytest.fixture
def threads():
    """torch.set_num_threads, undone after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "fgr", "gru_reset_after"])
def test_the_same_bits_for_the_same_number_of_threads(name, threads):
    """Outputs have the same bits for any number; gradients of weights are sums over threads."""
    cell, x, state = single(name, 3, 100, 13, 11)  # enough work that threads are made
    lengths = torch.tensor([13, 1, 7, 13, 2, 12, 5, 13, 13, 3, 9])
    found = {}
    for count in (1, 2, 3):
        threads(count)
        first, again = (results(cell, x, state, lengths, backend="compiled") for _ in range(2))
        assert all(torch.equal(first[k], again[k]) for k in first)
        found[count] = first
    for key, value in found[1].items():
        if key.startswith(("outputs", "final")):
            assert torch.equal(value, found[2][key]) and torch.equal(value, found[3][key]), key
    assert_same(found[2], found[1], 1e-5)
