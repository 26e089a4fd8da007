"""Synthetic problems, generated on the fly: adding, copying, reversal."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from odyssey.config.task_schema import LENGTHS
from odyssey.tasks.base import Batch, ModelSpec, Split, Sums, Task
from odyssey.tasks.batching import valid
from odyssey.tasks.metric import Metric

Arrays = dict[str, NDArray[Any]]  # by the names of Batch's fields, time first
STREAM = {"train": 0, "valid": 1, "test": 2}  # first number of each seed, so splits are distinct
IGNORED = -1  # in place of a target: padding


class Synthetic(Task):
    """A problem of `task.kind`, with sequences from a random generator.

    Training sequences are generated for each batch, from the run's seed, the epoch and the batch's
    number. Validation and test are `eval_size` fixed sequences each, the same for every seed but
    `seeds.split`, which draws others.
    """

    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.length: int = cfg.length or LENGTHS[cfg.kind]

    def load(self) -> None:
        usual = self._evaluated(0)
        self._fixed = self._evaluated(self.split_seed) if self.split_seed else usual
        digest = hashlib.sha256()  # of the usual sequences: it says what is drawn, not how often
        for arrays in usual.values():
            for name in sorted(arrays):
                digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        self.data = {"name": self.cfg.kind, "sha256": digest.hexdigest()}
        self._set_spec()

    def _evaluated(self, split_seed: int) -> dict[Split, Arrays]:
        """The sequences of validation and test."""
        size = self.cfg.eval_size
        drawn = [split_seed] if split_seed else []
        return {
            "valid": self.make(np.random.default_rng([STREAM["valid"], *drawn]), size),
            "test": self.make(np.random.default_rng([STREAM["test"], *drawn]), size),
        }

    @abstractmethod
    def make(self, rng: np.random.Generator, size: int) -> Arrays:
        """`size` sequences drawn from `rng`."""

    @abstractmethod
    def _set_spec(self) -> None: ...

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Fresh | Fixed:
        if split == "train":
            return Fresh(self, self.cfg.train_size, self.cfg.batch_size, device)
        size = self.cfg.eval_batch_size or self.cfg.batch_size
        return Fixed(_batch(self._fixed[split], device), size)

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._set_spec()


class Fresh:
    """Training batches, each generated when it is read."""

    def __init__(
        self, task: Synthetic, rows: int, batch_size: int, device: torch.device | str
    ) -> None:
        self.task = task
        self.rows = rows
        self.batch_size = batch_size
        self.device = device

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def get(self, epoch: int, index: int) -> Batch:
        """Batch `index` of epoch `epoch`, a function of these and the seed."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        size = min(self.batch_size, self.rows - index * self.batch_size)
        rng = np.random.default_rng([STREAM["train"], self.task.seed, epoch, index])
        return _batch(self.task.make(rng, size), self.device)


class Fixed:
    """Validation or test batches: slices of one batch of all sequences."""

    def __init__(self, whole: Batch, batch_size: int) -> None:
        self.whole = whole
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-self.whole.inputs.shape[1] // self.batch_size)

    def get(self, epoch: int, index: int) -> Batch:
        """Batch `index`, the same in every epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        cut = {
            name: value[rows] if value.dim() == 1 else value[:, rows]  # (B), or time first
            for name, value in self.whole._asdict().items()
            if isinstance(value, Tensor)
        }
        return _fields(cut)


def _batch(arrays: Arrays, device: torch.device | str) -> Batch:
    """Arrays as a batch on `device`; lengths stay on the CPU."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return _fields({n: t if n == "lengths" else _on(t, device) for n, t in tensors.items()})


def _fields(of: Mapping[str, Tensor]) -> Batch:
    return Batch(of["inputs"], of["targets"], of.get("lengths"), decoder=of.get("decoder"))


def _on(value: Tensor, device: torch.device | str) -> Tensor:
    if value.is_floating_point():
        value = value.to(torch.get_default_dtype())
    return value.to(device, non_blocking=True)


class Adding(Synthetic):
    """The sum of two marked numbers out of `length` (Hochreiter and Schmidhuber 1997).

    In the form of Le, Jaitly and Hinton 2015 (arXiv 1504.00941): inputs (T, B, 2) are numbers
    uniform in [0, 1) and marks, one mark in each half of the sequence; the target (B) is the sum
    of the two marked numbers, read at the last step. Loss and `mse`: the mean squared error.
    Always answering 1, the mean, gives 1/6 = 0.167.
    """

    name = "synthetic"
    measures = (Metric("mse", "min", "mean squared error", "mean squared error"),)
    answers = "number"

    def make(self, rng: np.random.Generator, size: int) -> Arrays:
        steps, rows = self.length, np.arange(size)
        inputs = np.zeros((steps, size, 2), np.float32)
        inputs[:, :, 0] = rng.random((steps, size), np.float32)
        first = rng.integers(0, steps // 2, size)
        second = rng.integers(steps // 2, steps, size)
        inputs[first, rows, 1] = inputs[second, rows, 1] = 1
        return {"inputs": inputs, "targets": inputs[first, rows, 0] + inputs[second, rows, 0]}

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.mse_loss(logits.squeeze(1), batch.targets)

    def formula(self, batch: Batch) -> tuple[Literal["squared"], float]:
        return "squared", 1.0 / len(batch.targets)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        error = (logits.detach().squeeze(1) - batch.targets).square().sum()
        return {"error": (error, float(len(batch.targets)))}

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {"mse": means["error"]}

    def _set_spec(self) -> None:
        self.spec = ModelSpec("real", 2, 1, "last")


class Copying(Synthetic):
    """Ten symbols to be repeated after `length` blank steps (Hochreiter and Schmidhuber 1997).

    In the form of Arjovsky, Shah and Bengio 2016 (arXiv 1511.06464): there are ten symbols, of
    which 0..7 are drawn, 8 is the blank and 9 the sign to answer. With delay T the inputs
    (T + 20, B) are ten drawn symbols, T - 1 blanks, the sign and ten blanks; the targets are T + 10
    blanks and the ten drawn symbols. Logits (T + 20, B, 9). Loss and `nats_per_step`: the mean
    cross-entropy over all steps. Answering blanks and then guesses gives 10 ln 8 / (T + 20) nats.
    `recalled`: the share of right symbols among the last ten.
    """

    name = "synthetic"
    measures = (
        Metric("nats_per_step", "min", "nats per step", "nats per step"),
        Metric("recalled", "max", "share of symbols recalled", "of the symbols"),
    )
    KINDS, BLANK, SIGN, COUNT = 8, 8, 9, 10

    def make(self, rng: np.random.Generator, size: int) -> Arrays:
        steps = self.length + 2 * self.COUNT
        inputs = np.full((steps, size), self.BLANK, np.int64)
        targets = inputs.copy()
        symbols = rng.integers(0, self.KINDS, (self.COUNT, size))
        inputs[: self.COUNT] = targets[-self.COUNT :] = symbols
        inputs[-self.COUNT - 1] = self.SIGN
        return {"inputs": inputs, "targets": targets}

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())

    def formula(self, batch: Batch) -> tuple[Literal["categorical"], float]:
        return "categorical", 1.0 / batch.targets.numel()

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        logits, targets = logits.detach(), batch.targets
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        end = slice(-self.COUNT, None)
        right = (logits[end].argmax(2) == targets[end]).sum()
        return {
            "nats": (nats, float(targets.numel())),
            "right": (right, float(targets[end].numel())),
        }

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {"nats_per_step": means["nats"], "recalled": means["right"]}

    def _set_spec(self) -> None:
        self.spec = ModelSpec("tokens", 10, 9, "step")


class Reversal(Synthetic):
    """Reads n symbols (min_length <= n <= length) and writes them from last to first.

    An encoder-decoder (Sutskever, Vinyals and Le 2014, arXiv 1409.3215). Symbols are 0..K-1, and K
    is both start and end. Inputs (T, B) with lengths n. The decoder reads the start and then, by
    teacher forcing, the right answer so far (T + 1, B); its targets are the reversed symbols and
    the end, n + 1 of them. Logits (T + 1, B, K + 1). Loss: the mean cross-entropy in nats of a
    valid target.

    Metrics: `token_accuracy`, and `sequence_accuracy`, the share of sequences with every token
    right. The latter is also that of a model that reads its own answers: up to its first wrong
    answer it reads the same as with teacher forcing.
    """

    name = "synthetic"
    measures = (
        Metric("sequence_accuracy", "max", "sequence accuracy", "sequence accuracy"),
        Metric("token_accuracy", "max", "token accuracy", "token accuracy"),
        Metric("nats", "min", "cross-entropy in nats", "nats"),
    )

    def make(self, rng: np.random.Generator, size: int) -> Arrays:
        end = self.cfg.symbols
        lengths = rng.integers(self.cfg.min_length, self.length, size, endpoint=True)
        time = np.arange(lengths.max())[:, None]
        inputs = rng.integers(0, end, (len(time), size))
        backwards = np.take_along_axis(inputs, np.maximum(lengths - 1 - time, 0), axis=0)
        edge = np.full((1, size), end)
        backwards = np.where(time < lengths, backwards, end)
        return {
            "inputs": inputs,
            "targets": np.concatenate([backwards, edge]),
            "lengths": lengths,
            "decoder": np.concatenate([edge, backwards]),
        }

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        logits, targets, _ = _masked(logits, batch)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        logits, targets, within = _masked(logits.detach(), batch)
        nats = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        right = logits.argmax(2) == targets
        whole = (right | ~within).all(0).sum()
        count = within.sum()
        return {
            "nats": (nats, count),
            "tokens": ((right & within).sum(), count),
            "whole": (whole, float(targets.shape[1])),
        }

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {
            "sequence_accuracy": means["whole"],
            "token_accuracy": means["tokens"],
            "nats": means["nats"],
        }

    def _set_spec(self) -> None:
        size = self.cfg.symbols + 1
        self.spec = ModelSpec("tokens", size, size, "decoder")


def _masked(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits with 0 and targets with `IGNORED` in the padding, and which steps are valid."""
    assert batch.lengths is not None
    within = valid(batch.lengths + 1, len(batch.targets), logits.device)
    logits = torch.where(within.unsqueeze(2), logits, 0.0)
    return logits, torch.where(within, batch.targets, IGNORED), within


def synthetic(cfg: Any, **kwargs: Any) -> Synthetic:
    """The task of `cfg.kind`; the arguments are those of `Task`."""
    kinds: dict[str, type[Synthetic]] = {"adding": Adding, "copying": Copying, "reversal": Reversal}
    return kinds[cfg.kind](cfg, **kwargs)
