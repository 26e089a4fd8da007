"""A base for tasks on arrays in memory: say how they are read and what is predicted."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from odyssey.data.identity import file_hash
from odyssey.errors import UserError, options
from odyssey.tasks.base import Batch, Batches, ModelSpec, Other, Split, Sums, Task
from odyssey.tasks.batching import Order, Sequences, valid
from odyssey.tasks.metric import Metric

Target = Literal["value", "class", "bits"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
IGNORED = -1  # in place of the class of a step that has none
ANSWERS: dict[Target, Literal["class", "each", "number"]] = {
    "value": "number",
    "class": "class",
    "bits": "each",
}
# What is measured of each kind of target; the first chooses the checkpoint.
MEASURES: dict[Target, tuple[Metric, ...]] = {
    "value": (
        Metric("rmse", "min", "root mean squared error", "RMSE"),
        Metric("mae", "min", "mean absolute error", "MAE"),
    ),
    "class": (
        Metric("accuracy", "max", "accuracy", "accuracy"),
        Metric("nats", "min", "cross-entropy in nats", "nats"),
    ),
    "bits": (Metric("nats", "min", "cross-entropy in nats", "nats"),),
}


@dataclass
class Examples:
    """One part of the data: N sequences, or one long series of a streamed task.

    inputs: for each sequence its steps, (T,) integers or (T, X) numbers
    targets: for each sequence what is to be predicted. With a target for each step, an array as
        long as the inputs: (T,) classes, or (T, K) numbers, nan where a step has none. With one
        target for a whole sequence, a class or K numbers.
    """

    inputs: Sequence[ArrayLike]
    targets: Sequence[ArrayLike]


class _Part(NamedTuple):
    """The same, as arrays."""

    inputs: list[NDArray[Any]]
    targets: list[NDArray[Any]]


class ArrayTask(Task):
    """A task of your own: define `parts`, and say by `target` and `each_step` what is predicted.

    target: `value` for real numbers (loss: mean squared error), `class` for one of `classes`
        (cross-entropy in nats), `bits` for K numbers of 0 and 1 (Bernoulli, in nats)
    each_step: whether each step has a target, or each whole sequence
    streamed: whether there is one long series, which is read in windows of `bptt.length` steps, in
        `task.batch_size` stretches side by side, with the state carried from window to window
    causal: whether the target of a step is among the inputs of later ones, as in forecasting; the
        model then may not read backwards

    Metrics are those of the kind of target; add others as for any task.
    """

    target: ClassVar[Target] = "value"
    each_step: ClassVar[bool] = False
    classes: int | None = None  # of `class`; None: as many as the training part has
    causal: bool = False

    _parts: dict[Split, _Part]

    @abstractmethod
    def parts(self) -> Mapping[Split, Examples]:
        """The parts `train`, `valid` and `test`. Raises UserError for data that cannot be read."""

    @property
    def kind(self) -> Target:
        """The kind of target; `target`, unless a task decides by its options."""
        return self.target

    @property
    def of_steps(self) -> bool:
        """Whether each step has a target; `each_step`, unless a task decides by its options."""
        return self.each_step

    def load(self) -> None:
        """Read the parts, and see that they fit each other. Raises UserError."""
        given = self.parts()
        self._see_form(given)
        self._parts = {split: self._arrays(split, given) for split in SPLITS}
        self.measures = MEASURES[self.kind]  # type: ignore[misc]
        self.answers = ANSWERS[self.kind]  # type: ignore[misc]
        first = self._parts["train"].inputs[0]
        tokens = first.ndim == 1
        if tokens:
            size = 1 + max(int(s.max()) for part in self._parts.values() for s in part.inputs)
        else:
            size = first.shape[1]
        outputs = self._outputs()
        form = self._parts["train"].targets[0].shape[1 if self.of_steps else 0 :]
        for split, part in self._parts.items():
            for inputs, target in zip(part.inputs, part.targets, strict=True):
                if wrong := self._mistake(inputs, target, None if tokens else size, outputs, form):
                    raise UserError(f"task={self.name} has {wrong} in its {split} part")
        self.spec = ModelSpec(
            "tokens" if tokens else "real",
            size,
            outputs,
            "step" if self.of_steps else "last",
            causal=self.causal,
        )
        if not hasattr(self, "data"):
            own = self.cfg.data == "own"
            path = self.cfg.path
            digest = _digest(self._parts) if path is None else file_hash(path)
            self.data = {"name": self.name if own else self.cfg.data, "sha256": digest}

    def other_examples(self, examples: Examples, path: Path) -> Other:
        """Examples that were read from the file at `path`, for `load_other` to return.

        Raises UserError where they do not fit the model.
        """
        part = self._arrays("test", {"test": examples})
        self._parts = {"test": part}
        size = self.spec.input_size
        form = part.targets[0].shape[1 if self.of_steps else 0 :]
        for inputs, target in zip(part.inputs, part.targets, strict=True):
            width = None if self.spec.input == "tokens" else size
            wrong = self._mistake(inputs, target, width, self.spec.output_size, form)
            if not wrong and width is None and inputs.max() >= size:
                wrong = f"the input {inputs.max()}, where the model knows {size}, from 0,"
            if wrong:
                raise UserError(f"data={path} has {wrong}: give data like those of the training")
        data = {"name": path.resolve().name, "sha256": file_hash(path, "data")}
        return Other(self.batches("test", self.device), data)

    def _see_form(self, given: Any) -> None:
        """Raise UserError where the class's fields, or what `parts` gave, are of no such form."""
        if self.kind not in MEASURES:
            wanted = options(MEASURES)
            raise UserError(
                f"task={self.name} has target = {self.kind!r}: set it to one of {wanted}"
            )
        if self.streamed and not self.of_steps:
            raise UserError(
                f"task={self.name} is streamed, and has one target only: set each_step = True"
            )
        if not isinstance(given, Mapping) or not all(
            part is None or isinstance(part, Examples) for part in given.values()
        ):
            raise UserError(
                f"task={self.name} gives parts of another form: parts() must return "
                "{'train': Examples(inputs, targets), 'valid': …, 'test': …}"
            )

    def _arrays(self, split: Split, given: Mapping[Split, Examples]) -> _Part:
        """A part as arrays. Raises UserError for one without sequences, or with empty ones."""
        part = given.get(split)
        if part is None or not len(part.inputs):
            raise UserError(f"task={self.name} has no {split} data: parts() must give some")
        if len(part.inputs) != len(part.targets):
            raise UserError(
                f"task={self.name} has {len(part.inputs)} sequences and {len(part.targets)} "
                f"targets in its {split} part: parts() must give as many of both"
            )
        found = _Part(
            [self._array("a sequence", s, split) for s in part.inputs],
            [self._array("a target", t, split) for t in part.targets],
        )
        for inputs in found.inputs:
            whole = inputs.ndim == 1 and np.issubdtype(inputs.dtype, np.integer)
            if not (whole or inputs.ndim == 2) or not inputs.size:
                raise UserError(
                    f"task={self.name} has a sequence of shape {inputs.shape} and type "
                    f"{inputs.dtype} in its {split} part: parts() must give (T,) whole numbers or "
                    "(T, X) numbers, T of 1 or more"
                )
        if all(_is_empty(target, self.kind) for target in found.targets):
            raise UserError(
                f"task={self.name} has no target in its {split} part, where all are empty or "
                "missing: parts() must give some"
            )
        return found

    def _array(self, what: str, given: ArrayLike, split: Split) -> NDArray[Any]:
        """A sequence or a target as an array. Raises UserError where it holds no numbers."""
        try:
            found = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
        except (ValueError, TypeError):  # rows of different lengths
            found = np.empty(0, dtype=object)
        if found.dtype.kind not in "biuf":
            kind = type(given).__name__ if found.dtype == object else found.dtype
            raise UserError(
                f"task={self.name} has {what} that is no array of numbers ({kind}) in its {split} "
                "part: parts() must give real numbers, in rows of one length"
            )
        return found

    def _mistake(
        self,
        inputs: NDArray[Any],
        target: NDArray[Any],
        size: int | None,
        outputs: int,
        form: tuple[int, ...],
    ) -> str | None:
        """What is wrong with a sequence and its target.

        size: X, or None for whole numbers; form: the shape of the first target, without its steps
        """
        if (inputs.ndim == 1) != (size is None) or (size is not None and inputs.shape[1] != size):
            return f"a sequence of shape {inputs.shape} beside others of another form"
        if size is None and inputs.min() < 0:
            return f"the input {inputs.min()}, where whole numbers count from 0,"
        if size is not None and not np.isfinite(inputs.astype(float)).all():
            return "an input that is not a finite number"
        if self.of_steps and (target.ndim == 0 or len(target) != len(inputs)):
            return f"a sequence of {len(inputs)} steps with targets of shape {target.shape}"
        shape = target.shape[1:] if self.of_steps else target.shape
        if self.kind == "class" and not np.issubdtype(target.dtype, np.integer):
            return f"targets of type {target.dtype}, where classes are whole numbers,"
        if self.kind == "class" and shape:
            wanted = "(T,)" if self.of_steps else "()"
            return f"classes of shape {target.shape}, and not {wanted},"
        if shape != form:
            return f"a target of shape {target.shape} beside others of another form"
        if self.kind == "value" and np.isinf(target).any():
            return "a target that is infinite (nan stands for one that is missing)"
        if self.kind == "bits" and not (np.isnan(t := target.astype(float)) | (t * t == t)).all():
            return "a target other than 0, 1 and nan among its bits"
        if self.kind != "class":
            return None
        least = IGNORED if self.of_steps else 0
        if target.size and (target.min() < least or target.max() >= outputs):
            return (
                f"the class {target.max() if target.max() >= outputs else target.min()}, where "
                f"there are {outputs}, from 0, by the training part or by `classes`,"
            )
        return None

    def _outputs(self) -> int:
        targets = self._parts["train"].targets
        if self.kind == "class":
            return self.classes or max(int(np.max(t, initial=0)) for t in targets) + 1
        shape = targets[0].shape[1:] if self.of_steps else targets[0].shape
        return int(np.prod(shape, dtype=int)) if shape else 1

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Batches:
        """Windows of the series, or sequences of similar length side by side."""
        part, train = self._parts[split], split == "train"
        size = self.cfg.batch_size if train else self.cfg.eval_batch_size or self.cfg.batch_size
        if self.streamed:
            return SeriesWindows(*self._series(part), lanes=size, window=self.window, device=device)
        inputs = Sequences([self._inputs(s) for s in part.inputs], device)
        targets = Sequences([self._target(t) for t in part.targets], device)
        order = Order(
            len(inputs.lengths), size, seed=self.seed, shuffle=train, lengths=inputs.lengths
        )
        return _Padded(inputs, targets, order, self.of_steps)

    def _series(self, part: _Part) -> tuple[Tensor, Tensor]:
        """The one series of a streamed part, (N, X) or (N,), and its targets."""
        inputs = np.concatenate([self._inputs(s) for s in part.inputs])
        targets = np.concatenate([self._target(t) for t in part.targets])
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _inputs(self, sequence: NDArray[Any]) -> NDArray[Any]:
        whole = self.spec.input == "tokens"
        return sequence.astype(np.int64 if whole else _real_type())

    def _target(self, target: NDArray[Any]) -> NDArray[Any]:
        """(T, K) or (T,) of a sequence with a target a step; else (1, K) or (1,)."""
        array = target if self.of_steps else target[None]
        if self.kind == "class":
            return array.astype(np.int64)
        return array.reshape(len(array), -1).astype(_real_type())

    # -- loss and metrics -------------------------------------------------------------------

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean over all targets of a batch."""
        sums = self._sums(logits, batch)
        total, count = sums["squared" if self.kind == "value" else "nats"]
        return total / count.clamp(min=1)

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        """Sums over the targets of a batch, and their number."""
        return self._sums(logits.detach(), batch)

    def _sums(self, logits: Tensor, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        targets = batch.targets
        if self.kind == "class":
            there = targets != IGNORED
            if batch.lengths is not None and self.of_steps:
                there = there & valid(batch.lengths, len(targets), targets.device)
            targets = torch.where(there, targets, IGNORED)
            nats = F.cross_entropy(
                logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
            )
            right = ((logits.argmax(-1) == targets) & there).sum()
            count = there.sum()
            return {"nats": (nats, count), "right": (right, count)}
        there = ~targets.isnan()
        if batch.lengths is not None and self.of_steps:
            there = there & valid(batch.lengths, len(targets), targets.device).unsqueeze(-1)
        count = there.sum()
        targets = torch.where(there, targets, 0.0)
        if self.kind == "bits":
            each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            return {"nats": (torch.where(there, each, 0.0).sum(), count)}
        error = torch.where(there, logits - targets, 0.0)
        return {"squared": (error.square().sum(), count), "absolute": (error.abs().sum(), count)}

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        """The values of `measures`."""
        if self.kind == "class":
            return {"accuracy": means["right"], "nats": means["nats"]}
        if self.kind == "bits":
            return {"nats": means["nats"]}
        return {"rmse": math.sqrt(means["squared"]), "mae": means["absolute"]}

    def export(self) -> dict[str, Any]:
        """The sizes of the model, with which it can be used without the data."""
        return {"spec": [self.spec.input, self.spec.input_size, self.spec.output_size]}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take what `export` gave."""
        kind, inputs, outputs = saved["spec"]
        head: Literal["step", "last"] = "step" if self.of_steps else "last"
        self.spec = ModelSpec(kind, inputs, outputs, head, causal=self.causal)
        self.measures = MEASURES[self.kind]  # type: ignore[misc]
        self.answers = ANSWERS[self.kind]  # type: ignore[misc]


class _Padded:
    """Batches of sequences side by side, with a target each, or one for each of their steps."""

    def __init__(self, inputs: Sequences, targets: Sequences, order: Order, of_steps: bool) -> None:
        self.inputs, self.targets, self.order, self.of_steps = inputs, targets, order, of_steps

    def __len__(self) -> int:
        return len(self.order)

    def get(self, epoch: int, index: int) -> Batch:
        """Batch `index` of epoch `epoch`."""
        rows = self.order.get(epoch, index)
        inputs, lengths = self.inputs.padded(rows)
        targets, _ = self.targets.padded(rows)
        return Batch(inputs, targets if self.of_steps else targets[0], lengths)


class SeriesWindows:
    """Windows of a long series that is read in `lanes` stretches side by side.

    inputs (N, X) or (N,), targets (N, K) or (N,). Lanes are contiguous and as long as each other;
    up to `lanes` - 1 steps at the end of the series are left out. Only window 0 has `reset` set.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        lanes: int,
        window: int | None,
        device: torch.device | str = "cpu",
    ) -> None:
        lanes = min(lanes, len(inputs))
        self.steps = len(inputs) // lanes
        self.window = min(window or self.steps, self.steps)

        def side_by_side(series: Tensor) -> Tensor:
            kept = series[: lanes * self.steps].view(lanes, self.steps, *series.shape[1:])
            return kept.transpose(0, 1).contiguous().to(device)

        self.inputs, self.targets = side_by_side(inputs), side_by_side(targets)
        self.positions = len(inputs)  # of the series

    def __len__(self) -> int:
        return -(-self.steps // self.window)

    def places(self, index: int) -> Tensor:
        """Where in the series the steps of window `index` are: (window, lanes)."""
        at = index * self.window
        time = torch.arange(at, min(at + self.window, self.steps))
        return time.unsqueeze(1) + self.steps * torch.arange(self.inputs.shape[1])

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`, the same in every epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        at = slice(index * self.window, (index + 1) * self.window)
        return Batch(self.inputs[at], self.targets[at], reset=index == 0)


def _is_empty(target: NDArray[Any], kind: Target) -> bool:
    """Whether there is nothing to be predicted."""
    missing = target == IGNORED if kind == "class" else np.isnan(target.astype(float))
    return bool(missing.all())


def _real_type() -> Any:
    """NumPy's type for torch's default one, which follows trainer.precision."""
    return np.float64 if torch.get_default_dtype() == torch.float64 else np.float32


def _digest(parts: Mapping[Split, _Part]) -> str:
    """SHA-256 (hex) of all arrays."""
    digest = hashlib.sha256()
    for split, part in sorted(parts.items()):
        digest.update(split.encode())
        for array in (*part.inputs, *part.targets):
            whole = np.ascontiguousarray(array)
            digest.update(f"{whole.dtype} {whole.shape}".encode() + whole.tobytes())
    return digest.hexdigest()
