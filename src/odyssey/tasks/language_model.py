"""Language models: the next character or word of a long text, read in windows."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from odyssey import data
from odyssey.data.documents import MARK, last_document, mark_documents, printed_separator
from odyssey.data.types import Text
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.tasks.base import Batch, ModelSpec, Other, Split, Step, Sums, Task, as_texts
from odyssey.tasks.decoding import Nucleus, draw_one, finite, sample_generator
from odyssey.tasks.metric import Metric
from odyssey.tasks.tokenization import (
    END,
    UNKNOWN,
    Tokenizer,
    Vocabulary,
    count_characters,
    encode_characters,
)
from odyssey.tasks.windows import IGNORED, DocumentWindows, Windows

USUAL = 100  # steps of a window where bptt.length is not set
LONGEST = 20_000  # steps: the longest window, through all of which gradients flow
DOCUMENT_END = "<end>"  # how the mark between documents is called
TOO_MANY = 0.2  # of the symbols of a part: beyond it the metrics say little
PARTS: Mapping[Split, str] = {"train": "training", "valid": "validation", "test": "test"}


class Documents:
    """The windows of several texts, one text after another, each from a state of its own."""

    def __init__(self, texts: Sequence[Windows | DocumentWindows]) -> None:
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
    tells_size = True  # whether the vocabulary's size is told in any case
    composed = True  # whether a file is read in Unicode's form NFC

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
        parts = data.text(
            cfg.data,
            self.data_dir,
            path=cfg.path,
            split=tuple(cfg.split),
            encoding=cfg.encoding,
            documents=cfg.documents,
            normalize=self.composed,
        )
        self.data = {"name": parts.name, "sha256": parts.sha256}
        if self.adopted:
            self.vocabulary = Vocabulary.restore(self.adopted["vocabulary"])
            if cfg.documents is not None and MARK not in self.vocabulary.ids:
                raise UserError(
                    f"task.documents={cfg.documents} needs a symbol for a document's end, which "
                    "init_from's run had not: leave it out"
                )
        else:
            self.vocabulary = Vocabulary.build(
                self.count(parts.train),
                min_count=self._min_count(),
                max_size=getattr(cfg, "max_size", None),
                unknown=getattr(cfg, "unknown", True),
                start=self.start if cfg.documents is None else MARK,
            )
        self._set_spec()
        texts: dict[Split, Text] = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        if not len(parts.test):
            del texts["test"]
            self.untested = "there is no test part, since " + (
                f"task.path={cfg.path} has no test file: add one"
                if cfg.path is not None and Path(cfg.path).expanduser().is_dir()
                else f"task.split={list(cfg.split)} leaves none: type three shares above 0"
            )
        self._ids = {
            split: torch.from_numpy(self.encode(text, PARTS[split]))
            for split, text in texts.items()
        }
        for split in self._ids:
            self._check(split)
        self.notes = (*parts.notes, *self._note_unknown())
        if self._prompt():  # a wrong prompt is reported now and not at the first sample
            self.vocabulary.prompt(self._known_symbols(self._prompt()), "task.sample_prompt")

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """A text file, or a folder of them, each a document that is read from a fresh state.

        Each is read in the lanes of an evaluation, and in fewer where they would be shorter than
        `bptt.length`.
        """
        names, windows, hashes, notes, seen = [], [], [], [], np.zeros(2, int)
        cfg = self.cfg
        texts = data.other_texts(
            path,
            split,
            name=cfg.data,
            encoding=cfg.encoding,
            documents=cfg.documents,
            normalize=getattr(cfg, "normalize", True),
        )
        for name, text, digest, done in texts:
            ids = self._encoded(text, name)
            hashes.append(f"{digest}  {name}\n".encode())
            notes += [f"{name}: {', '.join(done)}"] if done else []
            if len(ids) < 2:
                notes.append(f"{name} is left out: nothing is predicted in it")
                continue
            seen += len(ids), int(np.count_nonzero(ids == self.vocabulary.missing))
            lanes = min(self._lanes("test"), max(1, (len(ids) - 1) // (self.window or USUAL)))
            names.append(name)
            windows.append(self._windows(torch.from_numpy(ids), lanes, self.window or USUAL))
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

    def batches(
        self, split: Split, device: torch.device | str = "cpu"
    ) -> Windows | DocumentWindows:
        whole = self.cfg.drop_last and split == "train"
        return self._windows(self._ids[split], self._lanes(split), self.window, whole, device)

    def _windows(
        self,
        ids: Tensor,
        lanes: int,
        window: int | None,
        drop_last: bool = False,
        device: torch.device | str | None = None,
    ) -> Windows | DocumentWindows:
        """The windows of a text, or of its documents; on `device`, None: the task's."""
        device = self.device if device is None else device
        if self.cfg.documents is not None:
            end = self.vocabulary.ids[MARK]
            return DocumentWindows(ids, lanes=lanes, window=window, end=end, device=device)
        return Windows(ids, lanes=lanes, window=window, drop_last=drop_last, device=device)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self._summed:
            return _cross_entropy(logits, batch.targets, "sum") / batch.targets.shape[1]
        return _cross_entropy(logits, batch.targets, "mean")

    @cached_property
    def _summed(self) -> bool:
        return bool(self.cfg.reduction == "sum")  # read once: each look takes ten microseconds

    def formula(self, batch: Batch) -> tuple[Literal["categorical"], float]:
        if self._summed:
            return "categorical", 1.0 / batch.targets.shape[1]
        return "categorical", 1.0 / float((batch.targets != IGNORED).sum())

    def formula_scores(self, total: float, batch: Batch) -> Mapping[str, tuple[float, float]]:
        return {"nats": (total, float((batch.targets != IGNORED).sum()))}

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
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Iterator[str]:
        """`length` symbols drawn one after another, as printable pieces, without the prompt.

        `<unk>` is never drawn. Of documents it begins one, or goes on with the last of the prompt,
        and after the end of one begins another. The same seed gives the same text. Raises
        UserError, at the call, if the prompt has symbols that are not in the vocabulary.
        """
        generator = sample_generator(length, temperature, seed)
        known = self.vocabulary.prompt(self._known_symbols(prompt)) if prompt else []
        nucleus = Nucleus(top_k, top_p)
        return self._draw(step, known, length, temperature, generator, device, nucleus)

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
        write_text(path, self._printed(prompt) + "".join(pieces) + "\n", sync=False)
        return path

    def _prompt(self) -> str:
        given: str | None = self.cfg.sample_prompt
        return self.prompts.get(self.cfg.data, "") if given is None else given

    def _known_symbols(self, prompt: str) -> Sequence[str]:
        """The symbols of a prompt that a sample goes on from: those of its last document."""
        if self.cfg.documents is not None:
            prompt = last_document(prompt, self.cfg.documents)
        return self.symbols(prompt)

    def symbols_from_start(self, text: str) -> Sequence[str]:
        """The symbols of a text that is read from its beginning, with MARK between documents."""
        documents, of_bytes = self.cfg.documents, self.cfg.data == "bytes"
        if documents is None:
            return self.symbols(text)
        whole = "".join(self.symbols(text)) if of_bytes else text
        content = np.frombuffer(whole.encode("utf-8", "replace"), np.uint8)
        marked = mark_documents(content, documents, of_bytes=of_bytes, one=True).tobytes()
        inner = marked.decode().strip(MARK)
        return inner if of_bytes else self.symbols(inner)

    def _printed(self, prompt: str) -> str:
        """A prompt as it is written before what follows."""
        return prompt

    def _min_count(self) -> int:
        least: int = self.cfg.min_count or self.min_counts.get(self.cfg.data, 1)
        return least

    def _note_unknown(self) -> list[str]:
        """How much of each part is `<unk>`; beyond `TOO_MANY` with what to do, and a caveat."""
        unknown = self.vocabulary.unknown
        if unknown is None:
            return []
        shares = {
            split: np.count_nonzero(ids.numpy() == unknown) / len(ids)
            for split, ids in self._ids.items()
        }
        size = f"vocabulary of {len(self.vocabulary):,} {self.unit}s"
        if not any(shares.values()):
            return [f"{size}, none of any part is {UNKNOWN}"] if self.tells_size else []
        said = ", ".join(f"{_percent(share)} of the {PARTS[s]}" for s, share in shares.items())
        notes = [f"{size}; {UNKNOWN} is {said} part"]
        worst = max(shares, key=lambda split: shares[split])
        if shares[worst] > TOO_MANY:
            self.caveat = (
                f"{_percent(shares[worst])} of the {PARTS[worst]} part's {self.unit}s are "
                f"{UNKNOWN}, which is easy to predict: {self.monitor} is not that of the text"
            )
            way = (
                "the vocabulary is that of init_from's run: leave init_from out for one of this "
                "text's own"
                if self.adopted
                else self.way_out()
            )
            notes.append(f"warning: {self.caveat}; {way}")
        return notes

    def way_out(self) -> str:
        """What to type where much is `<unk>`."""
        least = self._min_count()
        return f"type task.min_count=1 instead of {least}" if least > 1 else "give a longer text"

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
        return self.shown(self.vocabulary.symbols)

    @staticmethod
    def shown(symbols: Sequence[str]) -> list[str]:
        """Symbols as they are called, the end of a document too."""
        return [DOCUMENT_END if s == MARK else s for s in symbols]

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
        nucleus: Nucleus,
    ) -> Iterator[str]:
        names, documents = self.vocabulary.symbols, self.cfg.documents
        before = names[known[-1]] if known else None
        if documents is not None:  # a document begins after the end of the one before
            known = [self.vocabulary.start, *known]
        inputs = torch.tensor(known or [self.vocabulary.start]).unsqueeze(1)
        state: Any = None
        for _ in range(length):
            logits, state = step(inputs.to(device), state)
            scores = finite(logits[-1, 0])
            if self.vocabulary.unknown is not None:
                scores[self.vocabulary.unknown] = -math.inf
            drawn = draw_one(scores, temperature, generator, nucleus)
            if names[drawn] == MARK:
                yield printed_separator(documents)
                state = None
            else:
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
        if size < 2 * lanes and (split == "train" or self.cfg.documents is None):
            way = f"type {option}={size // 2} or less" if size >= 2 else "give a longer text"
            raise UserError(
                f"the {split} part of task.data={name} has {size} {self.unit}s, too few for "
                f"{option}={lanes} lanes of at least two: {way}"
            )
        each = (size - 1) // lanes
        if self.cfg.documents is not None:
            windows = self.batches(split)
            each, found = windows.steps, int((self._ids[split] == self.vocabulary.start).sum()) - 1
            if split == "train" and found < lanes:
                raise UserError(
                    f"the train part of task.data={name} has {found} documents, fewer than "
                    f"{option}={lanes} lanes, each of a document at least: type {option}={found} "
                    "or less"
                )
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


def _percent(share: float) -> str:
    """As a percentage that is not 0 where the share is not."""
    return f"{share:.1%}" if share >= 0.001 or not share else "under 0.1%"


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )


BYTE_MEASURES = (
    Metric("bits_per_byte", "min", "bits per byte", "bits per byte"),
    Metric("nats_per_byte", "min", "nats per byte", "nats per byte"),
)


class CharLM(LanguageModel):
    """The next character of a text; metrics in bits and nats per character.

    Logits (T, B, K) over the K characters that occur at least `min_count` times in the training
    part, and `<unk>` for all others unless `unknown` is false. With batch_size=1, unknown=false,
    reduction=sum and drop_last=true it is the task of Karpathy's min-char-rnn
    (gist.github.com/karpathy/d4dee566867f8291f086), except that min-char-rnn also drops a window
    that ends exactly with the text.

    With data=bytes the symbols are bytes, and the metrics bits and nats per byte.
    """

    name = "charlm"
    measures = (
        Metric("bits_per_char", "min", "bits per character", "bits per character"),
        Metric("nats_per_char", "min", "nats per character", "nats per character"),
    )
    unit = "character"
    tells_size = False
    min_counts = {"python": 10}
    start = "\n"
    prompts = {"python": "def "}

    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.composed = cfg.normalize and cfg.data == "file"
        self.of_bytes = cfg.data == "bytes"
        if self.of_bytes:
            self.unit = "byte"  # type: ignore[misc]
            self.measures = BYTE_MEASURES  # type: ignore[misc]

    def count(self, text: Text) -> Mapping[str, int]:
        return count_characters(text)

    def encode(self, text: Text, part: str) -> Any:
        return encode_characters(text, self.vocabulary, part)

    def symbols(self, text: str) -> Sequence[str]:
        if self.of_bytes:
            return text.encode("utf-8", "surrogateescape").decode("latin-1")
        return unicodedata.normalize("NFC", text) if self.composed else text

    def piece(self, symbol: str, before: str | None) -> str:
        return byte_text(symbol) if self.of_bytes else symbol

    def names(self) -> Sequence[str]:
        names = super().names()
        return [byte_text(s) if len(s) == 1 else s for s in names] if self.of_bytes else names

    def way_out(self) -> str:
        if self.of_bytes or self._min_count() > 1:
            return super().way_out()
        return (
            "the training part lacks these characters: give it more text of their kind, or type "
            "task.data=bytes"
        )

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats, unit = means["nats"], "byte" if self.of_bytes else "char"
        return {f"nats_per_{unit}": nats, f"bits_per_{unit}": nats / math.log(2)}

    def _printed(self, prompt: str) -> str:
        return "".join(map(byte_text, self.symbols(prompt))) if self.of_bytes else prompt

    def _set_spec(self) -> None:
        super()._set_spec()
        if self.of_bytes:
            self.vocabulary.shown = byte_text


def byte_text(symbol: str) -> str:
    """A byte, given as the character of its number, as ASCII that can be printed.

    Letters, signs, blank, tab and line feed are themselves, the backslash is two, and other bytes
    are \\xNN. `codecs.escape_decode` gives the bytes again.
    """
    if symbol == "\\":
        return "\\\\"
    return symbol if " " <= symbol <= "~" or symbol in "\n\t" else f"\\x{ord(symbol):02x}"


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

    def way_out(self) -> str:
        least, size = self._min_count(), self.cfg.max_size
        ways = [f"task.min_count=1 instead of {least}"] if least > 1 else []
        ways += [f"a larger task.max_size than {size}"] if size is not None else []
        ways += ["task.tokenizer=words"] if self.cfg.tokenizer == "whitespace" else []
        return f"type {', '.join(ways)}{' or ' if ways else ''}task=charlm"

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        nats = means["nats"]
        # exp overflows above 709, which a diverging model can reach
        return {"nats_per_word": nats, "perplexity": math.exp(nats) if nats < 700 else math.inf}
