"""The class of a text."""

from __future__ import annotations

import pytest
import torch

import random_kit
from odyssey.config.task_schema import TASKS
from odyssey.tasks import build
from tasks_kit import make, means, nats_of, same


def rows_of(tmp_path, texts, labels, **options):
    """A sentiment task over texts of one's own."""
    lines = [f'"{t}",{y}' for t, y in zip(texts, labels, strict=True)]
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return make("sentiment", data="csv", path=str(path), **options)


@pytest.fixture
def own(tmp_path):
    chance = random_kit.rng()
    names = [f"w{i}" for i in range(30)]
    texts = [" ".join(chance.choice(names, size=n)) for n in chance.integers(1, 40, 101)]
    labels = ["good" if "w3" in text else "bad" for text in texts]
    return lambda **options: rows_of(tmp_path, texts, labels, **({"min_count": 1} | options))


def decoded(task, batch):
    """The texts of a batch, from its valid steps alone."""
    columns = zip(batch.inputs.T.tolist(), batch.lengths.tolist(), strict=True)
    return [" ".join(task.vocabulary.symbols[i] for i in ids[:n]) for ids, n in columns]


@pytest.mark.parametrize("batch_size", [1, 7, 200])
@pytest.mark.parametrize("bucket", [False, True])
def test_each_text_once_an_epoch_with_its_label(own, batch_size, bucket):
    task = own(batch_size=batch_size, bucket=bucket, eval_batch_size=4)
    for split in ("train", "valid", "test"):
        batches = task.batches(split)
        found = []
        for index in range(len(batches)):
            batch = batches.get(2, index)
            assert same(batch, batches.get(2, index))
            assert batch.inputs.dtype == batch.targets.dtype == torch.int64
            assert batch.lengths.device.type == "cpu"
            assert int(batch.lengths.max()) == len(batch.inputs)
            assert int(batch.lengths.min()) >= 1
            found += zip(decoded(task, batch), batch.targets.tolist(), strict=True)
        expected = [
            (" ".join(task.vocabulary.symbols[i] for i in ids), int(y))
            for ids, y in zip(task._texts[split], task._labels[split], strict=True)
        ]
        assert sorted(found) == sorted(expected)
        if split == "train":  # in valid and test a word may be <unk>
            good = task.classes.index("good")
            assert all((y == good) == ("w3" in text.split()) for text, y in found)


def test_padding_changes_no_figure(own):
    task = own(batch_size=9)
    batch = task.batches("train").get(0, 0)
    logits = torch.randn(9, 2)
    junk = batch.inputs.clone()
    for lane, n in enumerate(batch.lengths.tolist()):
        junk[n:, lane] = 10**9
    spoiled = batch._replace(inputs=junk)
    assert torch.equal(task.loss(logits, batch), task.loss(logits, spoiled))
    assert means(task, logits, batch) == means(task, logits, spoiled)


def test_loss_and_accuracy_against_numpy(own):
    task = own(batch_size=31)
    batch = task.batches("train").get(0, 1)
    logits = torch.randn(31, 2)
    y = batch.targets.numpy()
    nats = nats_of(logits.double().numpy(), y).mean()
    assert float(task.loss(logits, batch)) == pytest.approx(nats, rel=1e-5)
    found = means(task, logits, batch)
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    assert found["accuracy"] == pytest.approx((logits.numpy().argmax(1) == y).mean())


def test_vocabulary_is_of_the_training_part_alone(tmp_path):
    texts = [f"only{i} shared" for i in range(60)]
    task = rows_of(tmp_path, texts, ["x", "y"] * 30, min_count=1)
    train = sum(len(ids) == 2 for ids in task._texts["train"])
    assert len(task.vocabulary) == train + 2  # shared, <unk>
    for split in ("valid", "test"):
        for ids in task._texts[split]:
            assert ids.tolist() == [task.vocabulary.unknown, task.vocabulary.ids["shared"]]


def test_long_texts_keep_head_or_tail_and_empty_ones_a_token(own):
    text = "w1 w2 w3 w4"
    cases = [("words", "head", 2, "w1 w2"), ("words", "tail", 3, "w2 w3 w4")]
    cases += [("characters", "head", 3, "w 1  "), ("words", "tail", None, text)]
    for tokens, keep, size, expected in cases:
        task = own(tokens=tokens, keep=keep, max_length=size)
        ids = task.encode(text)
        assert " ".join(task.vocabulary.symbols[i] for i in ids) == expected
    assert task.encode("").tolist() == [task.vocabulary.unknown]
    assert task.encode("W1").tolist() == task.encode("w1").tolist()


def test_line_breaks_of_imdb_are_no_words(own):
    task = own()
    assert task.encode("w1<br /><br />w2").tolist() == task.encode("w1 w2").tolist()


def test_restored_without_its_data(own):
    task = own(max_size=10)
    assert len(task.vocabulary) == 10
    again = build(TASKS["sentiment"](), data_dir=None, seed=0, window=None)
    again.restore(task.export())
    assert again.spec == task.spec
    assert again.classes == task.classes
    assert again.encode("w1 w2 what").tolist() == task.encode("w1 w2 what").tolist()


def test_sst2(shared_data):
    task = make("sentiment", data="sst2", data_dir=shared_data)
    assert [len(task._texts[s]) for s in ("train", "valid", "test")] == [6920, 872, 1821]
    assert task.spec.output_size == 2
    first = task.batches("train").get(0, 0)
    assert first.inputs.shape[1] == 32
