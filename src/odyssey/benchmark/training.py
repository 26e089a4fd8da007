"""Training in this process: a step against a bare torch loop, and the speed of loading."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback
from torch import nn

from odyssey.benchmark.timing import Row, summarize, synchronize
from odyssey.config.compose import compose
from odyssey.nn import SequenceModel
from odyssey.tasks import build
from odyssey.tasks.base import Batch
from odyssey.training.train import train


class Bare:
    """The same training step in plain torch: nn.LSTM, cross-entropy, clip_grad_norm_, Adam."""

    def __init__(self, like: SequenceModel, cfg: Any, device: torch.device) -> None:
        self.vocabulary = like.head.out_features
        self.lstm = nn.LSTM(like.reader.output_size, cfg.model.hidden_size).to(device)
        self.embedding = None
        if like.reader.embedding is not None:
            self.embedding = nn.Embedding(self.vocabulary, like.reader.output_size).to(device)
        self.head = nn.Linear(cfg.model.hidden_size, self.vocabulary).to(device)
        modules: list[nn.Module] = [self.lstm, self.head]
        modules += [self.embedding] if self.embedding is not None else []
        self.parameters = [p for m in modules for p in m.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=cfg.optimizer.lr)
        self.threshold = cfg.clip.threshold
        self.state: Any = None

    def step(self, batch: Batch) -> None:
        if batch.reset:
            self.state = None
        x = (
            self.embedding(batch.inputs)
            if self.embedding is not None
            else F.one_hot(batch.inputs, self.vocabulary).float()
        )
        y, state = self.lstm(x, self.state)
        self.state = tuple(v.detach() for v in state)
        logits = self.head(y)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-1)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.threshold)
        self.optimizer.step()


class Interleave(Callback):
    """After each `chunk` of updates, times as many by the bare loop on the same batches."""

    def __init__(self, cfg: Any, chunk: int) -> None:
        self.cfg, self.chunk = cfg, chunk
        self.bare: Bare | None = None
        self.batches: list[Batch] = []
        self.pairs: list[tuple[float, float]] = []
        self.start = 0.0

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if self.bare is None:
            self.bare = Bare(module.model, self.cfg, module.device)
        self.batches.append(batch)
        if len(self.batches) < self.chunk:
            return
        synchronize(module.device)
        ours = time.perf_counter() - self.start
        start = time.perf_counter()
        for one in self.batches:
            self.bare.step(one)
        synchronize(module.device)
        other = time.perf_counter() - start
        self.pairs.append((ours / self.chunk, other / self.chunk))
        self.batches = []
        self.start = time.perf_counter()


def step_row(pairs: int, chunk: int = 5, overrides: Sequence[str] = ()) -> Row:
    """The default `python train.py cell=lstm task=charlm`, with its files and metrics."""
    out = Path(tempfile.mkdtemp())
    cfg = compose(
        [
            f"trainer.max_steps={(pairs + 2) * chunk}",
            "trainer.val_every=100000",
            "trainer.sample=false",
            "trainer.progress_bar=false",
            f"output_dir={out}",
            *overrides,
        ]
    )
    interleave = Interleave(cfg, chunk)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            train(cfg, extra=[interleave])
    finally:
        shutil.rmtree(out)
    return summarize(
        "charlm training step, as train.py makes it",
        "bare torch loop",
        interleave.pairs[2:],  # the first ones warm up
        limit=1.25,
    )


def batches_per_second(task: str, count: int = 300) -> float:
    """Training batches per second, from memory."""
    cfg = compose([f"task={task}"])
    loaded = build(cfg.task, data_dir=cfg.data_dir, seed=0, window=cfg.bptt.length)
    loaded.load()
    batches = loaded.ready("train")
    start = time.perf_counter()
    for i in range(count):
        batches.get(*divmod(i, len(batches)))
    return count / (time.perf_counter() - start)
