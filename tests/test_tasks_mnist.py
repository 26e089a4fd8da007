"""Digits read piece by piece, from the images that a package carries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from odyssey.config.task_schema import TASKS
from odyssey.tasks import build
from tasks_kit import make, means, nats_of, same


@pytest.fixture(scope="module")
def images():
    from odyssey import data

    return data.images("mnist5k")


def test_rows_and_pixels_are_the_image(images):
    for order, shape in (("rows", (28, 28)), ("pixels", (784, 1))):
        task = make("mnist", order=order, batch_size=5)
        batches = task.batches("train")
        batch = batches.get(0, 3)
        rows = batches.order.get(0, 3)
        assert batch.inputs.shape == (shape[0], 5, shape[1])
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.is_contiguous()
        back = batch.inputs.transpose(0, 1).reshape(5, 28, 28).numpy()
        assert np.allclose(back, images.train.images[rows] / 255, atol=1e-7)
        assert batch.targets.tolist() == images.train.labels[rows].tolist()
        assert task.spec.input_size == shape[1]
        assert same(batch, batches.get(0, 3))


@pytest.mark.slow
def test_permuted_is_one_fixed_mixed_order():
    plain = make("mnist", order="pixels").batches("test").get(0, 0)
    task = make("mnist", order="permuted", permutation_seed=4)
    mixed = task.batches("test").get(0, 0)
    order = task.permutation()
    assert sorted(order.tolist()) == list(range(784))
    assert torch.equal(mixed.inputs, plain.inputs[order])
    other_seed = make("mnist", order="permuted", permutation_seed=4, seed=9)
    assert torch.equal(other_seed.permutation(), order)
    assert not torch.equal(make("mnist", order="permuted").permutation(), order)


def test_standard_normalization_is_of_the_training_part(images):
    task = make("mnist", normalization="standard", batch_size=4000)
    x = images.train.images.astype(np.float64)
    assert task.mean == pytest.approx(x.mean())
    assert task.deviation == pytest.approx(x.std())
    batch = task.batches("train").get(0, 0)
    assert batch.inputs.numel() == x.size
    assert float(batch.inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(batch.inputs.std()) == pytest.approx(1, abs=1e-3)
    unit = make("mnist")
    assert (unit.mean, unit.deviation) == (0, 255)


def test_each_image_once_and_metrics_against_numpy(images):
    task = make("mnist", batch_size=333, eval_batch_size=77)
    for split, part in (("train", images.train), ("valid", images.valid), ("test", images.test)):
        batches = task.batches(split)
        labels = [y for i in range(len(batches)) for y in batches.get(1, i).targets.tolist()]
        assert sorted(labels) == sorted(part.labels.tolist())
    batch = task.batches("valid").get(0, 0)
    logits = torch.randn(77, 10)
    y = batch.targets.numpy()
    nats = nats_of(logits.double().numpy(), y).mean()
    assert float(task.loss(logits, batch)) == pytest.approx(nats, rel=1e-5)
    answers, commonest = logits.numpy().argmax(1), np.bincount(images.train.labels).argmax()
    expected = {
        "accuracy": (answers == y).mean(),
        "accuracy_common": (y == commonest).mean(),
        "macro_f1": f1_score(y, answers, average="macro"),
        "nats": nats,
    }
    assert means(task, logits, batch) == pytest.approx(expected, rel=1e-5)


def test_restored_without_its_data():
    task = make("mnist", normalization="standard")
    again = build(TASKS["mnist"](), data_dir=None, seed=0, window=None)
    again.restore(task.export())
    assert (again.spec, again.mean, again.deviation) == (task.spec, task.mean, task.deviation)
