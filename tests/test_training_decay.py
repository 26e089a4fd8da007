"""How the learning rate falls, update by update."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from odyssey.config import schema
from odyssey.training.optim import make_decay, make_optimizer
from odyssey.training.schedule import Schedule
from odyssey.training.train import train
from training_kit import charlm


def _rates(decay, plan, lr=0.5, kind="sgd"):
    """The rate that each update of a run uses."""
    cfg = schema.SgdConfig(lr=lr, momentum=0.0) if kind == "sgd" else schema.AdamConfig(lr=lr)
    optimizer = make_optimizer(cfg, [nn.Parameter(torch.zeros(1))])
    schedule = make_decay(decay, optimizer, plan, "min")
    rates = []
    for _ in range(plan.total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        assert isinstance(schedule.scheduler, LambdaLR)
        schedule.after_update(len(rates))
    return rates


@pytest.mark.parametrize("steps", [1, 3, 7])
@pytest.mark.parametrize("after", [1, 2, 10])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_char_rnns_rule(steps, after, kind):
    """When an epoch ends and at least `after` epochs are done, the rate is multiplied."""
    epochs, rate, wanted = 15, 0.5, []
    for i in range(1, epochs * steps + 1):
        wanted.append(rate)
        if i % steps == 0 and i // steps >= after:
            rate *= 0.97
    cfg = schema.ExponentialConfig(factor=0.97, after=after)
    plan = Schedule.make(steps, epochs, None, None)
    assert _rates(cfg, plan, kind=kind) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_ends(final):
    total = 41
    rates = _rates(schema.CosineConfig(final=final), Schedule(5, total, 5), lr=2.0)
    assert rates[0] == 2.0
    half = 1 + math.cos(math.pi * (total - 1) / total)  # the update before the end
    assert rates[-1] == pytest.approx(2.0 * (final + (1 - final) * half / 2), rel=1e-12)
    assert all(a > b for a, b in zip(rates, rates[1:], strict=False)) or final == 1.0
    # Symmetric about the middle, where it is half way.
    for i in range(1, total):
        assert rates[i] + rates[total - i] == pytest.approx(2.0 * (1 + final), rel=1e-12)


def test_cosine_reaches_its_end_and_stays():
    optimizer = make_optimizer(schema.SgdConfig(lr=2.0), [nn.Parameter(torch.zeros(1))])
    schedule = make_decay(schema.CosineConfig(final=0.1), optimizer, Schedule(5, 10, 5), "min")
    optimizer.step()
    for step in range(1, 15):
        schedule.after_update(step)
        if step >= 10:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2, rel=1e-12)


def test_none():
    optimizer = make_optimizer(schema.SgdConfig(), [nn.Parameter(torch.zeros(1))])
    assert make_decay(schema.DecayConfig(), optimizer, Schedule(5, 10, 5), "min") is None


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("lr", [0.8, 1e-8])
def test_plateau(mode, patience, lr):
    """It falls after `patience` validations in a row without a new best, then counts anew."""
    values = [5, 4, 4, 4, 3, 3.5, 3.4, 3.3, 3.2, 2.9999999, 3, 3, 3, 3, 3, 3, -1, -1, -2, -2]
    if mode == "max":
        values = [-v for v in values]
    optimizer = make_optimizer(schema.SgdConfig(lr=lr), [nn.Parameter(torch.zeros(1))])
    cfg = schema.PlateauConfig(factor=0.5, patience=patience)
    schedule = make_decay(cfg, optimizer, Schedule(5, 100, 5), mode)
    best, worse, rate = None, 0, lr
    for value in values:
        schedule.after_update(1)  # which makes no step
        schedule.after_validation(value)
        better = best is None or (value < best if mode == "min" else value > best)
        best, worse = (value, 0) if better else (best, worse + 1)
        if worse == patience:
            rate, worse = rate * 0.5, 0
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-12)


def test_a_run_uses_the_rates_it_writes(tmp_path):
    """Two epochs without decay, then half a rate each; `train/lr` is what the update used."""
    cfg = charlm(
        tmp_path,
        "decay=exponential",
        "decay.factor=0.5",
        "decay.after=2",
        "optimizer.lr=0.008",
        "bptt.length=30",
        "task.batch_size=2",
        "trainer.max_epochs=4",
        "trainer.log_every=1",
        "trainer.sample=false",
    )
    folder = train(cfg).folder
    lines = (folder / "metrics.csv").read_text().splitlines()[1:]
    rates = [float(v) for _, _, n, v, _ in (line.split(",") for line in lines) if n == "train/lr"]
    steps = len(rates) // 4
    assert steps * 4 == len(rates) == 16
    assert rates == pytest.approx([0.008] * 2 * steps + [0.004] * steps + [0.002] * steps)
