"""Each optimizer against its formula in NumPy, over twenty steps down a quadratic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from odyssey.config import schema
from odyssey.training.optim import make_optimizer
from training_kit import settings

STEPS = 20
A, B, START = np.empty((6, 6)), np.empty(6), np.empty(6)  # loss = x·Ax/2 - b·x, and where it starts


@pytest.fixture(autouse=True)
def quadratic(rng):
    m = rng.normal(size=(6, 6))
    A[:], B[:], START[:] = m @ m.T / 6 + 0.1 * np.eye(6), rng.normal(size=6), rng.normal(size=6)


def slope(x):
    return A @ x - B


def run(cfg):
    """The path of x under the optimizer of `cfg`, one row a step."""
    x = nn.Parameter(torch.tensor(START))
    optimizer = make_optimizer(cfg, [x])
    path = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = 0.5 * x @ torch.tensor(A) @ x - torch.tensor(B) @ x
        loss.backward()
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.array(path)


def check(cfg, step, state):
    """`step(x, state, t)` gives the next x and state; t counts from 1."""
    x, wanted = START.copy(), []
    for t in range(1, STEPS + 1):
        x, state = step(x, state, t)
        wanted.append(x.copy())
    np.testing.assert_allclose(run(cfg), np.array(wanted), rtol=1e-10, atol=1e-12)


DECAYS = [0.0, 0.3]


@pytest.mark.parametrize("penalty", DECAYS)
def test_plain_descent(penalty):
    cfg = schema.SgdConfig(lr=0.05, momentum=0.0, nesterov=False, weight_decay=penalty)
    check(cfg, lambda x, s, t: (x - 0.05 * (slope(x) + penalty * x), s), None)


def test_nesterov_without_momentum_is_plain_descent():
    cfg = schema.SgdConfig(lr=0.05, momentum=0.0, nesterov=True)
    check(cfg, lambda x, s, t: (x - 0.05 * slope(x), s), None)
    cfg = schema.SgdConfig(lr=0.05, momentum=0.0, nesterov=True, scale_lr_by_momentum=True)
    check(cfg, lambda x, s, t: (x - 0.05 * slope(x), s), None)


def test_heavy_ball():
    cfg = schema.SgdConfig(lr=0.05, momentum=0.8, nesterov=False)

    def step(x, v, t):
        v = 0.8 * v - 0.05 * slope(x)
        return x + v, v

    check(cfg, step, np.zeros(6))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("momentum", [0.1, 0.9, 0.99])
def test_nesterov(momentum, scaled):
    """Sutskever's form: the gradient is taken where the momentum will have led, y = x + m v.

    v' = m v - e f'(x + m v), x' = x + v'. The optimizer keeps the points y. Greff et al. take
    steps of e = lr (1 - m).
    """
    lr = 0.05
    cfg = schema.SgdConfig(lr=lr, momentum=momentum, nesterov=True, scale_lr_by_momentum=scaled)
    e = lr * (1 - momentum) if scaled else lr

    def step(y, state, t):
        x, v = state
        np.testing.assert_allclose(y, x + momentum * v, rtol=1e-12, atol=1e-14)
        v = momentum * v - e * slope(x + momentum * v)
        x = x + v
        return x + momentum * v, (x, v)

    check(cfg, step, (START.copy(), np.zeros(6)))


@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize("penalty", DECAYS)
def test_adam(kind, penalty):
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019 take the decay out of the moments."""
    lr, b1, b2, eps = 0.07, 0.8, 0.95, 1e-3
    make = schema.AdamConfig if kind == "adam" else schema.AdamWConfig
    cfg = make(lr=lr, beta1=b1, beta2=b2, eps=eps, weight_decay=penalty)

    def step(x, state, t):
        m, v = state
        g = slope(x) + (penalty * x if kind == "adam" else 0)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        new = x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        return new - (lr * penalty * x if kind == "adamw" else 0), (m, v)

    check(cfg, step, (np.zeros(6), np.zeros(6)))


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("penalty", DECAYS)
def test_rmsprop(momentum, penalty):
    """As char-rnn's: eps beside the root, the mean of squares not centred."""
    lr, alpha, eps = 0.02, 0.9, 1e-2
    cfg = schema.RmspropConfig(lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=penalty)

    def step(x, state, t):
        square, v = state
        g = slope(x) + penalty * x
        square = alpha * square + (1 - alpha) * g * g
        v = momentum * v + g / (np.sqrt(square) + eps)
        return x - lr * v, (square, v)

    check(cfg, step, (np.zeros(6), np.zeros(6)))


@pytest.mark.parametrize(
    ("eps", "start"), [(1e-10, 0.0), (1e-2, 0.5), (0.0, 1e-8)], ids=["default", "both", "karpathy"]
)
@pytest.mark.parametrize("penalty", DECAYS)
def test_adagrad(eps, start, penalty):
    """eps=0 with initial_accumulator=1e-8 is min-char-rnn's g / sqrt(mem + 1e-8)."""
    cfg = schema.AdagradConfig(lr=0.1, eps=eps, initial_accumulator=start, weight_decay=penalty)

    def step(x, mem, t):
        g = slope(x) + penalty * x
        mem = mem + g * g
        return x - 0.1 * g / (np.sqrt(mem + start) + eps), mem

    check(cfg, step, np.zeros(6))


def test_karpathys_adagrad_leaves_a_weight_without_gradient_alone():
    """The column of a character not seen: 0 / sqrt(1e-8) is 0, in float32 too."""
    for dtype in (torch.float32, torch.float64):
        x = nn.Parameter(torch.ones(3, dtype=dtype))
        cfg = schema.AdagradConfig(lr=0.1, eps=0.0, initial_accumulator=1e-8)
        optimizer = make_optimizer(cfg, [x])
        x.grad = torch.tensor([0.0, 1e-4, 1.0], dtype=dtype)
        optimizer.step()
        wanted = [1.0, 1 - 0.1 * 1e-4 / np.sqrt(1e-8 + 1e-8), 1 - 0.1 / np.sqrt(1 + 1e-8)]
        np.testing.assert_allclose(
            x.detach().numpy(), wanted, rtol=1e-6 if dtype.itemsize == 4 else 1e-12
        )


@pytest.mark.parametrize("kind", sorted({*schema.OPTIMIZERS} - {"own"}))
def test_composed_settings_make_it(kind):
    """From the YAML: what is built is of this kind, has the rate asked for, and goes downhill."""
    cfg = settings(f"optimizer={kind}", "optimizer.lr=0.0123", "optimizer.weight_decay=0.001")
    x = nn.Parameter(torch.ones(2))
    optimizer = make_optimizer(cfg.optimizer, [x])
    assert type(optimizer).__name__.lower() == kind
    assert optimizer.param_groups[0]["lr"] == 0.0123
    assert optimizer.param_groups[0]["weight_decay"] == 0.001
    x.grad = torch.ones(2)
    optimizer.step()
    assert (x < 1).all()
