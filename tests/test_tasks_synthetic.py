"""Adding, copying, reversal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import random_kit
from tasks_kit import make, means, nats_of, same

KINDS = ("adding", "copying", "reversal")


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_a_function_of_seed_epoch_and_number(kind):
    options = {"kind": kind, "length": 9, "train_size": 100, "batch_size": 7, "eval_size": 20}
    task, twin = make("synthetic", **options), make("synthetic", **options)
    other = make("synthetic", seed=1, **options)
    train = task.batches("train")
    assert len(train) == 15
    assert [train.get(0, i).inputs.shape[1] for i in (0, 13, 14)] == [7, 7, 2]
    for epoch, index in ((3, 5), (0, 0), (3, 5)):
        assert same(train.get(epoch, index), twin.batches("train").get(epoch, index))
    first = train.get(0, 0)
    for epoch, index in ((0, 1), (1, 0)):
        assert not same(first, train.get(epoch, index))
    assert not same(first, other.batches("train").get(0, 0))
    for split in ("valid", "test"):  # the same for every seed, whatever the batch size
        assert same(task.batches(split).get(0, 1), other.batches(split).get(5, 1))
        wide = make("synthetic", eval_batch_size=20, **options).batches(split).get(0, 0)
        parts = [task.batches(split).get(0, i) for i in range(3)]
        assert torch.equal(torch.cat([p.inputs for p in parts], 1), wide.inputs)
    assert not torch.equal(*(task.batches(s).get(0, 0).inputs for s in ("valid", "test")))
    assert task.data == twin.data == other.data
    assert task.data != make("synthetic", **(options | {"length": 8})).data


@pytest.mark.parametrize("length", [2, 3, 101])
def test_adding(length):
    task = make("synthetic", length=length, eval_size=2000, eval_batch_size=2000)
    batch = task.batches("test").get(0, 0)
    numbers, marks = batch.inputs.unbind(2)
    assert 0 <= float(numbers.min()) and float(numbers.max()) < 1
    assert set(marks.unique().tolist()) <= {0, 1}
    half = length // 2
    assert (marks[:half].sum(0) == 1).all() and (marks[half:].sum(0) == 1).all()
    assert torch.allclose((numbers * marks).sum(0), batch.targets)
    assert task.spec.head == "last" and task.spec.output_size == 1
    baseline = means(task, torch.ones(2000, 1), batch)["mse"]
    assert baseline == pytest.approx(1 / 6, rel=0.1)
    assert baseline == pytest.approx(float(((1 - batch.targets.numpy()) ** 2).mean()), rel=1e-5)
    assert float(task.loss(torch.ones(2000, 1), batch)) == pytest.approx(baseline, rel=1e-5)


@pytest.mark.parametrize("delay", [1, 13, 100])
def test_copying(delay):
    task = make("synthetic", kind="copying", length=delay, batch_size=50)
    batch = task.batches("train").get(0, 0)
    x, y = batch.inputs.numpy(), batch.targets.numpy()
    assert x.shape == y.shape == (delay + 20, 50)
    assert (x[:10] < 8).all() and set(np.unique(x[:10])) == set(range(8))
    assert (x[10 : delay + 9] == 8).all() and (x[delay + 9] == 9).all()
    assert (x[delay + 10 :] == 8).all()
    assert (y[:-10] == 8).all() and np.array_equal(y[-10:], x[:10])
    # Blanks until the end, then a guess among eight: the known baseline.
    logits = torch.full((delay + 20, 50, 9), -1e4)
    logits[:-10, :, 8] = 0
    logits[-10:, :, :8] = 0
    baseline = 10 * math.log(8) / (delay + 20)
    assert means(task, logits, batch)["nats_per_step"] == pytest.approx(baseline, rel=1e-5)
    assert float(task.loss(logits, batch)) == pytest.approx(baseline, rel=1e-5)
    logits = torch.randn(delay + 20, 50, 9)
    right = (logits[-10:].argmax(2).numpy() == y[-10:]).mean()
    assert means(task, logits, batch)["recalled"] == pytest.approx(right)


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (1, 7), (5, 5), (3, 23)])
def test_reversal(shortest, longest):
    task = make(
        "synthetic", kind="reversal", min_length=shortest, length=longest, symbols=5, batch_size=61
    )
    batch = task.batches("train").get(1, 2)
    assert set(batch.lengths.tolist()) <= set(range(shortest, longest + 1))
    assert len(batch.inputs) == int(batch.lengths.max())
    for lane, n in enumerate(batch.lengths.tolist()):
        said = batch.inputs[:n, lane].tolist()
        assert batch.targets[: n + 1, lane].tolist() == [*said[::-1], 5]
        assert batch.decoder[: n + 1, lane].tolist() == [5, *said[::-1]]
    assert int(batch.decoder.max()) < task.spec.input_size
    assert (task.spec.head, task.spec.output_size) == ("decoder", 6)


def test_reversal_metrics_against_numpy():
    task = make("synthetic", kind="reversal", length=6, batch_size=40)
    batch = task.batches("train").get(0, 0)
    y, lengths = batch.targets.numpy(), batch.lengths.numpy()
    logits = torch.randn(*y.shape, 9)
    logits += 3 * torch.nn.functional.one_hot(batch.targets, 9)  # mostly right
    said = logits.numpy().argmax(2)
    nats = nats_of(logits.double().numpy(), y)
    lanes = [slice(0, n + 1) for n in lengths]
    right = [said[s, b] == y[s, b] for b, s in enumerate(lanes)]
    mean = np.concatenate([nats[s, b] for b, s in enumerate(lanes)]).mean()
    expected = {
        "sequence_accuracy": np.mean([r.all() for r in right]),
        "token_accuracy": np.concatenate(right).mean(),
        "nats": mean,
    }
    assert 0 < expected["sequence_accuracy"] < expected["token_accuracy"] < 1
    assert means(task, logits, batch) == pytest.approx(expected, rel=1e-5)
    assert float(task.loss(logits, batch)) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("junk", [math.nan, math.inf, -3e30])
def test_reversal_padding_changes_neither_loss_nor_gradient(junk):
    task = make("synthetic", kind="reversal", length=6, batch_size=40)
    batch = task.batches("train").get(0, 0)
    padding = torch.arange(len(batch.targets)).unsqueeze(1) > batch.lengths
    assert padding.any()
    found = []
    for fill, token in ((0.0, 0), (junk, 10**9)):
        spoiled = batch._replace(targets=batch.targets.masked_fill(padding, token))
        logits = torch.randn(*padding.shape, 9, generator=random_kit.torch_rng())
        logits = logits.masked_fill(padding.unsqueeze(2), fill).requires_grad_()
        loss = task.loss(logits, spoiled)
        loss.backward()
        assert (logits.grad[padding] == 0).all()
        found.append((loss.item(), logits.grad.norm().item(), means(task, logits, spoiled)))
    assert found[0] == found[1]


def test_lengths_of_each_kind():
    shapes = {
        kind: len(make("synthetic", kind=kind).batches("train").get(0, 0).inputs) for kind in KINDS
    }
    assert shapes == {"adding": 100, "copying": 120, "reversal": 10}
