"""The compiled backend: numbers equal those of the plain loop, for every cell and random ones."""

from __future__ import annotations

import pytest
import torch

import random_kit
from cell_cases import CELLS, able, assert_same, inputs, leaves, make, normal, results
from odyssey.recurrence import compiled, run
from random_cells import random_cell

CASES = [  # X, H, T, B, lengths, truncation
    (3, 3, 7, 4, [3, 7, 1, 5], None),
    (1, 1, 1, 1, None, None),
    (2, 7, 3, 2, None, 2),
    (7, 2, 7, 3, [7, 2, 6], 3),
    (3, 33, 4, 7, None, None),
]
LARGER = [(100, 129, 3, 7, [3, 1, 2, 3, 3, 3, 2], 2), (3, 257, 2, 1, None, None)]
TYPES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def randomise(cell, seed=0):
    """Every weight random, as in `make`."""
    generator = random_kit.torch_rng(seed)
    with torch.no_grad():
        for key, weight in cell.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(noise * (cell.hidden_size**-0.5 if key == "R" else 0.7))
    return cell


def check(cell, case, dtype, tolerance, reverse=False):
    _, _, T, B, lengths, truncation = case
    x, state = inputs(cell, T, B)
    x, state = x.to(dtype), tuple(v.to(dtype) for v in state)
    n = None if lengths is None else torch.tensor(lengths)
    options = {"reverse": reverse, "truncation": truncation}
    got = results(cell.to(dtype), x, state, n, backend="compiled", **options)
    # What is expected of float32 is the truth, rounded, not another's rounding errors.
    exact = [v.double() for v in (x, *state)]
    want = results(cell.double(), exact[0], tuple(exact[1:]), n, backend="reference", **options)
    assert_same(got, {k: v.to(dtype) for k, v in want.items()}, tolerance)


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=str)
def test_every_cell_equals_the_reference(name, dtype, tolerance):
    for k, case in enumerate(CASES):
        check(make(name, *case[:2]), case, dtype, tolerance, reverse=k % 2 == 1)


@pytest.mark.parametrize("name", ["lstm_peephole", "mut1"])
@pytest.mark.parametrize("case", LARGER, ids=str)
def test_larger_sizes(name, case):
    check(make(name, *case[:2]), case, *TYPES[1])


def test_all_cells_but_the_one_with_layer_norm():
    assert set(CELLS) - set(able("compiled")) == {"lstm_layernorm"}


# Compiling takes most of the time, so one in three is compiled; all run the same plan.
NUMBERS = [
    pytest.param(k, marks=pytest.mark.slow) if k % 3 == 0 and k > 9 else k for k in range(60)
]


@pytest.mark.parametrize("number", NUMBERS)
def test_random_cells_equal_the_reference(number, tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))  # nobody will want them again
    case = CASES[number % 2 * 3]  # sizes 3, 3 and 7, 2
    cell = randomise(random_cell(random_kit.seed(number))(*case[:2], dtype=torch.float64))
    for dtype, tolerance in TYPES if number % 3 == 0 else TYPES[:1]:
        check(cell, case, dtype, tolerance, reverse=number % 4 > 1)


@pytest.mark.parametrize("name", ["lstm_peephole", "mut1", "gru_reset_after", "nig"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_not_contiguous(name, dtype):
    cell = make(name, 3, 5).to(dtype)
    with torch.no_grad():
        for weight in cell.parameters():  # every other number of a larger memory, transposed
            wide = weight.new_zeros(*weight.shape[::-1], 2)
            wide[..., 0] = weight.t() if weight.dim() > 1 else weight
            weight.data = wide[..., 0].t() if weight.dim() > 1 else wide[..., 0]
    assert not any(weight.is_contiguous() for weight in cell.parameters())
    x = normal(4, 3, 7, seed=1).to(dtype).permute(2, 0, 1)
    state = tuple(normal(5, 4, seed=k).to(dtype).t() for k in range(2, 2 + len(cell.state)))
    a = results(cell, x, state, backend="compiled")
    b = results(cell, x, state, backend="reference")
    assert_same(a, b, 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_sequences_of_no_step_return_their_initial_state(dtype):
    """`run` refuses them; the backend itself hands states and gradients through."""
    cell = make("gru", 3, 5).to(dtype)
    x, h = leaves(normal(4, 3, 3, seed=1).to(dtype), normal(3, 5, seed=2).to(dtype))
    _, last = compiled.forward(cell, x, (h,), torch.tensor([2, 0, 4]), None)
    assert torch.equal(last.h[1], h[1])
    (gradient,) = torch.autograd.grad(last.h[1].sum(), [h])
    assert torch.equal(gradient, torch.tensor([[0.0], [1.0], [0.0]], dtype=dtype).expand(3, 5))


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "elman_relu", "mut1"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_nan_and_inf_come_out_where_the_reference_has_them(name, bad, dtype):
    cell = make(name, 3, 5).to(dtype)
    x, state = inputs(cell, 6, 3)
    x[2, 1, 0] = bad
    x, state = x.to(dtype), tuple(v.to(dtype) for v in state)
    a, b = (results(cell, x, state, backend=k) for k in ("compiled", "reference"))
    for key in a:
        assert torch.equal(a[key].isnan(), b[key].isnan()), key
        assert torch.equal(a[key].isinf(), b[key].isinf()), key


def test_backward_twice_and_changed_outputs():
    cell = make("lstm", 3, 5)
    x, state = inputs(cell, 4, 2)
    outputs, _ = run(cell, x, state, backend="compiled")
    first = torch.autograd.grad(outputs.sum(), list(cell.parameters()), retain_graph=True)
    again = torch.autograd.grad(outputs.sum(), list(cell.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    outputs, _ = run(cell, x, state, backend="compiled")
    with pytest.raises(RuntimeError, match="inplace|in-place"):
        outputs.mul_(2).sum().backward()
