"""Hashes of the content of data, which identify it wherever it lies.

Without torch, and without the conversion to arrays: a run's name takes them.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

from odyssey.data.download import sha256
from odyssey.data.table_files import TableFile, table_files
from odyssey.data.text import python_docs_text, python_text, read_bytes

SETTLED_NS = 2_000_000_000  # a file younger than that may change again without another time

_known: dict[tuple[int, ...], str] = {}  # stamp of a file -> its hash


def content_hash(data: str, path: str | os.PathLike[str] | None = None) -> str | None:
    """SHA-256 (hex) of the content of a data set; None where its name determines it.

    data: the option task.data
    path: the option task.path, a file or folder of the user's

    A file at `path` has the hash of its bytes, as sha256sum prints it. The name determines files
    from the web, which are pinned by a hash in the code, and what is generated. What comes with
    Python or with a package may be another in another version, and is read. A file's hash is
    computed once in a process as long as its size and times stay. Raises UserError as loading the
    data does where a file is not there or cannot be read.
    """
    if path is not None:
        if data == "csv":
            return labelled_hash(path)
        return file_hash(path)
    if data in ("python", "python_docs", "music21"):
        return _package_hash(data)
    return None


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of a file of the user's. Raises UserError."""
    stamp = _stamp(path)
    if stamp in _known:
        return _known[stamp]
    digest = sha256([read_bytes(path)])
    if stamp and _stamp(path) == stamp and time.time_ns() - max(stamp[3:]) > SETTLED_NS:
        _known[stamp] = digest
    return digest


def labelled_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of the user's labelled texts. Raises UserError.

    A single file has that of its bytes. Several have that of the list of their hashes, each with
    what the file is, `train` or `train/pos/1.txt`, so that a row that moves from one part to
    another counts, and the ending of a table's name does not.
    """
    files = table_files(path)
    if len(files) == 1 and not files[0].label:
        return file_hash(files[0].path)
    lines = (f"{_hash_or_empty(file)}  {file.key}\n" for file in files)
    return sha256([line.encode("utf-8", "surrogateescape") for line in lines])


def _hash_or_empty(file: TableFile) -> str:
    """The hash of a file, which may be empty where it is one text of many."""
    if file.label and file.path.stat().st_size == 0:
        return sha256([b""])
    return file_hash(file.path)


@cache
def _package_hash(data: str) -> str:
    if data == "music21":
        from odyssey.data.chorales import score_files

        return sha256(
            part for file in score_files() for part in (file.name.encode(), file.read_bytes())
        )
    return sha256([python_text() if data == "python" else python_docs_text()])


def _stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What changes with a file: device, inode, size, times (ns); empty where there is no file."""
    try:
        s = os.stat(Path(path).expanduser())
    except OSError:
        return ()
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
