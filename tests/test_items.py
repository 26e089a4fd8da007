"""The scores of each test sequence: they are those of the whole, whichever way they are taken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import random_kit
from odyssey.config.compose import compose
from odyssey.tasks.base import Batch, Task
from odyssey.training.build import load_task
from odyssey.training.items import SEGMENTS, Items
from odyssey.training.record import TEST_ITEMS
from odyssey.training.train import train

TASKS = [
    "task=charlm task.data=hello bptt.length=7 task.batch_size=3",
    "task=wordlm task.data=file bptt.length=5 task.batch_size=2",
    "task=mnist",
    "task=music",
    "task=sentiment task.max_length=9",
    "task=synthetic task.kind=adding task.eval_size=37 task.length=5",
    "task=synthetic task.kind=copying task.eval_size=37 task.length=5",
    "task=synthetic task.kind=reversal task.eval_size=37 task.length=5",
    "task=series task.batch_size=3 bptt.length=11",
]


class _Sampled:
    """Every so many batches of a split, to spare time."""

    def __init__(self, batches: Any, most: int) -> None:
        self.batches, self.most = batches, most
        for name in ("order", "places", "positions"):
            if hasattr(batches, name):
                setattr(self, name, getattr(batches, name))

    def __len__(self) -> int:
        return min(self.most, len(self.batches))

    def get(self, epoch: int, index: int) -> Batch:
        return self.batches.get(epoch, index)


def _loaded(words: str, folder: Path | None = None) -> Task:
    if folder is not None and "data=file" in words:
        drawn = random_kit.dice("text").choices(["a", "b", "c", "d"], k=900)
        (folder / "text.txt").write_text(" ".join(drawn))
        words += f" task.path={folder / 'text.txt'} task.split=[0.5,0.2,0.3]"
    return load_task(compose(words.split()))


def _logits(task: Task, batch: Batch, rng: torch.Generator) -> Tensor:
    """Random ones in the form of the task's head."""
    size = task.spec.output_size
    steps = batch.inputs.shape[0] if batch.decoder is None else batch.decoder.shape[0]
    columns = batch.inputs.shape[1]
    shape = (columns, size) if task.spec.head == "last" else (steps, columns, size)
    return torch.randn(shape, generator=rng)


def _collected(task: Task, batches: Any, logits: list[Tensor]) -> dict[str, np.ndarray]:
    items, sums = Items(task, batches), {}
    for index in range(len(batches)):
        batch = batches.get(0, index)
        items.add(logits[index], batch, index)
        for name, (total, count) in task.all_scores(logits[index], batch).items():
            before = sums.get(name, (0.0, 0.0))
            sums[name] = (before[0] + float(total), before[1] + float(count))
    means = {name: total / count for name, (total, count) in sums.items()}
    found = items.arrays(task.all_metrics(means))
    assert found is not None
    for k, name in enumerate(found["scores"]):
        assert found["sums"][:, k].sum() == pytest.approx(sums[name][0], rel=1e-5)
        assert found["counts"][:, k].sum() == sums[name][1]
    return found


@pytest.mark.parametrize("words", TASKS, ids=lambda w: "-".join(w.split()[:2]))
def test_the_items_add_up_and_are_the_same_one_by_one(
    words: str, tmp_path: Path, monkeypatch: Any
) -> None:
    task, rng = _loaded(words, tmp_path), random_kit.torch_rng()
    batches = _Sampled(task.ready("test"), 4)
    logits = [_logits(task, batches.get(0, i), rng) for i in range(len(batches))]
    found = _collected(task, batches, logits)
    # Sequence by sequence, through `scores` alone.
    monkeypatch.setattr(type(task), "each_scores", Task.each_scores)
    slow = _collected(task, batches, logits)
    assert (found["items"] == slow["items"]).all()
    order = [list(slow["scores"]).index(name) for name in found["scores"]]
    assert np.allclose(found["sums"], slow["sums"][:, order], rtol=1e-4, atol=1e-4)
    assert (found["counts"] == slow["counts"][:, order]).all()
    if not task.streamed:
        assert found["segment"] == 0 and len(set(found["items"])) == len(found["items"])
        if hasattr(batches, "order"):
            rows = np.concatenate([batches.order.get(0, i) for i in range(len(batches))])
            assert set(found["items"]) == set(rows)


def test_a_sequence_keeps_its_number_whatever_batch_it_is_in() -> None:
    rng, found = random_kit.rng(), []
    weights = torch.from_numpy(rng.normal(size=(88, 88))).float()
    for size in (1, 5, 32):
        task = _loaded(f"task=music task.eval_batch_size={size}")
        batches = task.ready("test")
        logits = [batches.get(0, i).inputs @ weights for i in range(len(batches))]
        found.append(_collected(task, batches, logits))
    for other in found[1:]:
        assert (found[0]["items"] == other["items"]).all()
        assert np.allclose(found[0]["sums"], other["sums"], rtol=1e-4)


def test_segments_of_a_text_are_the_same_for_any_truncation() -> None:
    """A model without a memory says the same of each character in any window and lane."""
    found = []
    for words in ("bptt.length=3", "bptt.length=null", "bptt.length=10 task.eval_batch_size=1"):
        task = _loaded(f"task=charlm task.data=hello task.batch_size=4 {words}")
        table = (
            torch.linspace(-1, 1, task.spec.output_size**2).view(-1, task.spec.output_size).sin()
        )
        batches = task.ready("test")
        logits = [table[batches.get(0, i).inputs] for i in range(len(batches))]
        found.append(_collected(task, batches, logits))
    for other in found:
        assert (other["items"] == found[0]["items"]).all() and 1 < len(other["items"]) <= SEGMENTS
        assert np.allclose(other["sums"], found[0]["sums"], rtol=1e-5)
        assert (other["counts"] == found[0]["counts"]).all()


def test_the_gradient_is_that_of_the_metrics(tmp_path: Path) -> None:
    task, rng = _loaded(TASKS[1], tmp_path), random_kit.torch_rng()
    batches = task.ready("test")
    logits = [_logits(task, batches.get(0, i), rng) for i in range(len(batches))]
    found = _collected(task, batches, logits)
    values = dict(zip(found["metrics"], found["values"], strict=True))
    slopes = dict(zip(found["metrics"], found["gradient"][:, 0], strict=True))
    assert slopes["nats_per_word"] == pytest.approx(1, rel=1e-6)
    assert slopes["perplexity"] == pytest.approx(values["perplexity"], rel=1e-6)


def test_scores_that_do_not_come_apart_are_not_written(tmp_path: Path, monkeypatch: Any) -> None:
    task, rng = _loaded(TASKS[5]), random_kit.torch_rng()
    batches = task.ready("test")
    logits = [_logits(task, batches.get(0, i), rng) for i in range(len(batches))]
    whole = task.scores

    def coupled(logits: Tensor, batch: Batch) -> Any:
        """Of a batch as a whole."""
        total, count = whole(logits, batch)["error"]
        return {"error": (total * len(batch.targets), count)}

    monkeypatch.setattr(task, "scores", coupled)
    items = Items(task, batches)
    metrics = {"mse": math.pi}
    for index, one in enumerate(logits):
        items.add(one, batches.get(0, index), index)
    (tmp_path / TEST_ITEMS).write_bytes(b"of an earlier test")
    items.write(tmp_path, metrics)
    assert not (tmp_path / TEST_ITEMS).exists()
    monkeypatch.setattr(task, "scores", lambda logits, batch: 1 / 0)
    items = Items(task, batches)
    items.add(logits[0], batches.get(0, 0), 0)
    assert not items.usable and items.arrays(metrics) is None


def test_a_run_writes_them_beside_its_metrics(tmp_path: Path) -> None:
    words = [
        *("task=synthetic", "task.kind=reversal", "task.length=5", "task.train_size=24"),
        *("task.eval_size=19", "model.hidden_size=4", "trainer.max_epochs=1", "device=cpu"),
        *("logger.mode=disabled", "trainer.progress_bar=false", f"output_dir={tmp_path}"),
        *("model.backend=reference", "trainer.threads=1"),
    ]
    result = train(compose(words))
    with np.load(result.folder / TEST_ITEMS, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    assert found["items"].tolist() == list(range(19))
    assert set(found["metrics"]) == {"nats", "token_accuracy", "sequence_accuracy"}
    means = found["sums"].sum(0) / found["counts"].sum(0)
    nats = means[list(found["scores"]).index("nats")]
    assert nats == pytest.approx(result.metrics["test/nats"], rel=1e-5)
    assert (result.folder / TEST_ITEMS).stat().st_size < 3000
