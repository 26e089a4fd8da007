"""Truncated BPTT over whole sequences: the gradient is cut, no number of the forward pass is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training_kit import (
    assert_close,
    backward,
    cross_entropy,
    double,
    forward,
    gradients,
    module,
    settings,
    weights,
)

LENGTHS = [1, 2, 5, 12, 13, 14, 25, 26, 27, 100, None]  # around the 13 and 26 steps of the tasks


def _net(kind, length, steps, *more):
    return module(
        settings(
            "cell=rnn",
            "task=synthetic",
            f"task.kind={kind}",
            f"task.length={steps}",
            "task.batch_size=4",
            "task.train_size=8",
            "task.eval_size=2",
            "model.hidden_size=6",
            f"bptt.length={'null' if length is None else length}",
            *more,
        )
    )


def _step(net, batch):
    net.zero_grad()
    loss = net.training_step(batch, 0)
    loss.backward()
    return float(loss.detach()), gradients(net.model)


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("length", LENGTHS)
def test_adding_by_hand(backend, length):
    """Read at the last step: the gradient reaches back to the last cut and no further."""
    net = _net("adding", length, 13, f"model.backend={backend}")
    batch = double(net.task.batches("train").get(0, 0))
    w, x, y = weights(net.model), batch.inputs.numpy(), batch.targets.numpy()
    hs, logits = forward(w, x, np.zeros((4, 6)))
    error = logits[-1, :, 0] - y
    slope = np.zeros_like(logits)
    slope[-1, :, 0] = 2 * error / 4

    loss, found = _step(net, batch)
    assert loss == pytest.approx(float((error**2).mean()), rel=1e-12)
    assert_close(found, backward(w, x, hs, slope, length))


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("length", LENGTHS)
def test_copying_by_hand(backend, length):
    """A loss at each of 26 steps, each going back to the cut before it."""
    net = _net("copying", length, 6, f"model.backend={backend}")
    batch = net.task.batches("train").get(0, 1)
    w, x, y = weights(net.model), np.eye(10)[batch.inputs.numpy()], batch.targets.numpy()
    hs, logits = forward(w, x, np.zeros((4, 6)))
    nats, slope = cross_entropy(logits, y)

    loss, found = _step(net, batch)
    assert loss == pytest.approx(float(nats.mean()), rel=1e-12)
    assert_close(found, backward(w, x, hs, slope / nats.size, length))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("task=mnist", "task.batch_size=4"),
        ("task=synthetic", "task.kind=reversal", "task.batch_size=4"),
    ],
    ids=["mnist rows", "reversal"],
)
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_after", "lstm_peephole"])
def test_the_loss_stays_and_the_gradient_does_not(overrides, cell):
    """On other tasks and cells: one loss for all lengths; T and more is the full gradient."""
    found = {}
    for length in (1, 4, 28, 1000, None):
        cfg = settings(
            f"cell={cell}",
            "model.hidden_size=6",
            "model.num_layers=2",
            "model.embedding_size=null",
            f"bptt.length={'null' if length is None else length}",
            *overrides,
        )
        net = module(cfg)
        loss = net.training_step(double(net.task.batches("train").get(0, 0)), 0)
        loss.backward()
        grads = torch.cat([p.grad.flatten() for p in net.model.parameters()])
        found[length] = (float(loss.detach()), grads)
    full = found[None]
    for loss, _ in found.values():
        assert loss == pytest.approx(full[0], rel=1e-13)
    for length in (28, 1000):
        assert torch.equal(found[length][1], full[1])
    assert not torch.allclose(found[4][1], full[1], rtol=1e-3)
    assert not torch.allclose(found[1][1], found[4][1], rtol=1e-3)


def test_sequences_have_no_past():
    """Nothing is carried from batch to batch, nor from epoch to epoch."""
    net = _net("copying", 5, 6)
    batches = net.task.batches("train")
    first = _step(net, batches.get(0, 0))
    _step(net, batches.get(0, 1))
    again = _step(net, batches.get(0, 0))
    assert net.carried is None and first[0] == again[0]
    assert_close(first[1], again[1], 0)
