"""The experiment min_char_rnn is min-char-rnn, update by update.

At Karpathy's rate of 0.1 the first updates are wild (the loss of a window rises from 104 to over
200 nats) and multiply any rounding by some 1e14 within 20 updates, so no two programs that add in
another order can run freely side by side: the last test shows it for NumPy alone. So at that rate
each update is compared from the same weights, with NumPy's own memory of gradients; and at a tenth
of it, where rounding stays small, the two run freely for 1,000 updates.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

import random_kit
from min_char_rnn import MinCharRnn, smoothed
from odyssey.tasks import build as build_task
from odyssey.training import train as training
from training_kit import settings

STEPS = 1000
EXPERIMENT = (
    "experiment=min_char_rnn",
    f"trainer.max_steps={STEPS}",
    "trainer.max_epochs=null",
    "trainer.log_every=1",
    "trainer.checkpoint_every=null",
    "trainer.sample=false",
    "task.eval_batch_size=100",
)


def arrays(state) -> dict[str, np.ndarray]:
    """A model's state under the names of min_char_rnn."""
    found = {}
    for key, value in state.items():
        name = {"head.weight": "U", "head.bias": "c"}.get(key, key.split(".")[-1])
        found[name] = value.detach().numpy().astype(np.float64)
    assert sorted(found) == ["R", "U", "W", "b", "c"]
    return found


class Beside:
    """A run of the experiment with NumPy reading the same text beside it."""

    def __init__(self, cfg, text: str, monkeypatch, *, lockstep: bool) -> None:
        task = build_task(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
        task.load()
        number = task.vocabulary.ids
        assert sorted(number) == sorted(set(text))
        self.size, self.rate, self.lockstep = len(number), cfg.optimizer.lr, lockstep
        self.ids = np.array([number[c] for c in text])
        self.net: MinCharRnn | None = None
        self.start: dict[str, np.ndarray] = {}
        self.wanted: list[float] = []
        self.restarts = 0
        self.apart = 0.0  # the largest difference in a weight or a state after one update
        build = training.build_model

        def spy(cfg, spec):
            model = build(cfg, spec)
            model.register_forward_pre_hook(self.update, with_kwargs=True)
            return model

        monkeypatch.setattr(training, "build_model", spy)
        folder = training.train(cfg).folder
        self.losses = self.logged(folder)

    def update(self, model, args, kwargs) -> None:
        """Before each update of the run: NumPy makes the same one."""
        if not model.training:
            return
        inputs, _, state = args
        weights = arrays(model.state_dict())
        if self.net is None:
            self.net = MinCharRnn(weights, self.ids, lr=self.rate)
            self.start = {k: v.copy() for k, v in weights.items()}
        net = self.net
        self.restarts += net.at_start
        assert (state is None) == net.at_start
        place = 0 if net.at_start else net.place
        assert np.array_equal(inputs[:, 0], self.ids[place : place + 25])
        if self.lockstep:
            pairs = [(net.weights[k], weights[k]) for k in weights]
            if state is not None:
                carried = state[0][0].h[0].numpy().astype(np.float64)
                pairs.append((net.state, carried))
                net.state = carried
            self.apart = max(self.apart, *(float(abs(a - b).max()) for a, b in pairs))
            net.weights = {k: v.copy() for k, v in weights.items()}
        self.wanted.append(net.update())

    @staticmethod
    def logged(folder: Path) -> list[float]:
        rows = [r.split(",") for r in (folder / "metrics.csv").read_text().splitlines()[1:]]
        return [float(v) for _, _, n, v, _ in rows if n == "train/loss"]

    def check(self, tolerance: float) -> None:
        """Every loss, and the mean that min-char-rnn prints."""
        assert len(self.losses) == len(self.wanted) == STEPS
        np.testing.assert_allclose(self.losses, self.wanted, rtol=tolerance)
        a, b = smoothed(self.losses, self.size), smoothed(self.wanted, self.size)
        np.testing.assert_allclose(a, b, rtol=tolerance)
        # It begins as an even guess among all characters, and it learns.
        assert self.losses[0] == pytest.approx(25 * np.log(self.size), rel=1e-3)
        assert a[0] == pytest.approx(25 * np.log(self.size), rel=1e-4)
        assert np.mean(self.losses[-100:]) < 0.8 * self.losses[0]


@pytest.fixture
def own_text(tmp_path):
    """A text of which 1,000 windows are a reading and a half, and the options that take it."""
    text = inspect.getsource(argparse)[:16_000]
    path = tmp_path / "text.txt"
    path.write_text(text + text[:4_000], encoding="utf-8")  # no later part has a new character
    options = ("task.data=file", f"task.path={path}", "task.split=[0.8,0.1,0.1]")
    return text, (*options, f"output_dir={tmp_path}")


@pytest.mark.slow
def test_a_free_run_at_a_tenth_of_the_rate(own_text, monkeypatch):
    """From the same start and never compared again: 1e-4 at each of 1,000 updates, in float32."""
    text, options = own_text
    run = Beside(
        settings(*EXPERIMENT, *options, "optimizer.lr=0.01"), text, monkeypatch, lockstep=False
    )
    run.check(1e-4)
    assert run.restarts == 2, "640 windows make one reading"


@pytest.mark.slow
def test_every_update_in_double_precision(own_text, monkeypatch):
    """At the rate of 0.1: losses, states and the weights after each update."""
    text, options = own_text
    torch.set_default_dtype(torch.float64)
    try:
        run = Beside(settings(*EXPERIMENT, *options), text, monkeypatch, lockstep=True)
    finally:
        torch.set_default_dtype(torch.float32)
    run.check(1e-10)
    assert run.apart < 1e-9
    assert run.restarts == 2


@pytest.mark.slow
def test_the_experiment_as_it_stands(shared_data, tmp_path, monkeypatch):
    """On tiny-shakespeare in float32, with weights drawn from N(0, 0.01²) and biases of zero."""
    text = (shared_data / "shakespeare" / "input.txt").read_text(encoding="utf-8")
    cfg = settings(*EXPERIMENT, f"data_dir={shared_data}", f"output_dir={tmp_path}")
    assert (cfg.task.data, cfg.optimizer.lr) == ("shakespeare", 0.1)
    run = Beside(cfg, text[: int(len(text) * 0.9)], monkeypatch, lockstep=True)
    run.check(1e-4)
    assert run.size == 65 and run.restarts == 1
    for name in "WRU":
        value = run.start[name]
        assert value.std() == pytest.approx(0.01, rel=0.05), name
        assert abs(value.mean()) < 0.05 * 0.01, name
    assert not run.start["b"].any() and not run.start["c"].any()


def test_the_mean_starts_at_an_even_guess():
    """With 60 characters at 102.36, before the first update."""
    assert smoothed([25 * np.log(60)], 60) == [pytest.approx(102.3586, abs=5e-5)]
    assert smoothed([0.0], 60) == [pytest.approx(102.3586 * 0.999, abs=5e-5)]


def test_the_numpy_gradient_is_right():
    """By differences, so that both sides cannot share a mistake."""
    chance = random_kit.rng()
    shapes = {"W": (4, 3), "R": (4, 4), "b": (4,), "U": (3, 4), "c": (3,)}
    net = MinCharRnn({k: chance.normal(size=s) for k, s in shapes.items()}, np.zeros(9, int))
    piece, state = chance.integers(0, 3, 8), chance.normal(size=4)
    _, gradient, _ = net.window_loss(piece, state)
    for name, weight in net.weights.items():
        for place in np.ndindex(weight.shape):
            value, losses = weight[place], []
            for by in (1e-5, -1e-5):
                weight[place] = value + by
                losses.append(net.window_loss(piece, state)[0])
            weight[place] = value
            slope = (losses[0] - losses[1]) / 2e-5
            assert gradient[name][place] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_at_the_full_rate_rounding_alone_parts_two_runs():
    """NumPy beside NumPy, weights changed in their last digit: apart by over 1e-4 in 100 updates;
    at a tenth of the rate they are not."""
    text = inspect.getsource(argparse)[:4_000]
    symbols = sorted(set(text))
    ids = np.array([symbols.index(c) for c in text])
    for rate, parts in ((0.1, True), (0.01, False)):
        chance = np.random.default_rng(0)  # always the same: how fast they part is an example
        shapes = {"W": (100, len(symbols)), "R": (100, 100), "U": (len(symbols), 100)}
        weights = {k: 0.01 * chance.normal(size=s) for k, s in shapes.items()}
        weights |= {"b": np.zeros(100), "c": np.zeros(len(symbols))}
        one = MinCharRnn(weights, ids, lr=rate)
        two = MinCharRnn({k: np.nextafter(v, 1) for k, v in weights.items()}, ids, lr=rate)
        losses = np.array([(one.update(), two.update()) for _ in range(100)])
        apart = abs(losses[:, 0] / losses[:, 1] - 1).max()
        assert (apart > 1e-4) == parts, (rate, apart)
