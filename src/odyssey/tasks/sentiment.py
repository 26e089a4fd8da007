"""Sentiment: the class of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odyssey import data
from odyssey.data.tables import other_rows
from odyssey.data.types import Labelled
from odyssey.tasks.base import Batch, ModelSpec, Other, Split, as_texts
from odyssey.tasks.batching import Order, Sequences
from odyssey.tasks.classification import Classification
from odyssey.tasks.tokenization import Tokenizer, Vocabulary

MOST_NAMED = 10  # classes in the line about the data


class Sentiment(Classification):
    """Reads a text as words or characters, and predicts its class.

    Inputs (T, B) tokens with lengths, logits (B, K) over K classes; the loss is the mean
    cross-entropy in nats of a text, with `class_weights=balanced` weighted by its class. Metrics:
    those of `Classification`, which no weight changes. The vocabulary is made from the training
    part alone. A text without any token is read as one `<unk>`.
    """

    name = "sentiment"

    vocabulary: Vocabulary
    classes: tuple[str, ...]
    _texts: dict[Split, list[NDArray[Any]]]
    _labels: dict[Split, NDArray[np.int64]]

    def __init__(self, cfg: Any, **kwargs: Any) -> None:
        super().__init__(cfg, **kwargs)
        self.words = Tokenizer("words", lower=cfg.lower, lines=False)
        # Read once: an access to the configuration takes as long as splitting a text.
        self.kind, self.lower = cfg.tokens, cfg.lower
        self.max_length, self.keep = cfg.max_length, cfg.keep

    def load(self) -> None:
        parts = data.labelled_texts(
            self.cfg.data,
            self.data_dir,
            path=self.cfg.path,
            split_seed=self.split_seed,
            text_column=self.cfg.text_column,
            label_column=self.cfg.label_column,
            encoding=self.cfg.encoding,
        )
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self.classes = parts.train.classes
        if self.adopted:
            self.vocabulary = Vocabulary.restore(self.adopted["vocabulary"])
        else:
            counts: Counter[str] = Counter()
            for text in parts.train.texts:
                counts.update(self._split(text))
            self.vocabulary = Vocabulary.build(
                counts, min_count=self.cfg.min_count, max_size=self.cfg.max_size
            )
        by_split: dict[Split, Labelled] = {
            "train": parts.train,
            "valid": parts.valid,
            "test": parts.test,
        }
        self._texts = {s: [self.encode(t) for t in p.texts] for s, p in by_split.items()}
        self._labels = {s: p.labels for s, p in by_split.items()}
        self.count_classes(parts.train.labels, len(self.classes), self.cfg.class_weights)
        how, *others = parts.notes or ("",)
        self.notes = ("; ".join(part for part in (how, self._described(by_split)) if part), *others)
        self._set_spec()

    def _described(self, parts: Mapping[Split, Labelled]) -> str:
        """Rows, classes with their shares, and the length of texts, in a line."""
        labels = np.concatenate([part.labels for part in parts.values()])
        counts, rows = np.bincount(labels, minlength=len(self.classes)), len(labels)
        order = np.argsort(-counts, kind="stable")
        named = [f"{_short(self.classes[i])} {counts[i] / rows:.1%}" for i in order[:MOST_NAMED]]
        if len(order) > MOST_NAMED:
            named.append(f"and {len(order) - MOST_NAMED} more")
        lengths = np.array([len(self._split(t)) for p in parts.values() for t in p.texts])
        sizes = "/".join(f"{len(p.texts):,}" for p in parts.values())
        cut = ""
        if self.max_length is not None:
            share = np.mean(lengths > self.max_length)
            cut = f", {share:.1%} cut by task.max_length={self.max_length}"
        return (
            f"{rows:,} texts ({sizes} to train, validate and test); "
            f"{len(self.classes)} classes: {', '.join(named)}; {self.kind} a text: median "
            f"{np.median(lengths):.0f}, 95% up to {np.percentile(lengths, 95):.0f}{cut}"
        )

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """A table of labelled texts, whose labels are among the run's classes."""
        cfg = self.cfg
        rows, digest, notes = other_rows(
            path,
            self.classes,
            split,
            text_column=cfg.text_column,
            label_column=cfg.label_column,
            encoding=cfg.encoding,
        )
        self._texts = {"test": [self.encode(text) for text in rows.texts]}
        self._labels = {"test": rows.labels}
        ids = np.concatenate(self._texts["test"])
        return Other(
            self.batches("test", self.device),
            {"name": path.resolve().name, "sha256": digest},
            symbols=len(ids),
            unknown=int((ids == self.vocabulary.missing).sum()),
            notes=notes,
        )

    def encode(self, text: str) -> NDArray[Any]:
        """The ids of a text's tokens: at least one, at most `max_length`."""
        size, tokens = self.max_length, self._split(text)
        if size is not None and len(tokens) > size:
            tokens = tokens[:size] if self.keep == "head" else tokens[-size:]
        return self.vocabulary.encode(tokens or [""])

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Texts:
        train = split == "train"
        texts = Sequences(self._texts[split], device)
        order = Order(
            len(texts.lengths),
            self.cfg.batch_size if train else self.cfg.eval_batch_size or self.cfg.batch_size,
            seed=self.seed,
            shuffle=train,
            lengths=texts.lengths if self.cfg.bucket or not train else None,
        )
        return Texts(texts, torch.from_numpy(self._labels[split]).to(device), order)

    def read(self, inputs: Any) -> Batch:
        """One text or several. Raises UserError where they are none."""
        return super().read([self.encode(text).tolist() for text in as_texts(inputs)])

    def names(self) -> tuple[str, ...]:
        return self.classes

    def export(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary.export(),
            "classes": list(self.classes),
            "commonest": self.commonest,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.restore(saved["vocabulary"])
        self.classes = tuple(saved["classes"])
        self.restore_classes(len(self.classes), saved.get("commonest"))
        self._set_spec()

    def _split(self, text: str) -> str | list[str]:
        text = text.replace("<br />", "\n")  # how IMDB's reviews break a line
        if self.kind == "words":
            return self.words.split(text)
        return text.lower() if self.lower else text

    def _set_spec(self) -> None:
        self.spec = ModelSpec("tokens", len(self.vocabulary), len(self.classes), "last")


class Texts:
    """Padded batches of texts with their classes."""

    def __init__(self, texts: Sequences, labels: Tensor, order: Order) -> None:
        self.texts = texts
        self.labels = labels
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def get(self, epoch: int, index: int) -> Batch:
        """Inputs (T, B), targets (B)."""
        rows = self.order.get(epoch, index)
        tokens, lengths = self.texts.padded(rows)
        on_device = torch.from_numpy(rows).to(self.labels.device, non_blocking=True)
        return Batch(tokens.long(), self.labels.index_select(0, on_device), lengths)


def _short(name: str) -> str:
    """A class in a line of many."""
    return name if len(name) <= 30 else name[:29] + "…"
