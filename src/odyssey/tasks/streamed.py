"""What the language models over characters and over words share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from odyssey import data
from odyssey.data.types import Text
from odyssey.errors import UserError
from odyssey.tasks import sampling
from odyssey.tasks.base import Batch, ModelSpec, Split, Step, Sums, Task
from odyssey.tasks.vocabulary import Vocabulary
from odyssey.tasks.windows import IGNORED, Windows

LONGEST = 20_000  # steps through which gradients are still kept


class LanguageModel(Task):
    """Predicts each symbol of a text from those before it.

    The text is read in `batch_size` lanes side by side, `bptt.length` steps at a time, the state
    carried from window to window. Validation and test are read the same way in `eval_batch_size`
    lanes, so their figures depend a little on it: each lane starts without a past.

    The vocabulary is made from the training part alone. Loss: cross-entropy in nats, the mean over
    all symbols of a window, or with `reduction=sum` the sum over steps of the mean over lanes.
    """

    streamed = True
    unit: ClassVar[str]  # what a symbol is called
    start: ClassVar[str]  # what a sample without a prompt begins after
    prompts: ClassVar[Mapping[str, str]] = {}  # data set -> its own `sample_prompt`
    rare: ClassVar[Mapping[str, int]] = {}  # data set -> its own `min_count`, where not 1

    vocabulary: Vocabulary
    _ids: dict[Split, Tensor]

    @abstractmethod
    def count(self, text: Text) -> Mapping[str, int]:
        """How often each symbol is in a text."""

    @abstractmethod
    def encode(self, text: Text, part: str) -> Any:
        """A text's ids, as a NumPy array of a small integer type."""

    @abstractmethod
    def symbols(self, text: str) -> Sequence[str]:
        """The symbols of a prompt."""

    @abstractmethod
    def piece(self, symbol: str, before: str | None) -> str:
        """A sampled symbol as it is printed after another."""

    def load(self) -> None:
        cfg = self.cfg
        parts = data.text(cfg.data, self.data_dir, path=cfg.path, split=tuple(cfg.split))
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self.vocabulary = Vocabulary.build(
            self.count(parts.train),
            min_count=cfg.min_count or self.rare.get(cfg.data, 1),
            max_size=getattr(cfg, "max_size", None),
            unknown=getattr(cfg, "unknown", True),
            start=self.start,
        )
        self._ids = {
            "train": torch.from_numpy(self.encode(parts.train, "training")),
            "valid": torch.from_numpy(self.encode(parts.valid, "validation")),
            "test": torch.from_numpy(self.encode(parts.test, "test")),
        }
        self._set_spec()
        for split in self._ids:
            self._check(split)
        if self._prompt():  # a prompt it cannot read is better known now than at the first sample
            self.vocabulary.prompt(self.symbols(self._prompt()), "task.sample_prompt")

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Windows:
        return Windows(
            self._ids[split],
            lanes=self._lanes(split),
            window=self.window,
            drop_last=self.cfg.drop_last and split == "train",
            device=device,
        )

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.cfg.reduction == "mean":
            return _cross_entropy(logits, batch.targets, "mean")
        return _cross_entropy(logits, batch.targets, "sum") / batch.targets.shape[1]

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        nats = _cross_entropy(logits.detach(), batch.targets, "sum")
        return {"nats": (nats, (batch.targets != IGNORED).sum())}

    def sample(
        self,
        step: Step,
        *,
        length: int,
        temperature: float = 1.0,
        seed: int = 0,
        prompt: str | None = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[str]:
        """`length` symbols drawn one after another, as printable pieces; the prompt is not among
        them. `<unk>` is never drawn. The same seed gives the same text.

        Raises UserError, at the call, for a prompt with symbols that the model does not know.
        """
        chance = sampling.generator(length, temperature, seed)
        known = self.vocabulary.prompt(self.symbols(prompt)) if prompt else []
        return self._draw(step, known, length, temperature, chance, device)

    def write_sample(
        self, step: Step, path: Path, *, seed: int, device: torch.device | str = "cpu"
    ) -> Path | None:
        prompt = self._prompt()
        pieces = self.sample(
            step,
            length=self.cfg.sample_length,
            temperature=self.cfg.sample_temperature,
            seed=seed,
            prompt=prompt,
            device=device,
        )
        path = path.with_name(f"{path.name}.txt")
        path.write_text(prompt + "".join(pieces) + "\n", encoding="utf-8")
        return path

    def _prompt(self) -> str:
        given: str | None = self.cfg.sample_prompt
        return self.prompts.get(self.cfg.data, "") if given is None else given

    def export(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary.export()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.restore(saved["vocabulary"])
        self._set_spec()

    def _draw(
        self,
        step: Step,
        known: list[int],
        length: int,
        temperature: float,
        chance: torch.Generator,
        device: torch.device | str,
    ) -> Iterator[str]:
        names = self.vocabulary.symbols
        before = names[known[-1]] if known else None
        inputs = torch.tensor(known or [self.vocabulary.start]).unsqueeze(1)
        state: Any = None
        for _ in range(length):
            logits, state = step(inputs.to(device), state)
            scores = sampling.finite(logits[-1, 0])
            if self.vocabulary.unknown is not None:
                scores[self.vocabulary.unknown] = -math.inf
            drawn = sampling.draw_one(scores, temperature, chance)
            yield self.piece(names[drawn], before)
            before = names[drawn]
            inputs = torch.tensor([[drawn]])

    def _set_spec(self) -> None:
        size = len(self.vocabulary)
        self.spec = ModelSpec("tokens", size, size, "step", causal=True)

    def _lanes(self, split: Split) -> int:
        lanes: int = self.cfg.batch_size
        return lanes if split == "train" else self.cfg.eval_batch_size or lanes

    def _check(self, split: Split) -> None:
        """Refuse parts too short for their lanes, and lanes too long for one window."""
        size, lanes, name = len(self._ids[split]), self._lanes(split), self.cfg.data
        option = "task.batch_size" if split == "train" else "task.eval_batch_size"
        if size < 2 * lanes:
            way = f"type {option}={size // 2} or less" if size >= 2 else "give a longer text"
            raise UserError(
                f"the {split} part of task.data={name} has {size} {self.unit}s, too few for "
                f"{option}={lanes} lanes of at least two: {way}"
            )
        each = (size - 1) // lanes
        if self.window is None and each > LONGEST:
            raise UserError(
                f"bptt.length=null would go back through all {each:,} steps of a lane of the "
                f"{split} part, more than {LONGEST:,}: type a number such as bptt.length=100"
            )
        if split == "train" and self.cfg.drop_last and each < (self.window or 1):
            raise UserError(
                f"task.drop_last=true leaves nothing of lanes of {each} {self.unit}s with "
                f"bptt.length={self.window}: type bptt.length={each} or less, or leave it out"
            )


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )
