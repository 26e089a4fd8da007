"""Hashes of the content of data, which identify it wherever it lies.

Without torch, and without the conversion to arrays: a run's name takes them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from odyssey.data.download import sha256
from odyssey.data.text import python_docs_text, python_text, read_bytes
from odyssey.errors import UserError

TABLES = ("csv", "tsv")  # endings of a table's files: what is between their fields
PARTS = ("train", "valid", "test")
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
            return table_hash({f: file_hash(f) for f in table_files(path)})
        return file_hash(path)
    if data in ("python", "python_docs", "music21"):
        return _package_hash(data)
    return None


def file_hash(path: str | os.PathLike[str], option: str = "task.path") -> str:
    """SHA-256 (hex) of a file of the user's, which `option` names. Raises UserError."""
    stamp = _stamp(path)
    if stamp in _known:
        return _known[stamp]
    digest = sha256([read_bytes(path, option)])
    if stamp and _stamp(path) == stamp and time.time_ns() - max(stamp[3:]) > SETTLED_NS:
        _known[stamp] = digest
    return digest


def table_files(path: str | os.PathLike[str]) -> list[Path]:
    """The file of a table, or the three of a folder. Raises UserError where one is missing."""
    where = Path(path).expanduser()
    if not where.is_dir():
        return [where]
    for ending in TABLES:
        files = [where / f"{part}.{ending}" for part in PARTS]
        if all(file.is_file() for file in files):
            return files
    raise UserError(
        f"task.path={where} is a folder without all of train.csv, valid.csv and test.csv "
        "(or .tsv); add them, or name a single file"
    )


def table_hash(hashes: Mapping[Path, str]) -> str:
    """SHA-256 (hex) of a table of one or three files, from their hashes.

    One file has its own. That of three is the hash of their list with names, as sha256sum prints
    it, so that a row that moves from one part to another counts.
    """
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return sha256([f"{digest}  {file.name}\n".encode() for file, digest in hashes.items()])


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
