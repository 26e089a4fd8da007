"""What every task is: a DataModule with a loss, metrics, and a word on the model it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from odyssey.errors import UserError
from odyssey.tasks.metric import Metric

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class ModelSpec:
    """What a task asks of a model.

    input: `tokens` are integers below `input_size` (T, B); `real` are floats (T, B, input_size).
    head: `step` gives (T, B, output_size); `last` gives (B, output_size), read at each sequence's
    last valid step; `decoder` reads the inputs to their end, then `Batch.decoder` (tokens, S × B)
    from the encoder's final state, and gives (S, B, output_size).
    """

    input: Literal["tokens", "real"]
    input_size: int
    output_size: int
    head: Literal["step", "last", "decoder"]
    causal: bool = False  # predicts its own input's next step: a backward direction would peek


class Batch(NamedTuple):
    """Time first. Padding may hold anything: nothing of it reaches a number."""

    inputs: Tensor  # (T, B) int64 tokens, or (T, B, X) float
    targets: Tensor  # what `loss` wants
    lengths: Tensor | None = None  # (B) int64, valid steps, always on the CPU; None: all T
    reset: bool = False  # streamed: the text starts here, so the state does too
    decoder: Tensor | None = None  # (S, B) tokens that a decoder reads


class Batches(Protocol):
    """One pass over a split, by number, so that a run can go on from any place."""

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def get(self, epoch: int, index: int) -> Batch:
        """The batch `index` of epoch `epoch`: a function of these and the seed, nothing else."""
        ...


class Pass:
    """The batches from number `start` to before `stop`, counted over all epochs, to iterate.

    per_epoch: how many batches of each epoch are used, the first ones; None: all
    """

    def __init__(
        self, batches: Batches, start: int, stop: int, per_epoch: int | None = None
    ) -> None:
        self.batches, self.start, self.stop = batches, start, stop
        self.per_epoch = len(batches) if per_epoch is None else per_epoch

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.start, self.stop):
            yield self.batches.get(*divmod(number, self.per_epoch))


class FirstBatch:
    """A split of one batch, for training on that alone; the state starts anew each time."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return 1

    def get(self, epoch: int, index: int) -> Batch:
        return self.batches.get(0, 0)._replace(reset=True)


Sums = Mapping[str, tuple[Tensor, Tensor | float]]

# Runs a trained model, for sampling: inputs (T, B) or (T, B, X) and the state or None to logits
# (T, B, K) and the state to go on from. No gradient.
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Task(LightningDataModule, ABC):
    """A task, made from its part of the configuration.

    Life: construct (cheap, no data), `load()` (data, vocabulary, `spec`), then batches.
    """

    name: str = ""  # a class attribute, as in Lightning
    streamed: ClassVar[bool] = False  # windows of one long text, with the state carried over
    measures: ClassVar[tuple[Metric, ...]]  # what `metrics` returns, the monitor first

    spec: ModelSpec
    data: dict[str, str]  # {"name": …, "sha256": …}

    def __init__(self, cfg: Any, *, data_dir: str | None, seed: int, window: int | None) -> None:
        """`cfg` has the fields of the task's dataclass in odyssey.config, `window` is bptt.length.

        The order and splits of data depend on `seed` only as far as `cfg` says so.
        """
        super().__init__()
        self.cfg = cfg
        self.data_dir = data_dir
        self.seed = seed
        self.window = window
        self.device: torch.device | str = "cpu"  # where batches are wanted
        self.overfit = False  # train and evaluate on the first training batch alone
        # The batches that `train_dataloader` gives; asked again for each loader.
        self.round: Callable[[], tuple[int, int]] | None = None
        self.train_batches: int | None = None  # of each epoch, in training; None: all
        self._ready: dict[str, Batches] = {}

    @property
    def monitor(self) -> str:
        """The metric whose best validation value chooses the checkpoint: the first measure."""
        return self.measures[0].name

    @property
    def mode(self) -> Literal["min", "max"]:
        """`max` where a larger value of the monitor is better, else `min`."""
        return self.measures[0].mode

    @abstractmethod
    def load(self) -> None:
        """Fetch and read the data; set `spec` and `data`. Raises UserError."""

    @abstractmethod
    def batches(self, split: Split, device: torch.device | str = "cpu") -> Batches:
        """The batches of a split, their data kept on `device`."""

    def perturb(self, batch: Batch) -> Batch:
        """What is done to a batch in training alone (input noise). Draws from torch's generator."""
        return batch

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The scalar to minimise."""

    @abstractmethod
    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        """Name -> (sum, count), without gradient or a host sync; added up over a split.

        A count that is known on the host may be a float; one that is not is a tensor.
        """

    @abstractmethod
    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        """The metrics to report, from each score's sum over count: one for each of `measures`."""

    def sample(
        self,
        step: Step,
        *,
        length: int,
        temperature: float = 1.0,
        seed: int = 0,
        prompt: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Any]:
        """What the model makes by itself, piece by piece, by a generator of its own.

        Raises UserError, at the call, for a wrong option or a task that has no samples.
        """
        raise UserError(f"task={self.name} has no samples: they are for charlm, wordlm and music")

    def write_sample(
        self, step: Step, path: Path, *, seed: int, device: torch.device | str = "cpu"
    ) -> Path | None:
        """Write a sample to `path` plus a suffix; the file written, None if there are none."""
        return None

    def export(self) -> dict[str, Any]:
        """What a checkpoint must hold to use the model without the data (a vocabulary, say)."""
        return {}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """The other way: set what `export` gave, in place of `load()`; `spec` too."""
        raise TypeError(f"task {self.name} cannot be used without its data")

    def ready(self, split: Split) -> Batches:
        """The batches of a split on `device`, made once."""
        if self.overfit:
            split = "train"
        if split not in self._ready:
            batches = self.batches(split, self.device)
            self._ready[split] = FirstBatch(batches) if self.overfit else batches
        return self._ready[split]

    def train_dataloader(self) -> Pass:
        """The batches of `round`, or one epoch."""
        batches = self.ready("train")
        per_epoch = len(batches) if self.train_batches is None else self.train_batches
        return Pass(batches, *(self.round() if self.round else (0, per_epoch)), per_epoch)

    def val_dataloader(self) -> Pass:
        """The whole validation part."""
        return Pass(self.ready("valid"), 0, len(self.ready("valid")))

    def test_dataloader(self) -> Pass:
        """The whole test part."""
        return Pass(self.ready("test"), 0, len(self.ready("test")))

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """All of a batch but `lengths`, which packing wants on the CPU."""

        def move(value: Any) -> Any:
            return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

        return Batch(*map(move, batch))._replace(lengths=batch.lengths)
