"""Digits read piece by piece, from the images that a package carries."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import random_kit
from odyssey import data
from odyssey.config.task_schema import TASKS
from odyssey.errors import UserError
from odyssey.tasks import build
from tasks_kit import make, means, nats_of, same


@pytest.fixture(scope="module")
def images():
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


@pytest.fixture
def folder(tmp_path):
    """An .npz file of images of 3 classes, in colour or in grey, as a function of that."""

    def made(*shape, classes=("a", "b", "c")):
        rng = random_kit.rng()
        images = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
        labels = np.array(classes)[np.arange(60) % len(classes)]
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        return str(tmp_path / "a.npz")

    return made


@pytest.mark.parametrize("shape", [(9, 5), (9, 5, 3)])
@pytest.mark.parametrize("order", ["rows", "pixels", "permuted"])
def test_images_of_ones_own_at_their_size(shape, order, folder):
    path = folder(*shape)
    task = make(
        "mnist", data="folder", path=path, order=order, batch_size=6, normalization="standard"
    )
    part = data.images("folder", path=path).train
    values = part.images.reshape(len(part.images), 45, -1).astype(float)
    assert task.mean == pytest.approx(values.mean())
    assert task.deviation == pytest.approx(values.std())
    if order == "permuted":
        mixed = task.permutation().numpy()
        assert sorted(mixed.tolist()) == list(range(45))
        values = values[:, mixed]
    steps = 9 if order == "rows" else 45
    colours = shape[2] if len(shape) == 3 else 1
    width = (5 if order == "rows" else 1) * colours
    assert (task.spec.input_size, task.spec.output_size) == (width, 3)
    assert task.names() == ("a", "b", "c") and len(task.notes) == 2
    batches = task.batches("train")
    batch, rows = batches.get(0, 1), batches.order.get(0, 1)
    wanted = (values[rows].reshape(6, steps, width) - task.mean) / task.deviation
    assert np.allclose(batch.inputs.transpose(0, 1).numpy(), wanted, atol=1e-5)
    assert batch.targets.tolist() == part.labels[rows].tolist()

    again = build(task.cfg, data_dir=None, seed=0, window=None)
    again.restore(json.loads(json.dumps(task.export())))
    assert again.spec == task.spec and again.names() == task.names()
    for other in (task, again):
        read = other.read(part.images[rows])
        assert torch.allclose(read.inputs, batch.inputs, atol=1e-6)
        one = other.read(part.images[rows[0]].tolist())
        assert torch.equal(one.inputs[:, 0], read.inputs[:, 0])
    form = "9, 5, 3" if colours == 3 else "9, 5"
    for wrong in (np.zeros((28, 28)), part.images[:0], np.full(shape, "a")):
        with pytest.raises(UserError, match=rf"give images \({form}\) or \(N, {form}\)"):
            task.read(wrong)


def test_images_of_one_value_are_no_division_by_zero(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.full((20, 2, 2), 9), y=np.arange(20) % 2)
    with pytest.raises(UserError, match="1 different images of the class 0"):
        make("mnist", data="folder", path=str(tmp_path / "a.npz"))
    parts = {f"{kind}_{part}": value for part in ("train", "valid", "test") for kind, value in (
        ("x", np.full((20, 2, 2), 9)), ("y", np.arange(20) % 2))}  # fmt: skip
    np.savez(tmp_path / "a.npz", **parts)
    task = make("mnist", data="folder", path=str(tmp_path / "a.npz"), normalization="standard")
    assert (task.batches("train").get(0, 0).inputs == 0).all()


def test_digits_as_they_were(images):
    """Nothing of images of one's own changes MNIST: shapes, names, and checkpoints of before."""
    task = make("mnist")
    assert task.notes == () and task.names() == range(10) and task.shape == (28, 28, 1)
    old = build(TASKS["mnist"](order="permuted"), data_dir=None, seed=0, window=None)
    old.restore({"mean": 0.0, "deviation": 255.0})
    assert old.spec == make("mnist", order="permuted").spec
    wanted = np.random.RandomState(0).permutation(784)
    assert old.permutation().tolist() == wanted.tolist()
    read = old.read(images.test.images[0]).inputs.flatten()
    assert np.allclose(read, images.test.images[0].ravel()[wanted] / 255)


def test_options_for_images_of_ones_own(folder):
    def errors(**options):
        return TASKS["mnist"](**options).errors()

    assert errors(data="folder") == [
        "task.data=folder needs a file or folder to read: add task.path=…"
    ]
    assert "task.path=x is not read with task.data=mnist5k" in errors(path="x")[0]
    assert (
        "task.size=14 is not read with task.data=mnist, whose" in errors(size=14, data="mnist")[0]
    )
    assert "task.size=0 is out of range" in errors(size=0, data="folder", path="x")[0]
    assert errors(size=14, data="folder", path="x") == []
    cfg = TASKS["mnist"](data="folder", path=folder(3, 3))
    assert cfg.without_split() == "" and TASKS["mnist"]().without_split() == ""


def test_restored_without_its_data():
    task = make("mnist", normalization="standard")
    again = build(TASKS["mnist"](), data_dir=None, seed=0, window=None)
    again.restore(task.export())
    assert (again.spec, again.mean, again.deviation) == (task.spec, task.mean, task.deviation)


def test_digits_from_a_file_are_the_digits(images, tmp_path):
    """MNIST saved as arrays is trained on in the same batches as MNIST."""
    parts = {"train": images.train, "val": images.valid, "test": images.test}
    arrays = {f"x_{p}": d.images / np.float32(255) for p, d in parts.items()}
    np.savez(tmp_path / "a.npz", **arrays, **{f"y_{p}": d.labels for p, d in parts.items()})
    ours = make("mnist", data="folder", path=str(tmp_path / "a.npz"))
    theirs = make("mnist")
    assert ours.spec == theirs.spec and ours.names() == tuple("0123456789")
    for split in ("train", "valid", "test"):
        assert same(ours.batches(split).get(3, 1), theirs.batches(split).get(3, 1))
