"""Hashes of the content of data, which identify it wherever it lies.

Without torch, and without the conversion to arrays: a run's name takes them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from odyssey.data import text_files
from odyssey.data.download import sha256
from odyssey.data.folders import ENDINGS, files_below, is_folder, tree_hash
from odyssey.data.table_files import TableFile, table_files
from odyssey.data.text import python_docs_text, python_text, read_bytes
from odyssey.errors import UserError
from odyssey.io import open_regular

SETTLED_NS = 2_000_000_000  # a file younger than that may change again without another time

_known: dict[tuple[int, ...], str] = {}  # stamp of a file -> its hash
_folders: dict[tuple[str, str], str] | None = None  # of `unchanging`: task.data, path -> hash


def content_hash(data: str, path: str | os.PathLike[str] | None = None) -> str | None:
    """SHA-256 (hex) of the content of a data set; None where its name determines it.

    data: the option task.data
    path: the option task.path, a file or folder of the user's

    A file at `path` has the hash of its bytes, as sha256sum prints it; a folder, that of the list
    of its files, with theirs. The name determines files
    from the web, which are pinned by a hash in the code, and what is generated. What comes with
    Python or with a package may be another in another version, and is read. A file's hash is
    computed once in a process as long as its size and times stay. Raises UserError as loading the
    data does where a file is not there or cannot be read.
    """
    if path is not None:
        if data == "csv":
            return labelled_hash(path)
        if data in ENDINGS and is_folder(path):
            return _folder_hash(data, os.path.abspath(os.path.expanduser(path)), path)
        if data in ENDINGS:
            return next(iter(file_hashes(data, path).values()))[1]
        if data in text_files.ENDINGS and is_folder(path):
            files = text_files.text_files(data, path).values()
            return text_files.table_hash({file: file_hash(file) for file in files})
        return file_hash(path)
    if data in ("python", "python_docs", "music21"):
        return _package_hash(data)
    return None


@contextmanager
def unchanging() -> Iterator[None]:
    """A block in which each folder of the user's is looked at once, and taken not to change.

    Tens of thousands of files take a second to look at, and a study's plan asks for each trial.
    """
    global _folders
    before, _folders = _folders, {}
    try:
        yield
    finally:
        _folders = before


def _folder_hash(data: str, place: str, path: str | os.PathLike[str]) -> str:
    if _folders is not None and (data, place) in _folders:
        return _folders[data, place]
    hashes = file_hashes(data, path)
    digest = tree_hash({name: digest for name, (_, digest) in hashes.items()})
    if _folders is not None:
        _folders[data, place] = digest
    return digest


def file_hash(path: str | os.PathLike[str], option: str = "task.path") -> str:
    """SHA-256 (hex) of a file of the user's, which `option` names. Raises UserError."""
    stamp = _stamp(path)
    if stamp in _known:
        return _known[stamp]
    digest = sha256([read_bytes(path, option)])
    if stamp and _stamp(path) == stamp and time.time_ns() - max(stamp[3:]) > SETTLED_NS:
        _known[stamp] = digest
    return digest


def file_hashes(data: str, path: str | os.PathLike[str]) -> dict[str, tuple[str, str]]:
    """The files at `path` of music or images, which may be empty or damaged, with their hashes.

    data: `midi` or `folder`, the option task.data. By their names relative to the folder, sorted;
    a single file by its own name. Raises UserError where there is none, or one cannot be read.
    """
    endings = ENDINGS[data]
    if not is_folder(path):
        file = os.path.abspath(os.path.expanduser(path))
        if not os.path.exists(file):
            raise UserError(
                f"task.path={path} does not exist: name a folder of files, or one of them"
            )
        return {os.path.basename(file): (file, _hash_below(f"{path}", file))}
    files = files_below(path, endings)
    if not files:
        raise UserError(
            f"task.path={path} is a folder without files ending in {', '.join(endings)}, in it or "
            "below it: name the folder that has them"
        )
    return {name: (file, _hash_below(f"{path}: {name}", file)) for name, file in files.items()}


def _hash_below(told: str, file: str) -> str:
    """The hash of a file, which may be empty. told: what a message calls it."""
    if (stamp := _stamp(file)) in _known:
        return _known[stamp]
    try:
        with open(open_regular(file, os.O_RDONLY), "rb") as stream:
            empty = os.fstat(stream.fileno()).st_size == 0
        return sha256([]) if empty else file_hash(file)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UserError(
            f"task.path={told} cannot be read ({why}): mend that, or name another"
        ) from None


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
        s = os.stat(os.path.expanduser(path))
    except OSError:
        return ()
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
