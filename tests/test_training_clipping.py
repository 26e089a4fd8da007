"""Clipping and what is said about it, against NumPy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from cell_cases import normal
from odyssey.training import checkpoint
from odyssey.training.optim import clip_gradients
from odyssey.training.train import train
from training_kit import charlm, module

SHAPES = [(3, 5), (7,), (1, 1), (2, 3, 2)]


def _parameters(gradients):
    """One parameter for each gradient; None is a weight that the loss did not reach."""
    params = []
    for g in gradients:
        p = nn.Parameter(torch.zeros(1 if g is None else g.shape, dtype=torch.float64))
        p.grad = None if g is None else g.clone()
        params.append(p)
    return params


def _random(seed, scale=1.0):
    return [normal(*shape, seed=seed + i) * scale for i, shape in enumerate(SHAPES)]


def _norm(gradients):
    return math.sqrt(sum(float((g.numpy() ** 2).sum()) for g in gradients))


def _clipped(params):
    return [p.grad.numpy() for p in params if p.grad is not None]


def _equal(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("threshold", [1e-5, 0.5, 5.0])
def test_norm(scale, threshold):
    """One factor for all entries, min(1, threshold / norm)."""
    gradients = _random(1, scale)
    norm = _norm(gradients)
    params = _parameters([*gradients, None])
    found, clipped = clip_gradients(params, "norm", threshold)
    assert float(found) == pytest.approx(norm, rel=1e-13)
    assert float(clipped) == (norm > threshold)
    factor = min(1.0, threshold / norm)
    _equal(_clipped(params), [g.numpy() * factor for g in gradients])
    assert params[-1].grad is None


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("threshold", [0.01, 0.5, 5.0])
def test_value(scale, threshold):
    """Every entry by itself; the norm is still the one before."""
    gradients = _random(2, scale)
    params = _parameters([None, *gradients])
    found, clipped = clip_gradients(params, "value", threshold)
    assert float(found) == pytest.approx(_norm(gradients), rel=1e-13)
    largest = max(float(g.abs().max()) for g in gradients)
    assert float(clipped) == (largest > threshold)
    _equal(_clipped(params), [np.clip(g.numpy(), -threshold, threshold) for g in gradients])


def test_none():
    gradients = _random(3, 1e6)
    params = _parameters(gradients)
    found, clipped = clip_gradients(params, "none", None)
    assert float(found) == pytest.approx(_norm(gradients), rel=1e-13) and float(clipped) == 0
    _equal(_clipped(params), [g.numpy() for g in gradients])


def test_at_the_threshold_itself():
    """A norm, or an entry, of exactly the threshold is not clipped and keeps its bits."""
    g = torch.tensor([3.0, -4.0], dtype=torch.float64)
    for kind, threshold in (("norm", 5.0), ("value", 4.0)):
        (p,) = params = _parameters([g])
        norm, clipped = clip_gradients(params, kind, threshold)
        assert float(norm) == 5.0 and float(clipped) == 0 and torch.equal(p.grad, g)
        (p,) = params = _parameters([g])
        _, clipped = clip_gradients(params, kind, math.nextafter(threshold, 0))
        assert float(clipped) == 1


@pytest.mark.parametrize("kind", ["norm", "value", "none"])
def test_zero_and_absent_gradients(kind):
    threshold = None if kind == "none" else 1.0
    params = _parameters([torch.zeros(3, dtype=torch.float64), None])
    norm, clipped = clip_gradients(params, kind, threshold)
    assert float(norm) == 0 and float(clipped) == 0
    assert torch.equal(params[0].grad, torch.zeros(3, dtype=torch.float64))
    norm, clipped = clip_gradients(_parameters([None, None]), kind, threshold)
    assert float(norm) == 0 and float(clipped) == 0


@pytest.mark.parametrize("kind", ["norm", "value", "none"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_shows(kind, bad):
    """The norm says so, and a bad norm does not turn into a finite step unseen."""
    g = torch.tensor([1.0, bad, 2.0], dtype=torch.float64)
    (p,) = params = _parameters([g])
    norm, _ = clip_gradients(params, kind, None if kind == "none" else 0.5)
    assert not math.isfinite(float(norm))
    if kind == "norm" or math.isnan(bad):
        assert torch.isnan(p.grad).any()
    elif kind == "value":
        assert torch.equal(p.grad, torch.tensor([0.5, math.copysign(0.5, bad), 0.5]).double())
    else:
        assert torch.equal(p.grad, g)


# -- in a run ----------------------------------------------------------------------------------


def _rows(folder, name):
    lines = (folder / "metrics.csv").read_text().splitlines()[1:]
    return [float(v) for _, _, n, v, _ in (line.split(",") for line in lines) if n == name]


def test_a_step_of_a_run_is_as_long_as_the_threshold(tmp_path, monkeypatch):
    """Plain gradient descent with lr 1: the weights move by the clipped gradient."""
    from odyssey.training import train as training

    starts, build = [], training.build_model

    def spy(cfg, spec):
        model = build(cfg, spec)
        starts.append({k: v.clone() for k, v in model.state_dict().items()})
        return model

    monkeypatch.setattr(training, "build_model", spy)
    threshold = 0.01
    cfg = charlm(
        tmp_path,
        "optimizer=sgd",
        "optimizer.lr=1",
        "optimizer.momentum=0",
        "clip=norm",
        f"clip.threshold={threshold}",
        "trainer.max_steps=1",
        "trainer.sample=false",
    )
    result = train(cfg)
    after = checkpoint.load(result.folder / "checkpoints" / "last.ckpt")["model"]
    moved = math.sqrt(sum(float((after[k] - v).square().sum()) for k, v in starts[0].items()))
    assert moved == pytest.approx(threshold, rel=1e-4)

    # The norm in the table is that of the gradient at the first weights, before clipping.
    net = module(cfg)
    net.model.load_state_dict(starts[0])
    net.training_step(net.task.batches("train").get(0, 0), 0).backward()
    norm = _norm([p.grad for p in net.model.parameters()])
    assert _rows(result.folder, "train/grad_norm") == [pytest.approx(norm, rel=1e-5)]


def test_the_share_of_clipped_steps(tmp_path):
    """A threshold in the middle of the norms of a run without learning: so many are above it."""
    common = ("trainer.max_steps=12", "trainer.sample=false", "optimizer=sgd", "optimizer.lr=1e-30")
    free = train(charlm(tmp_path, "clip=none", "trainer.log_every=1", *common))
    norms = sorted(_rows(free.folder, "train/grad_norm"))
    assert len(norms) == 12
    threshold = (norms[7] + norms[8]) / 2
    # Logged four steps at a time, so that the sums over steps are tried too.
    clip = ("clip=norm", f"clip.threshold={threshold}", "trainer.log_every=4")
    some = train(charlm(tmp_path, *clip, *common))
    record = json.loads((some.folder / "run.json").read_text())
    assert record["clipped_share"] == pytest.approx(4 / 12)
    assert sum(_rows(some.folder, "train/clipped")) / 3 == pytest.approx(4 / 12)
    assert np.mean(_rows(some.folder, "train/grad_norm")) == pytest.approx(np.mean(norms), rel=1e-6)
    assert json.loads((free.folder / "run.json").read_text())["clipped_share"] == 0
