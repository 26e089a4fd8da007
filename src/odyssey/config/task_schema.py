"""The options of every task, their defaults, and what can be wrong with them.

Free of torch and NumPy, so that a wrong option is refused before anything slow is imported.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from odyssey.config.fields import above, at_least, key, one_of
from odyssey.errors import UserError, options
from odyssey.text_encoding import check_encoding

MISSING: Any = "???"  # omegaconf.MISSING: a value that must be given

# The names that odyssey.data knows.
TEXTS = ("kjv", "python", "shakespeare", "ptb", "text8", "hello", "python_docs", "file")
LABELLED_TEXTS = ("snippets", "sst2", "imdb", "csv")
IMAGES = ("mnist5k", "mnist", "folder")
ROLLS = ("music21", "jsb", "nottingham", "musedata", "piano", "midi")

SPLIT_BY_US = (
    "kjv",
    "python",
    "shakespeare",
    "python_docs",
    "file",
)  # the rest come in three parts

# Help that several tasks share.
NAME = "the task; choose it with task=…"
DATA = "the data set, by name"
BATCH = "sequences, or lanes of a streamed text, in a step"
EVAL = "the same in validation and test; null = as in training"

LENGTHS = {"adding": 100, "copying": 100, "reversal": 10}  # of each kind of synthetic problem


CHORALES = 2  # frames a quarter note in the chorales that come with music21

LARGEST_IMAGE = 4096  # pixels each way

MOST_STEPS = 1_000_000  # of a sample or a sequence, and sequences of a batch: more is a slip


@dataclass
class TaskConfig:
    """What all tasks have."""

    sources: ClassVar[tuple[str, ...]] = ()  # the names that data may have
    own: ClassVar[str | None] = None  # the one of them that reads the user's file, path
    also_own: ClassVar[tuple[str, ...]] = ()  # others that do

    name: str = key("", NAME)
    data: str = key("", DATA)
    batch_size: int = key(32, BATCH)
    eval_batch_size: int | None = key(None, EVAL)

    def errors(self) -> list[str]:
        """One sentence for each wrong value; empty if all is well."""
        found = []
        if self.name != type(self)().name:
            found.append(f"task.name={self.name} cannot be set: choose the task with task=…")
        found += one_of("task.data", self.data, self.sources)
        found += at_least("task.batch_size", self.batch_size, 1, MOST_STEPS)
        found += at_least("task.eval_batch_size", self.eval_batch_size, 1, MOST_STEPS)
        path = getattr(self, "path", None)
        if self.own and self.reads_own() and not path:
            found.append(f"task.data={self.data} needs a file or folder to read: add task.path=…")
        elif path and not self.reads_own():
            found.append(
                f"task.path={path} is not read with task.data={self.data}: "
                f"add task.data={self.own}, or leave task.path out"
            )
        return found

    def reads_own(self) -> bool:
        """Whether the data are a file or folder of the user's, `path`."""
        return self.data == self.own or self.data in self.also_own

    def without_split(self) -> str:
        """Why no seed decides which items are for training, validation and test; else empty."""
        return ""


@dataclass
class StreamedConfig(TaskConfig):
    """What the two language models share."""

    sources: ClassVar[tuple[str, ...]] = TEXTS
    own: ClassVar[str | None] = "file"

    path: str | None = key(
        None,
        "the text to read with task.data=file, or a folder of train.txt, valid.txt, test.txt",
        place=True,
    )
    encoding: str | None = key(
        None, "of that text, such as cp1252; null = UTF-8, or UTF-16 where the file says so"
    )
    documents: str | None = key(
        None,
        "what separates documents, each read from a state of zero: lines, blank (blank lines), or "
        "the separator itself; null = one long text",
    )
    split: list[float] = key(
        lambda: [0.9, 0.05, 0.05],
        "shares of train, valid, test in a text that comes whole; test may be 0: no test then",
    )
    min_count: int | None = key(None, "rarer symbols become <unk>; null = the data set's own")
    reduction: str = key("mean", "over a window's steps: mean or sum (then the lanes' mean)")
    drop_last: bool = key(False, "train on whole windows alone and drop the rest of each lane")
    sample_length: int = key(500, "symbols in a sample written during training", neutral=True)
    sample_prompt: str | None = key(
        None, "what it goes on from; null = the data set's own", neutral=True
    )
    sample_temperature: float = key(
        0.7, "0 = always the likeliest, 1 = as the model says", neutral=True
    )

    def errors(self) -> list[str]:
        found = super().errors()
        found += self._split_errors()
        found += check_encoding(self.encoding)
        if self.encoding is not None and self.data in TEXTS and self.data != self.own:
            found.append(
                f"task.encoding={self.encoding} is not read with task.data={self.data}: leave it "
                "out, or add task.data=file"
            )
        if self.encoding is not None and self.data in self.also_own:
            found.append(
                f"task.encoding={self.encoding} is not read with task.data={self.data}, which "
                "takes bytes as they are: leave it out, or type task.data=file"
            )
        if self.documents is not None and not self.documents.strip():
            found.append(
                'task.documents is blank: type lines, blank or "<what is between documents>"'
            )
        if self.documents is not None and self.drop_last:
            found.append(
                "task.drop_last=true drops the ends of lanes, and with task.documents these end "
                "where documents do: leave one of them out"
            )
        found += at_least("task.min_count", self.min_count, 1)
        found += one_of("task.reduction", self.reduction, ("mean", "sum"))
        found += at_least("task.sample_length", self.sample_length, 1, MOST_STEPS)
        found += at_least("task.sample_temperature", self.sample_temperature, 0)
        return found

    def without_split(self) -> str:
        if self.in_folder():
            return "which reads a file for each part"
        return "whose parts are stretches of one text"

    def in_folder(self) -> bool:
        """Whether the data are a folder with a file for each part."""
        return bool(self.path) and self.reads_own() and Path(str(self.path)).expanduser().is_dir()

    def _split_errors(self) -> list[str]:
        typed = "[" + ",".join(map(str, self.split)) + "]"
        example = "type three shares such as task.split=[0.9,0.05,0.05]"
        if len(self.split) != 3:
            return [f"task.split={typed} has {len(self.split)} numbers: {example}"]
        train, valid, test = self.split
        if above("", train, 0) or above("", valid, 0) or not 0 <= test < math.inf:
            return [f"task.split={typed} leaves a part empty, which test alone may be: {example}"]
        if not math.isclose(sum(self.split), 1, abs_tol=1e-6):
            return [f"task.split={typed} adds up to {sum(self.split):g} and not to 1: {example}"]
        if list(self.split) == [0.9, 0.05, 0.05]:
            return []
        if self.in_folder():
            return [
                f"task.split={typed} is not read with the folder task.path={self.path}, which has "
                "a file for each part: leave it out, or name a single file"
            ]
        if self.data in TEXTS and self.data not in SPLIT_BY_US:
            return [
                f"task.split={typed} is not read with task.data={self.data}, which comes in three "
                f"parts: leave it out, or choose task.data from {options(SPLIT_BY_US)}"
            ]
        return []


@dataclass
class CharLMConfig(StreamedConfig):
    """Character language model."""

    sources: ClassVar[tuple[str, ...]] = (*TEXTS, "bytes")
    also_own: ClassVar[tuple[str, ...]] = ("bytes",)

    name: str = key("charlm", NAME)
    data: str = key("kjv", DATA)
    batch_size: int = key(64, BATCH)
    unknown: bool = key(True, "unseen characters become <unk>; false = are an error")
    normalize: bool = key(
        True, "join accents to their letters (Unicode's form NFC); false = as in the file"
    )

    def errors(self) -> list[str]:
        found = super().errors()
        if not self.unknown and (self.min_count or 1) > 1:
            found.append(
                f"task.min_count={self.min_count} needs a symbol for rare characters: "
                "leave out task.unknown=false, or type task.min_count=1"
            )
        return found


@dataclass
class WordLMConfig(StreamedConfig):
    """Word language model."""

    name: str = key("wordlm", NAME)
    data: str = key("kjv", DATA)
    sample_length: int = key(150, "symbols in a sample written during training", neutral=True)
    tokenizer: str = key("words", "words (splits punctuation off) or whitespace (for ptb)")
    lower: bool = key(False, "read capitals as small letters")
    max_size: int | None = key(None, "keep the commonest words, so many in all; null = all")

    def errors(self) -> list[str]:
        found = super().errors()
        found += one_of("task.tokenizer", self.tokenizer, ("words", "whitespace"))
        return found + at_least("task.max_size", self.max_size, 3)


@dataclass
class SentimentConfig(TaskConfig):
    """The class of a text."""

    sources: ClassVar[tuple[str, ...]] = LABELLED_TEXTS
    own: ClassVar[str | None] = "csv"

    name: str = key("sentiment", NAME)
    data: str = key("snippets", DATA)
    path: str | None = key(None, "the table, or the folder, to read with task.data=csv", place=True)
    text_column: str | None = key(
        None, "which column of the table holds the texts, by name or number; null = found"
    )
    label_column: str | None = key(None, "which one holds the labels, in the same way")
    encoding: str | None = key(
        None, "of the files, such as cp1252; null = by their first bytes, else UTF-8"
    )
    class_weights: str | None = key(
        None, "balanced = rare classes count more in the training loss, by n / (K n_k); null = not"
    )
    eval_batch_size: int | None = key(256, EVAL)
    tokens: str = key("words", "what the model reads one by one: words or characters")
    lower: bool = key(True, "read capitals as small letters")
    max_length: int | None = key(200, "longer texts are cut to so many tokens; null = never")
    keep: str = key("head", "which end of a cut text stays: head or tail")
    max_size: int | None = key(20000, "keep the commonest tokens, so many in all; null = all")
    min_count: int = key(2, "rarer tokens become <unk>")
    bucket: bool = key(True, "batches of texts of like length: less padding")

    def errors(self) -> list[str]:
        found = super().errors()
        if self.data != self.own:
            for name in ("text_column", "label_column", "encoding"):
                if (value := getattr(self, name)) is not None:
                    found.append(
                        f"task.{name}={value} is not read with task.data={self.data}: leave it "
                        f"out, or type task.data={self.own} task.path=…"
                    )
        if self.reads_own():
            found += check_encoding(self.encoding)
        found += one_of("task.class_weights", self.class_weights, ("balanced",))
        found += one_of("task.tokens", self.tokens, ("words", "characters"))
        found += at_least("task.max_length", self.max_length, 1)
        found += one_of("task.keep", self.keep, ("head", "tail"))
        found += at_least("task.max_size", self.max_size, 2)
        return found + at_least("task.min_count", self.min_count, 1)

    def without_split(self) -> str:
        if self.data == "csv" and self.path and Path(self.path).expanduser().is_dir():
            from odyssey.data.table_files import draws_parts

            try:
                return "" if draws_parts(self.path) else "which reads three parts as they are"
            except UserError:  # said where the data are read
                return ""
        return "whose data, sst2, come in three parts" if self.data == "sst2" else ""


@dataclass
class MnistConfig(TaskConfig):
    """The class of an image read piece by piece."""

    sources: ClassVar[tuple[str, ...]] = IMAGES
    own: ClassVar[str | None] = "folder"

    name: str = key("mnist", NAME)
    data: str = key("mnist5k", DATA)
    path: str | None = key(
        None,
        "folder with a folder of images for each class, or .npz, to read with task.data=folder",
        place=True,
    )
    size: int | None = key(
        None, "resize images of task.data=folder to so many pixels each way; null = as they are"
    )
    eval_batch_size: int | None = key(256, EVAL)
    order: str = key(
        "rows",
        "rows = a row of the image a step (28 steps of 28 for a digit); pixels = a pixel a step "
        "(784); permuted = these in a fixed mixed order",
    )
    permutation_seed: int = key(0, "which mixed order")
    normalization: str = key(
        "unit",
        "unit = grey values / 255; standard = less the training part's mean, over its deviation",
    )

    def errors(self) -> list[str]:
        found = super().errors()
        found += one_of("task.order", self.order, ("rows", "pixels", "permuted"))
        found += at_least("task.permutation_seed", self.permutation_seed, 0)
        found += at_least("task.size", self.size, 1, LARGEST_IMAGE)
        if self.size is not None and self.data in IMAGES and self.data != self.own:
            found.append(
                f"task.size={self.size} is not read with task.data={self.data}, whose images are "
                "of 28×28 pixels: leave it out, or add task.data=folder"
            )
        return found + one_of("task.normalization", self.normalization, ("unit", "standard"))

    def without_split(self) -> str:
        if self.data == self.own and self.path:
            from odyssey.data.image_files import own_parts

            return own_parts(self.path)
        return ""


@dataclass
class MusicConfig(TaskConfig):
    """The next frame of a piano roll."""

    sources: ClassVar[tuple[str, ...]] = ROLLS
    own: ClassVar[str | None] = "midi"

    name: str = key("music", NAME)
    data: str = key("music21", DATA)
    path: str | None = key(
        None,
        "folder of MIDI and MusicXML files, or one of them, to read with task.data=midi",
        place=True,
    )
    resolution: int = key(
        CHORALES, "frames a quarter note with task.data=midi; 2 = an eighth note each, as music21"
    )
    batch_size: int = key(8, BATCH)
    eval_batch_size: int | None = key(32, EVAL)
    input_noise: float = key(
        0.0, "standard deviation of the Gaussian noise added to the frames read, in training alone"
    )
    reduction: str = key("mean", "over the frames: mean or sum (then the sequences' mean)")
    min_length: int = key(2, "training pieces with fewer frames are left out")
    first_frame: bool = key(
        False, "also predict the first frame, from silence; false = frames 2..T, as in most papers"
    )
    sample_length: int = key(96, "frames in a sample written during training", neutral=True)
    sample_temperature: float = key(
        1.0,
        "its temperature: below 1 is more careful, 0 plays each key that is likelier on than off",
        neutral=True,
    )
    tempo: float = key(
        90.0, "quarter notes a minute in the MIDI files that it writes", neutral=True
    )

    def errors(self) -> list[str]:
        found = super().errors()
        found += at_least("task.input_noise", self.input_noise, 0)
        found += one_of("task.reduction", self.reduction, ("mean", "sum"))
        found += at_least("task.min_length", self.min_length, 1)
        found += at_least("task.resolution", self.resolution, 1, 96)
        if self.resolution != CHORALES and self.data in ROLLS and self.data != self.own:
            found.append(
                f"task.resolution={self.resolution} is not read with task.data={self.data}, whose "
                "frames are given: leave it out, or add task.data=midi"
            )
        found += at_least("task.sample_length", self.sample_length, 1, MOST_STEPS)
        found += at_least("task.sample_temperature", self.sample_temperature, 0)
        if not 4 <= self.tempo <= 1000:  # what a MIDI file can hold, and a listener bear
            found.append(f"task.tempo={self.tempo} is out of range: type 4 to 1000 beats a minute")
        return found

    def without_split(self) -> str:
        if self.data == "midi" and self.path:
            from odyssey.data.music_files import own_parts

            return own_parts(self.path)
        return "" if self.data == "music21" else f"whose data, {self.data}, come in three parts"


@dataclass
class SyntheticConfig(TaskConfig):
    """Problems made on the fly."""

    sources: ClassVar[tuple[str, ...]] = ("generated",)

    name: str = key("synthetic", NAME)
    data: str = key("generated", DATA)
    kind: str = key("adding", "adding, copying or reversal")
    length: int | None = key(
        None, "adding: steps; copying: blanks; reversal: the longest; null = 100, reversal 10"
    )
    min_length: int = key(1, "reversal: the shortest sequence")
    symbols: int = key(8, "reversal: kinds of symbols")
    train_size: int = key(10000, "fresh training sequences in one epoch")
    eval_size: int = key(1000, "fixed sequences in validation, and as many others in test")

    def errors(self) -> list[str]:
        found = super().errors()
        found += one_of("task.kind", self.kind, tuple(LENGTHS))
        shortest = 2 if self.kind == "adding" else 1
        found += at_least("task.length", self.length, shortest, MOST_STEPS)
        found += at_least("task.min_length", self.min_length, 1)
        if self.kind == "reversal" and self.min_length > (self.length or LENGTHS["reversal"]):
            found.append(
                f"task.min_length={self.min_length} is above task.length, "
                f"{self.length or LENGTHS['reversal']}: type a smaller one"
            )
        found += at_least("task.symbols", self.symbols, 2)
        found += at_least("task.train_size", self.train_size, 1)
        return found + at_least("task.eval_size", self.eval_size, 1)


@dataclass
class OwnTaskConfig(TaskConfig):
    """A task of the user's own."""

    name: str = key("own", NAME)
    data: str = key("own", "the data, by a name that the task knows")
    _target_: str = key(MISSING, "class of the task, module.Class, in a file of your own")
    path: str | None = key(None, "a file that the task reads", place=True)
    options: dict[str, Any] = key(dict, "what the task's configure() takes")

    def errors(self) -> list[str]:
        """What its class says is found elsewhere: odyssey.config.parts."""
        found = []
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            found.append(
                f"task.name={self.name} is not a name for folders: type small letters, digits and _"
            )
        found += at_least("task.batch_size", self.batch_size, 1, MOST_STEPS)
        return found + at_least("task.eval_batch_size", self.eval_batch_size, 1, MOST_STEPS)


TASKS: dict[str, type[TaskConfig]] = {
    "charlm": CharLMConfig,
    "wordlm": WordLMConfig,
    "sentiment": SentimentConfig,
    "mnist": MnistConfig,
    "music": MusicConfig,
    "synthetic": SyntheticConfig,
    "own": OwnTaskConfig,
}
