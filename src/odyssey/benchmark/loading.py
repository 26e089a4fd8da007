"""Making batches against training on them."""

from __future__ import annotations

import time

from odyssey.config.compose import compose
from odyssey.tasks import build


def batches_a_second(task: str, count: int = 300) -> float:
    """How many training batches a second come from memory."""
    cfg = compose([f"task={task}"])
    loaded = build(cfg.task, data_dir=cfg.data_dir, seed=0, window=cfg.bptt.length)
    loaded.load()
    batches = loaded.ready("train")
    start = time.perf_counter()
    for i in range(count):
        batches.get(*divmod(i, len(batches)))
    return count / (time.perf_counter() - start)
