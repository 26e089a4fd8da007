"""The base class of tasks: a DataModule with a loss, metrics, and the model's specification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from odyssey.errors import UserError
from odyssey.registry import plain
from odyssey.tasks.metric import Metric

Split = Literal["train", "valid", "test"]
ADDED = "added:"  # before the scores of added metrics, whose names may be those of the task's


@dataclass(frozen=True)
class ModelSpec:
    """The inputs and outputs that a task needs of a model.

    input: `tokens` are integers below `input_size` (T, B); `real` are floats (T, B, input_size).
    head: `step` gives logits (T, B, output_size); `last` gives (B, output_size), read at each
    sequence's last valid step; `decoder` reads the inputs to their end, then `Batch.decoder`
    (tokens, S × B) from the encoder's final state, and gives (S, B, output_size).
    causal: whether the target of a step is in the inputs of later steps, which a backward direction
    would read.
    """

    input: Literal["tokens", "real"]
    input_size: int
    output_size: int
    head: Literal["step", "last", "decoder"]
    causal: bool = False


class Batch(NamedTuple):
    """Tensors, time first. Padding may hold anything: no loss or metric depends on it."""

    inputs: Tensor  # (T, B) int64 tokens, or (T, B, X) float
    targets: Tensor  # in the form that the task's `loss` reads
    lengths: Tensor | None = None  # (B) int64, valid steps, always on the CPU; None: all T
    reset: bool = False  # streamed: the text starts here, so the state is reset
    decoder: Tensor | None = None  # (S, B) int64 tokens that a decoder reads
    starts: Tensor | None = None  # (T, B) bool, always on the CPU: where the state is set to zero


class Batches(Protocol):
    """The batches of a split by epoch and number, so that a run can resume at any update."""

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def get(self, epoch: int, index: int) -> Batch:
        """Batch `index` of epoch `epoch`: a function of these and the seed, nothing else."""
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
    """The first batch of a split alone, with `reset` set, to overfit it."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return 1

    def get(self, epoch: int, index: int) -> Batch:
        return self.batches.get(0, 0)._replace(reset=True)


Sums = Mapping[str, tuple[Tensor, Tensor | float]]


class TaskMetric(ABC):
    """A metric that is added to a task's own: `metrics.NAME._target_=my_metrics.Mine`.

    A class of your own says what its values are like and computes them; it may take options, as
    `metrics.NAME.k=3`. It is in metrics.csv, run.json and the report as `NAME`.
    """

    mode: ClassVar[Literal["min", "max"]] = "min"  # `max` where a larger value is better
    label: ClassVar[str] = ""  # in plain words; empty: the name
    unit: ClassVar[str] = ""  # what a difference of two values is in; empty: the label

    @abstractmethod
    def scores(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor | float]:
        """Sum and count, over a batch, of what is averaged over a split; without host sync."""

    def value(self, mean: float) -> float:
        """The metric, from the mean of `scores` over a split: as it is, unless this is defined."""
        return mean

    def measure(self, name: str) -> Metric:
        """What the metric is called, under the name that the user gave it."""
        label = self.label or name.replace("_", " ")
        return Metric(name, self.mode, label, self.unit or label)


@dataclass(frozen=True)
class Other:
    """Other data than those of the run, which `Task.load_other` has read, to be evaluated on.

    documents: a name for each document of a streamed task, or none
    symbols, unknown: how many there are, and how many of them the vocabulary lacks; 0 of a task
    without a vocabulary
    """

    batches: Batches
    data: Mapping[str, str]  # {"name": …, "sha256": …}
    documents: Sequence[str] = ()
    symbols: int = 0
    unknown: int = 0
    notes: Sequence[str] = ()


# A trained model as a function for sampling, without gradients: inputs (T, B) or (T, B, X) and the
# state, None at the start, to logits (T, B, K) and the next state.
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


class Task(LightningDataModule, ABC):
    """A task: its data, loss and metrics.

    Constructing it is cheap and reads no data; `load()` reads them and sets `spec`, after which
    there are batches.
    """

    name: str = ""  # a class attribute, as in Lightning
    streamed: ClassVar[bool] = False  # windows of one long text, with the state carried over
    # What the K logits of a prediction are of: one of K classes, K yes-or-no variables, or numbers.
    answers: ClassVar[Literal["class", "each", "number"]] = "class"
    measures: ClassVar[tuple[Metric, ...]]  # what `metrics` returns, the monitor first

    spec: ModelSpec
    data: dict[str, str]  # {"name": …, "sha256": …}

    def __init__(
        self,
        cfg: Any,
        *,
        data_dir: str | None,
        seed: int,
        window: int | None,
        split_seed: int = 0,
    ) -> None:
        """
        cfg: the fields of the task's dataclass in odyssey.config.task_schema.
        window: bptt.length; None for whole sequences.
        seed: of the order of training batches; splits and fixed sequences do not depend on it.
        split_seed: of a split that is drawn at random, where the task draws one; 0: the usual one.
        """
        super().__init__()
        self.cfg = cfg
        self.data_dir = data_dir
        self.seed = seed
        self.window = window
        self.split_seed = split_seed
        self.device: torch.device | str = "cpu"  # of the batches
        self.overfit = False  # train and evaluate on the first training batch alone
        # Returns the batches (start, stop) of `train_dataloader`; called for each loader.
        self.round: Callable[[], tuple[int, int]] | None = None
        self.train_batches: int | None = None  # of each epoch, in training; None: all
        self._ready: dict[str, Batches] = {}
        self.added: dict[str, TaskMetric] = {}
        self.notes: tuple[str, ...] = ()  # on the data, a line each, set by `load`
        self.adopted: Mapping[str, Any] = {}  # what another run has learned of its data
        self.caveat = ""  # what a reader of the metrics must know, set by `load`; printed with them
        self.untested = ""  # why there is no test part, set by `load`; empty: there is one
        if getattr(cfg, "_target_", None) is not None:  # a task of the user's own
            self.name = cfg.name
            self.configure(**plain(cfg.options))

    def configure(self, *_: Any, **options: Any) -> None:
        """Take the options `task.options`; to be defined, with their names, by a task of one's own.

        It is called once, before `load`, and should be cheap.
        """
        if options:
            raise TypeError(f"{type(self).__name__} takes no options")

    @classmethod
    def check(cls, cfg: Any) -> Iterator[str]:
        """A sentence for each thing wrong with the section `task`, before anything is loaded."""
        return iter(())

    @classmethod
    def draws_split(cls, cfg: Any) -> bool:
        """Whether `split_seed` decides which items are for training, validation and test.

        It is asked of tasks of one's own, with the section `task`, where `seeds.split` is set.
        """
        return False

    def add_metrics(self, metrics: Mapping[str, TaskMetric]) -> None:
        """Compute these beside the task's own. Raises UserError for a name that is taken."""
        for name, metric in metrics.items():
            if name in {m.name for m in self.measures}:
                raise UserError(
                    f"metrics.{name} has the name of a metric of task={self.name}: type another "
                    f"name, as metrics.my_{name}"
                )
            self.added[name] = metric
            self.measures = (*self.measures, metric.measure(name))  # type: ignore[misc]

    def all_scores(self, logits: Tensor, batch: Batch) -> Sums:
        """`scores`, with those of added metrics."""
        own: Any = self.scores(logits, batch)
        if not isinstance(own, Mapping):
            raise UserError(
                f"task={self.name} has scores() that return {type(own).__name__}: return a dict of "
                "names with the sum and the count of each"
            )
        found = {
            name: _sum_and_count(f"task={self.name}, score {name},", pair)
            for name, pair in own.items()
        }
        for name, metric in self.added.items():
            what = f"metrics.{name}, {type(metric).__name__},"
            try:
                with torch.no_grad():
                    pair = metric.scores(logits.detach(), batch)
                found[f"{ADDED}{name}"] = _sum_and_count(what, pair)
            except UserError:
                raise
            except Exception as error:  # whatever a user's class raises
                why = " ".join(str(error).split()) or type(error).__name__
                raise UserError(f"{what} cannot be computed on task={self.name}: {why}") from error
        return found

    def all_metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        """`metrics`, with those that were added."""
        added = {name: m.value(means[f"{ADDED}{name}"]) for name, m in self.added.items()}
        own = {name: value for name, value in means.items() if not name.startswith(ADDED)}
        found = {**self.metrics(own), **added}
        if missing := [m.name for m in self.measures if m.name not in found]:
            raise UserError(
                f"task={self.name} has metrics() without {missing[0]}, which is among its "
                "measures: return a value for each of them"
            )
        return found

    def checked_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """`loss`. Raises UserError where it is not one number that depends on the logits."""
        found: Any = self.loss(logits, batch)
        if not isinstance(found, Tensor) or found.numel() != 1 or not found.requires_grad:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            why = "without a gradient" if getattr(found, "shape", None) == () else f"of {shape}"
            raise UserError(
                f"task={self.name} has a loss {why}: loss() must return a tensor of one number, "
                "computed from the logits"
            )
        return found

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
        """Download and read the data; set `spec` and `data`. Raises UserError."""

    @abstractmethod
    def batches(self, split: Split, device: torch.device | str = "cpu") -> Batches:
        """The batches of a split, with their data on `device`."""

    def perturb(self, batch: Batch) -> Batch:
        """The batch as it is trained on, such as with noise drawn from torch's generator."""
        return batch

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The scalar to minimize."""

    def has_formula(self) -> bool:
        """Whether `formula` gives this task's loss, as it is configured."""
        return type(self).formula is not Task.formula

    def formula(self, batch: Batch) -> tuple[Literal["bernoulli", "categorical", "squared"], float]:
        """`loss` as one of three sums over what is not padding, and the factor of the sum.

        bernoulli: -log p of yes-or-no targets, one for each logit. categorical: -log p of one of
        the K classes for each row, of which targets below 0 do not count. squared: the squared
        difference of each logit and its target. Where a task has it, its updates can be made in C.
        """
        raise NotImplementedError

    def formula_scores(
        self, total: float, batch: Batch
    ) -> Mapping[str, tuple[float, float]] | None:
        """`scores`, where they follow from the sum of `formula` over the batch; else None."""
        return None

    @abstractmethod
    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        """Name -> (sum, count), which are added up over a split; no gradient, no host sync.

        A count that is known on the host is a float; otherwise it is a tensor.
        """

    def each_scores(self, logits: Tensor, batch: Batch) -> Sums | None:
        """`scores` of each sequence of a batch, (B); of a streamed text of each step, (T, B).

        It spares the test to ask for `scores` sequence by sequence, which it does where this is
        None. Sums and counts have that shape, or a count is one number for all.
        """
        return None

    @abstractmethod
    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        """The value of each of `measures`, from each score's mean (sum / count) over a split."""

    def guess(self, logits: Tensor) -> Tensor | None:
        """The outputs of a model that only guesses, in the form of `logits`; None for no such.

        Here equal chances of all classes, of yes and no, and 0 for numbers. A run whose test loss
        is more than twice as large ends as `diverged`.
        """
        return torch.zeros_like(logits)

    def read(self, inputs: Any) -> Batch:
        """A batch without targets of inputs of the user's own, to predict from.

        Here: a sequence (T) of tokens or (T, X) of numbers, or several of them, of any lengths.
        Raises UserError for what is no such input.
        """
        rank = 1 if self.spec.input == "tokens" else 2
        sequences = as_arrays(inputs, rank, self.spec)
        lengths = torch.tensor([len(s) for s in sequences])
        longest = int(lengths.max())
        block = torch.zeros(
            (longest, len(sequences), *sequences[0].shape[1:]), dtype=sequences[0].dtype
        )
        for i, sequence in enumerate(sequences):
            block[: len(sequence), i] = sequence
        if self.spec.input == "real":
            block = block.to(torch.get_default_dtype())
        return Batch(block, torch.empty(0), lengths)

    def right(self, batch: Batch) -> Tensor:
        """The right answers of a batch, where its targets hold more than these."""
        return batch.targets

    def names(self) -> Sequence[Any]:
        """What each of the K outputs stands for, in order: their numbers where nothing better."""
        return range(self.spec.output_size)

    def sample(
        self,
        step: Step,
        *,
        length: int,
        temperature: float = 1.0,
        seed: int = 0,
        prompt: str | None = None,
        device: torch.device | str = "cpu",
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Iterator[Any]:
        """Pieces that the model generates, from a random generator seeded with `seed`.

        top_k, top_p: see odyssey.tasks.decoding.Nucleus; a task of one's own may leave them out.

        Raises UserError, at the call, for a wrong option or a task without samples.
        """
        raise UserError(f"task={self.name} has no samples: they are for charlm, wordlm and music")

    def write_sample(
        self, step: Step, path: Path, *, seed: int, device: torch.device | str = "cpu"
    ) -> Path | None:
        """Write a sample to `path` plus a suffix; the path, None for a task without samples."""
        return None

    def export(self) -> dict[str, Any]:
        """What a checkpoint holds to use the model without the data, such as a vocabulary."""
        return {}

    def adopt(self, saved: Mapping[str, Any]) -> None:
        """Let `load` use what a run before has learned of its data, such as its vocabulary.

        saved: what `export` returned there
        """
        self.adopted = saved

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Set what `export` returned, and `spec`, in place of `load()`."""
        raise TypeError(f"task {self.name} cannot be used without its data")

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """Read data at `path`, all of them, with what `restore` has set: nothing is learned anew.

        path: a file or folder as `task.path` has it. split: which part of a folder with parts.

        It is called after `restore`, on a task whose `load` was not. Raises UserError for data that
        cannot be read; here, as a task of one's own has to define it, in any case.
        """
        raise UserError(
            f"task={self.name} reads no other data with a trained model: leave data out, and it is "
            "evaluated on the run's own"
        )

    def ready(self, split: Split) -> Batches:
        """The batches of a split on `device`, cached."""
        if self.overfit:
            split = "train"
        elif split == "test" and self.untested:
            raise UserError(self.untested)
        if split not in self._ready:
            batches = self.batches(split, self.device)
            self._ready[split] = FirstBatch(batches) if self.overfit else batches
        return self._ready[split]

    def train_dataloader(self) -> Pass:
        """The batches of `round`, else one epoch."""
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
        """The batch on `device`, but for `lengths` and `starts`, which stay on the CPU."""

        def move(value: Any) -> Any:
            return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

        return Batch(*map(move, batch))._replace(lengths=batch.lengths, starts=batch.starts)


def _sum_and_count(what: str, pair: Any) -> tuple[Tensor, Tensor | float]:
    """What `scores` gave for one name. Raises UserError where it is no sum with its count."""
    values = pair if isinstance(pair, (tuple, list)) else ()
    single = [
        v
        for v in values
        if (isinstance(v, Tensor) and v.numel() == 1) or isinstance(v, (int, float))
    ]
    if len(values) != 2 or len(single) != 2:
        raise UserError(
            f"{what} has no sum with a count: scores() must return two numbers, as in right.sum(), "
            "float(right.numel())"
        )
    total, count = single
    return torch.as_tensor(total), count


def as_texts(inputs: Any) -> list[str]:
    """One text or several as a list. Raises UserError where they are none."""
    given = [inputs] if isinstance(inputs, str) else inputs
    texts = list(given) if isinstance(given, Iterable) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError("the inputs are no texts: give a string, or a list of them")
    return texts


def check_finite(inputs: Any) -> None:
    """Raise UserError where an array of numbers has nan or inf among them."""
    if np.issubdtype(inputs.dtype, np.floating) and not np.isfinite(inputs).all():
        raise UserError(
            "the inputs have values that are not finite numbers (nan or inf): replace them, or "
            "leave their sequences out"
        )


def as_arrays(inputs: Any, rank: int, spec: ModelSpec) -> list[Tensor]:
    """One sequence or several, each of `rank` dimensions, as tensors that the model can read.

    Raises UserError with what is wrong with them.
    """
    form = "(T) integers" if rank == 1 else f"(T, {spec.input_size}) numbers"
    try:
        several = not hasattr(inputs, "ndim") and np.ndim(inputs[0]) >= rank
        given = list(inputs) if several or np.ndim(inputs) > rank else [inputs]
        found = [torch.as_tensor(np.asarray(one)) for one in given]
    except (TypeError, ValueError, IndexError, KeyError):
        raise UserError(f"the inputs are no sequences: give arrays, each {form}") from None
    for one in found:
        if one.ndim != rank or not len(one) or (rank == 2 and one.shape[1] != spec.input_size):
            raise UserError(
                f"the inputs have a sequence of shape {tuple(one.shape)}: give arrays, each {form}"
            )
        if rank == 2:
            check_finite(one.numpy())
        if rank == 1 and one.is_floating_point():
            raise UserError(f"the inputs have fractions: give arrays, each {form}")
        if rank == 1 and not 0 <= int(one.min()) <= int(one.max()) < spec.input_size:
            raise UserError(
                f"the inputs have tokens from {int(one.min())} to {int(one.max())}: give integers "
                f"from 0 to {spec.input_size - 1}"
            )
    return [one.long() if rank == 1 else one.to(torch.float64) for one in found]
