"""The compiled backend under torch.func, against the plain loop under the same transforms."""

from __future__ import annotations

import pytest
import torch
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from torch.utils._pytree import tree_leaves, tree_map

import random_kit
from cell_cases import able, make, normal
from model_kit import model
from odyssey.errors import UserError
from odyssey.recurrence import run

N, T, B = 3, 7, 2
LENGTHS = torch.tensor([7, 4])
SOME = ["lstm_peephole", "gru", "mut1"]  # with vectors; two products a step; with bare inputs
TYPES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


class Layer(torch.nn.Module):
    """A cell run by one backend."""

    def __init__(self, cell, backend):
        super().__init__()
        self.cell, self.backend = cell, backend

    def forward(self, x, state=None, lengths=None, **options):
        outputs, last = run(self.cell, x, state, lengths, backend=self.backend, **options)
        return outputs, tuple(last)


def weigh(values):
    """A scalar that depends on all of the values, each with its own weight."""
    return sum(
        (v * torch.linspace(-1, 2, v.numel(), dtype=v.dtype).view(v.shape)).sum()
        for v in tree_leaves(values)
    )


class Setting:
    """A cell and what to map it over: N inputs, N states, N sets of weights."""

    def __init__(self, name, dtype):
        cell = make(name, 3, 5).to(dtype)
        self.cell = cell
        self.layers = {k: Layer(cell, k) for k in ("compiled", "reference")}
        self.weights = {k: v.detach() for k, v in cell.named_parameters()}
        self.models = {
            k: normal(N, *v.shape, seed=7).to(dtype) * 0.5 for k, v in self.weights.items()
        }
        self.xs = normal(N, T, B, 3, seed=3).to(dtype)
        self.states = tuple(normal(N, B, 5, seed=k).to(dtype) for k in range(len(cell.state)))

    def call(self, backend, weights, x, state=None, lengths=None, **options):
        weights = {f"cell.{k}": v for k, v in (self.weights | weights).items()}
        return functional_call(self.layers[backend], weights, (x, state, lengths), options)

    def loss(self, *arguments, **options):
        return weigh(self.call(*arguments, **options))


def assert_close(got, want, tolerance):
    for a, b in zip(tree_leaves(got), tree_leaves(want), strict=True):
        a, b = a.detach(), b.detach()
        limit = tolerance * max(1.0, float(b.abs().max()))
        torch.testing.assert_close(a, b, rtol=0, atol=limit)


def one_loop(function, *stacked):
    """vmap without torch."""
    found = [function(*tree_map(lambda v, i=i: v[i], stacked)) for i in range(N)]
    return tree_map(lambda *v: torch.stack(v), *found)


# -- what the transforms are, for a setting s and a backend k --------------------------------------

ONE = {
    "inputs": lambda s, k: vmap(lambda x: s.call(k, {}, x))(s.xs),
    "weights": lambda s, k: vmap(lambda w: s.call(k, w, s.xs[0]))(s.models),
    "gradients for each example": lambda s, k: vmap(
        grad(lambda w, x: s.loss(k, w, x)), in_dims=(None, 0)
    )(s.weights, s.xs),
}
MORE = {
    "inputs, another dimension": lambda s, k: vmap(
        lambda x: s.call(k, {}, x), in_dims=2, out_dims=1
    )(s.xs.movedim(0, 2)),
    "inputs and states": lambda s, k: vmap(
        lambda x, v: s.call(k, {}, x, v, LENGTHS, reverse=True, truncation=3)
    )(s.xs, s.states),
    "states": lambda s, k: vmap(lambda v: s.call(k, {}, s.xs[0], v))(s.states),
    "weights and inputs": lambda s, k: vmap(lambda w, x: s.call(k, w, x, None, LENGTHS))(
        s.models, s.xs
    ),
    "grad": lambda s, k: grad(lambda w: s.loss(k, w, s.xs[0]))(s.weights),
    "grad of inputs for each example": lambda s, k: vmap(grad(lambda x: s.loss(k, {}, x)))(s.xs),
    "grad of all for each example": lambda s, k: vmap(
        grad(lambda w, x, v: s.loss(k, w, x, v, LENGTHS, truncation=2), argnums=(0, 1, 2)),
        in_dims=(None, 0, 0),
    )(s.weights, s.xs, s.states),
    "grad for each model": lambda s, k: vmap(
        grad(lambda w, x: s.loss(k, w, x), argnums=(0, 1)), in_dims=(0, None)
    )(s.models, s.xs[0]),
    "grad for each model and input": lambda s, k: vmap(grad(lambda w, x: s.loss(k, w, x)))(
        s.models, s.xs
    ),
    "grad for each W": lambda s, k: vmap(grad(lambda W: s.loss(k, {"W": W}, s.xs[0])))(
        s.models["W"]
    ),
    "grad of a vmap of inputs": lambda s, k: grad(
        lambda w: weigh(vmap(lambda x: s.call(k, w, x))(s.xs))
    )(s.weights),
    "grad of a vmap of models": lambda s, k: grad(
        lambda w: weigh(vmap(lambda w, x: s.call(k, w, x))(w, s.xs))
    )(s.models),
    "examples for each model": lambda s, k: vmap(
        lambda w: vmap(grad(lambda w, x: s.loss(k, w, x)), in_dims=(None, 0))(w, s.xs)
    )(s.models),
    "jacrev": lambda s, k: jacrev(lambda R: s.call(k, {"R": R}, s.xs[0])[0][-1])(s.weights["R"]),
}


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize("what", ONE)
def test_every_cell_equals_the_reference(name, what):
    s = Setting(name, torch.float32)
    exact = Setting(name, torch.float64)
    want = tree_map(lambda v: v.float(), ONE[what](exact, "reference"))
    assert_close(ONE[what](s, "compiled"), want, 1e-5)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("what", MORE)
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES, ids=str)
def test_combinations_equal_the_reference(name, what, dtype, tolerance):
    s = Setting(name, dtype)
    assert_close(MORE[what](s, "compiled"), MORE[what](s, "reference"), tolerance)


@pytest.mark.parametrize("name", SOME)
def test_vmap_equals_a_loop(name):
    s = Setting(name, torch.float32)

    def both(w, x):
        return s.call("compiled", w, x), grad(lambda w: s.loss("compiled", w, x))(w)

    assert_close(vmap(both)(s.models, s.xs), one_loop(both, s.models, s.xs), 1e-5)


@pytest.mark.parametrize("name", SOME)
def test_vjp_outside_its_context(name):
    """The tensors that were kept are torch.func's own by then."""
    s = Setting(name, torch.float32)
    outputs, back = vjp(lambda w: s.call("compiled", w, s.xs[0]), s.weights)
    _, want = vjp(lambda w: s.call("reference", w, s.xs[0]), s.weights)
    ones = tree_map(torch.ones_like, outputs)
    assert_close(back(ones), want(ones), 1e-5)
    with torch.no_grad():
        assert_close(back(ones), want(ones), 1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_models(bidirectional):
    """As `torch.func` trains an ensemble: whole models, their weights one above another."""
    tokens = torch.randint(0, 11, (T, B), generator=random_kit.torch_rng())
    found = []
    for backend in ("compiled", "reference"):
        options = {"input": "tokens", "input_size": 11, "embedding_size": 3, "backend": backend}
        options |= {"num_layers": 2, "bidirectional": bidirectional}
        models = [model("cifg", seed=k, **options).float() for k in range(N)]
        weights, buffers = stack_module_state(models)

        def loss(weights, buffers, first=models[0]):
            return weigh(functional_call(first, (weights, buffers), (tokens,), {"truncation": 3}))

        found.append(vmap(grad(loss))(weights, buffers))
    assert_close(*found, 1e-5)


# -- what there is none of ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: jvp(lambda x: s.call("compiled", {}, x), (s.xs[0],), (s.xs[1],)),
        lambda s: jacfwd(lambda x: s.call("compiled", {}, x))(s.xs[0]),
        lambda s: hessian(lambda x: s.loss("compiled", {}, x))(s.xs[0]),
        lambda s: grad(lambda x: grad(lambda x: s.loss("compiled", {}, x))(x).sum())(s.xs[0]),
        lambda s: vmap(jacrev(jacrev(lambda x: s.loss("compiled", {}, x))))(s.xs),
    ],
    ids=["jvp", "jacfwd", "hessian", "grad of grad", "vmap of jacrev of jacrev"],
)
def test_other_derivatives_are_refused_with_a_sentence(ask):
    with pytest.raises(UserError, match=r"first derivatives.*model\.backend=reference"):
        ask(Setting("lstm", torch.float32))


@pytest.mark.parametrize("by", ["x", "state", "W", "R", "b", "p"])
def test_second_derivatives_are_refused_whatever_they_are_by(by):
    """A gradient that is linear in its adjoints must not pass for a constant."""
    s = Setting("lstm_peephole", torch.float32)
    x, state = s.xs[0], tuple(v[0] for v in s.states)
    for weight in s.cell.parameters():
        weight.requires_grad_(False)
    value = {"x": x, "state": state[1]}.get(by)
    value = (getattr(s.cell, by) if value is None else value).requires_grad_()
    outputs, _ = run(s.cell, x, state, backend="compiled")
    (first,) = torch.autograd.grad(outputs.sum(), [value], create_graph=True)
    (again,) = torch.autograd.grad(outputs.sum(), [value], retain_graph=True)
    assert torch.equal(first, again)
    with pytest.raises(UserError, match=r"first derivatives.*model\.backend=reference"):
        first.sum().backward()
