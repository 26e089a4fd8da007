"""What the tests of tasks share: making tasks, and their numbers in plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odyssey.config.task_schema import TASKS
from odyssey.tasks import build
from odyssey.tasks.base import Batch, Task


def make(name: str, *, window: int | None = 7, seed: int = 0, data_dir: Any = None, **options: Any):
    """A loaded task with these options, which must be right."""
    cfg = TASKS[name](**options)
    assert cfg.errors() == []
    task = build(cfg, data_dir=data_dir and str(data_dir), seed=seed, window=window)
    task.load()
    return task


def lm(tmp_path: Path, text: str, name: str = "charlm", **options: Any):
    """A language model's task over a text of one's own."""
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    options = {
        "batch_size": 3,
        "data": "file",
        "path": str(path),
        "split": [0.6, 0.2, 0.2],
    } | options
    return make(name, **options)


def same(a: Batch, b: Batch) -> bool:
    """Every field is equal."""
    return all(
        torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(a, b, strict=True)
    )


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def nats_of(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Cross-entropy of each target; logits (..., K)."""
    return -np.take_along_axis(log_softmax(logits), targets[..., None], -1)[..., 0]


def means(task: Task, logits: Tensor, batch: Batch) -> dict[str, float]:
    """The metrics of one batch."""
    scores = task.scores(logits, batch)
    return task.metrics({name: float(a) / float(n) for name, (a, n) in scores.items()})


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)
