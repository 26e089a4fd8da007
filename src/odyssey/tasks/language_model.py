"""Language models: the next character or word of a long text, read in windows."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from odyssey import data
from odyssey.data.types import Text
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.tasks.base import Batch, ModelSpec, Other, Split, Step, Sums, Task, as_texts
from odyssey.tasks.decoding import draw_one, finite, sample_generator
from odyssey.tasks.metric import Metric
from odyssey.tasks.tokenization import (
    END,
    Tokenizer,
    Vocabulary,
    count_characters,
    encode_characters,
)

IGNORED = -1  # in place of a target: past the end of a shorter lane
USUAL = 100  # steps of a window where bptt.length is not set
LONGEST = 20_000  # steps: the longest window, through all of which gradients flow


class Windows:
    """Batches of `window` steps from a text of N ids, read in `lanes` stretches side by side.

    N ids have N - 1 targets, each the id after its input. Lane b is a contiguous stretch of them;
    lanes differ by at most one target, and the shorter ones end in `IGNORED`. So each target is in
    exactly one window. The last window may be shorter; with `drop_last` it is left out.

    ids (N): of a small integer type, and kept in it on `device`; window: None for whole lanes.
    Inputs and targets are int64 (window, lanes). Only window 0 has `reset` set.
    """

    def __init__(
        self,
        ids: Tensor,
        *,
        lanes: int,
        window: int | None,
        drop_last: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        each, self.longer = divmod(len(ids) - 1, lanes)  # the first `longer` lanes have one more
        lane = torch.arange(lanes)
        starts = lane * each + lane.clamp(max=self.longer)
        if drop_last:
            self.longer = 0
            each = each // (window or each) * (window or each)
        self.steps = each + (self.longer > 0)
        self.window = min(window or self.steps, max(self.steps, 1))
        self.ids = ids.to(device)
        self.offsets = (starts + torch.arange(self.window + 1).unsqueeze(1)).to(device)

    def __len__(self) -> int:
        return -(-self.steps // self.window)

    @property
    def positions(self) -> int:
        """How many places there are in the text."""
        return len(self.ids)

    def places(self, index: int) -> Tensor:
        """Where in the text the inputs of window `index` are: (window, lanes)."""
        at = index * self.window
        return self.offsets[: min(self.window, self.steps - at)] + at

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`, the same in every epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        at = index * self.window
        steps = min(self.window, self.steps - at)
        places = self.offsets[: steps + 1] + at
        last = at + steps == self.steps
        if last and self.longer:
            places.clamp_(max=len(self.ids) - 1)
        # index_select: plain indexing wakes all CPU threads for these few numbers
        block = self.ids.index_select(0, places.flatten()).view(places.shape).long()
        inputs, targets = block[:-1], block[1:]
        if last and self.longer:
            targets = targets.clone()  # it shares its memory with the inputs
            targets[-1, self.longer :] = IGNORED
        return Batch(inputs, targets, reset=index == 0)


class Documents:
    """The windows of several texts, one text after another, each from a state of its own."""

    def __init__(self, texts: Sequence[Windows]) -> None:
        self.texts = texts
        self.ends = list(accumulate(map(len, texts)))

    def __len__(self) -> int:
        return self.ends[-1]

    def document(self, index: int) -> int:
        """The number of the text that window `index` is of."""
        return bisect_right(self.ends, index)

    def get(self, epoch: int, index: int) -> Batch:
        """Window `index`, counted over all texts."""
        at = self.document(index)
        return self.texts[at].get(epoch, index - (self.ends[at - 1] if at else 0))


class LanguageModel(Task):
    """Predicts each symbol of a text from those before it.

    The text is read in `batch_size` lanes side by side, `bptt.length` steps at a time, the state
    carried from window to window. Validation and test are read the same way in `eval_batch_size`
    lanes, so their figures depend a little on it: each lane starts without a past.

    The vocabulary is made from the training part alone. Loss: cross-entropy in nats, the mean over
    all symbols of a window, or with `reduction=sum` the sum over steps of the mean over lanes.
    """

    streamed = True
    unit: ClassVar[str]  # the name of a symbol in messages
    start: ClassVar[str]  # the symbol that a sample without a prompt begins after
    prompts: ClassVar[Mapping[str, str]] = {}  # data set -> its default `sample_prompt`
    min_counts: ClassVar[Mapping[str, int]] = {}  # data set -> its default `min_count`; else 1

    vocabulary: Vocabulary
    _ids: dict[Split, Tensor]

    @abstractmethod
    def count(self, text: Text) -> Mapping[str, int]:
        """How often each symbol occurs in a text."""

    @abstractmethod
    def encode(self, text: Text, part: str) -> Any:
        """The ids of a text, a NumPy array of the vocabulary's type; `part` is for messages."""

    @abstractmethod
    def symbols(self, text: str) -> Sequence[str]:
        """The symbols of a prompt."""

    @abstractmethod
    def piece(self, symbol: str, before: str | None) -> str:
        """A sampled symbol as it is printed after the symbol `before`, None at the start."""

    def load(self) -> None:
        cfg = self.cfg
        parts = data.text(cfg.data, self.data_dir, path=cfg.path, split=tuple(cfg.split))
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self.notes = parts.notes
        if self.adopted:
            self.vocabulary = Vocabulary.restore(self.adopted["vocabulary"])
        else:
            self.vocabulary = Vocabulary.build(
                self.count(parts.train),
                min_count=cfg.min_count or self.min_counts.get(cfg.data, 1),
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
        if self._prompt():  # a wrong prompt is reported now and not at the first sample
            self.vocabulary.prompt(self.symbols(self._prompt()), "task.sample_prompt")

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """A text file, or a folder of them, each a document that is read from a fresh state.

        Each is read in the lanes of an evaluation, and in fewer where they would be shorter than
        `bptt.length`.
        """
        names, windows, hashes, notes, seen = [], [], [], [], np.zeros(2, int)
        for name, text, digest, done in data.other_texts(path, split):
            ids = self._encoded(text, name)
            hashes.append(f"{digest}  {name}\n".encode())
            notes += [f"{name}: {', '.join(done)}"] if done else []
            if len(ids) < 2:
                notes.append(f"{name} is left out: nothing is predicted in it")
                continue
            seen += len(ids), int(np.count_nonzero(ids == self.vocabulary.missing))
            lanes = min(self._lanes("test"), max(1, (len(ids) - 1) // (self.window or USUAL)))
            names.append(name)
            windows.append(
                Windows(
                    torch.from_numpy(ids),
                    lanes=lanes,
                    window=self.window or USUAL,
                    device=self.device,
                )
            )
        if not windows:
            raise UserError(
                f"data={path} has no text of two {self.unit}s or more, so there is nothing to "
                "predict: give more text"
            )
        one = len(hashes) == 1
        digest = (
            hashes[0].decode().split()[0] if one else hashlib.sha256(b"".join(hashes)).hexdigest()
        )
        size, unknown = map(int, seen)
        return Other(
            Documents(windows),
            {"name": path.resolve().name, "sha256": digest},
            documents=names,
            symbols=size,
            unknown=unknown,
            notes=notes,
        )

    def _encoded(self, text: Text, name: str) -> Any:
        try:
            return self.encode(text, name)
        except UserError as error:  # of characters, without <unk>
            listed = str(error).partition(" part has ")[2].partition(", which the training")[0]
            raise UserError(
                f"{name} has {listed}, which the model never learned, and with task.unknown=false "
                "it has nothing to stand for them: leave them out of the text"
            ) from None

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

    def each_scores(self, logits: Tensor, batch: Batch) -> Sums | None:
        nats = _cross_entropy(logits, batch.targets, "none").view_as(batch.targets)
        return {"nats": (nats, batch.targets != IGNORED)}

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
        """`length` symbols drawn one after another, as printable pieces, without the prompt.

        `<unk>` is never drawn. The same seed gives the same text. Raises UserError, at the call, if
        the prompt has symbols that are not in the vocabulary.
        """
        generator = sample_generator(length, temperature, seed)
        known = self.vocabulary.prompt(self.symbols(prompt)) if prompt else []
        return self._draw(step, known, length, temperature, generator, device)

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
        write_text(path, prompt + "".join(pieces) + "\n", sync=False)
        return path

    def _prompt(self) -> str:
        given: str | None = self.cfg.sample_prompt
        return self.prompts.get(self.cfg.data, "") if given is None else given

    def read(self, inputs: Any) -> Batch:
        """One text or several. Raises UserError for symbols that the model never learned."""
        texts = as_texts(inputs)
        known = self.vocabulary
        if not all(self.symbols(text) for text in texts):
            raise UserError("the inputs have an empty text: give texts with a symbol at least")
        ids = [
            known.prompt(self.symbols(t), "the text")
            if known.unknown is None
            else known.encode(self.symbols(t)).tolist()
            for t in texts
        ]
        return super().read(ids)

    def names(self) -> Sequence[str]:
        return self.vocabulary.symbols

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
        generator: torch.Generator,
        device: torch.device | str,
    ) -> Iterator[str]:
        names = self.vocabulary.symbols
        before = names[known[-1]] if known else None
        inputs = torch.tensor(known or [self.vocabulary.start]).unsqueeze(1)
        state: Any = None
        for _ in range(length):
            logits, state = step(inputs.to(device), state)
            scores = finite(logits[-1, 0])
            if self.vocabulary.unknown is not None:
                scores[self.vocabulary.unknown] = -math.inf
            drawn = draw_one(scores, temperature, generator)
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
        """Raise UserError for a part too short for its lanes, or lanes too long for one window."""
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


class CharLM(LanguageModel):
    """The next character of a text; metrics in bits and nats per character.

    Logits (T, B, K) over the K characters that occur at least `min_count` times in the training
    part, and `<unk>` for all others unless `unknown` is false. With batch_size=1, unknown=false,
    reduction=sum and drop_last=true it is the task of Karpathy's min-char-rnn
    (gist.github.com/karpathy/d4dee566867f8291f086), except that min-char-rnn also drops a window
    that ends exactly with the text.
    """

    name = "charlm"
    measures = (
        Metric("bits_per_char", "min", "bits per character", "bits per character"),
        Metric("nats_per_char", "min", "nats per character", "nats per character"),
    )
    unit = "character"
    min_counts = {"python": 10}
    start = "\n"
    prompts = {"python": "def "}

    def count(self, text: Text) -> Mapping[str, int]:
        return count_characters(text)

    def encode(self, text: Text, part: str) -> Any:
        return encode_characters(text, self.vocabulary, part)

    def symbols(self, text: str) -> Sequence[str]:
        return text

    def piece(self, symbol: str, before: str | None) -> str:
        return symbol

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats = means["nats"]
        return {"nats_per_char": nats, "bits_per_char": nats / math.log(2)}


class WordLM(LanguageModel):
    """The next word of a text; the perplexity is exp(mean cross-entropy in nats per word).

    Logits (T, B, K) over the words that occur at least `min_count` times in the training part,
    `<eos>` for each line's end among them, and `<unk>` for all others. Perplexities are comparable
    only between runs with the same vocabulary: with a smaller one more words are `<unk>`, which is
    easier to predict.
    """

    name = "wordlm"
    measures = (
        Metric("perplexity", "min", "perplexity", "perplexity"),
        Metric("nats_per_word", "min", "nats per word", "nats per word"),
    )
    unit = "word"
    min_counts = {"kjv": 3, "python_docs": 3, "file": 2}
    start = END

    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.tokenizer = Tokenizer(cfg.tokenizer, lower=cfg.lower)

    def count(self, text: Text) -> Mapping[str, int]:
        return self.tokenizer.count(text)

    def encode(self, text: Text, part: str) -> Any:
        return self.tokenizer.encode(text, self.vocabulary)

    def symbols(self, text: str) -> Sequence[str]:
        return self.tokenizer.split(text)

    def piece(self, symbol: str, before: str | None) -> str:
        return self.tokenizer.join(symbol, before)

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats = means["nats"]
        # exp overflows above 709, which a diverging model can reach
        return {"nats_per_word": nats, "perplexity": math.exp(nats) if nats < 700 else math.inf}
