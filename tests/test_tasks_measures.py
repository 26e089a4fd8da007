"""Every task says of each of its metrics what it is, and returns exactly those."""

from __future__ import annotations

import pytest
import torch

from odyssey.tasks import TASKS
from odyssey.tasks.base import Task
from tasks_kit import lm, make, means

KINDS = {
    "charlm": ("charlm", {"data": "hello", "batch_size": 3}),
    "wordlm": ("wordlm", {}),
    "sentiment": ("sentiment", {"data": "csv"}),
    "mnist": ("mnist", {"batch_size": 5, "eval_batch_size": 5}),
    "music": ("music", {"batch_size": 2}),
    "adding": ("synthetic", {"kind": "adding", "length": 6, "eval_size": 20}),
    "copying": ("synthetic", {"kind": "copying", "length": 6, "eval_size": 20}),
    "reversal": ("synthetic", {"kind": "reversal", "length": 6, "eval_size": 20}),
}
# Label and unit, where they are not the name itself.
WORDS = {
    "nats_per_char": ("nats per character", "nats per character"),
    "bits_per_char": ("bits per character", "bits per character"),
    "nats": ("cross-entropy in nats", "nats"),
    "mse": ("mean squared error", "mean squared error"),
    "accuracy_common": ("accuracy of the commonest class", "accuracy"),
    "macro_f1": ("macro F1", "macro F1"),
    "recalled": ("share of symbols recalled", "of the symbols"),
}
LABELS = {  # name -> label and unit, where these are not the name with spaces
    "nats_per_frame": ("nats per frame", "nats per frame"),
    "nats_per_char": ("nats per character", "nats per character"),
    "bits_per_char": ("bits per character", "bits per character"),
    "nats": ("cross-entropy in nats", "nats"),
    "mse": ("mean squared error", "mean squared error"),
    "recalled": ("share of symbols recalled", "of the symbols"),
}
LARGER_IS_BETTER = {
    "accuracy",
    "accuracy_common",
    "macro_f1",
    "sequence_accuracy",
    "token_accuracy",
    "recalled",
}


@pytest.fixture(params=KINDS)
def task(request, tmp_path) -> Task:
    name, options = KINDS[request.param]
    if name == "wordlm":
        return lm(tmp_path, "a b c d\n" * 40, "wordlm")
    if name == "sentiment":
        path = tmp_path / "mine.csv"
        rows = [f"text {kind} {i},{kind}" for i in range(30) for kind in ("good", "bad")]
        path.write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
        options = options | {"path": str(path)}
    return make(name, **options)


def test_every_task_is_among_these() -> None:
    assert {name for name, _ in KINDS.values()} == set(TASKS) - {"own"}


def test_an_evaluation_returns_what_the_task_declares(task: Task) -> None:
    for split in ("valid", "test"):
        batch = task.ready(split).get(0, 0)
        steps = batch.targets.shape[0]
        lead = (steps,) if task.spec.head != "last" else ()
        size = len(batch.targets) if task.spec.head == "last" else batch.targets.shape[1]
        found = means(task, torch.zeros(*lead, size, task.spec.output_size), batch)
        assert sorted(found) == sorted(m.name for m in task.measures)


def test_a_measure_has_a_direction_a_label_and_a_unit(task: Task) -> None:
    names = [m.name for m in task.measures]
    assert len(set(names)) == len(names)
    for m in task.measures:
        assert m.mode == ("max" if m.name in LARGER_IS_BETTER else "min")
        spaced = m.name.replace("_", " ")
        assert (m.label, m.unit) == WORDS.get(m.name, (spaced, spaced))
    assert (task.monitor, task.mode) == (task.measures[0].name, task.measures[0].mode)
    with pytest.raises(AttributeError):
        task.monitor = "nats"  # said once, by the measures
