"""Sources as named, hashed files: found in the data directory, or downloaded into it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import UserError


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web, known by its hash.

    name: where it lies, relative to the data directory; hash: `sha256:…` or `md5:…`;
    instead: what to type to do without it (an embedded data set).
    """

    name: str
    urls: tuple[str, ...]
    hash: str
    instead: str


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The data directory: `data_dir`, else $ODYSSEY_DATA, else the user's cache folder."""
    named = data_dir or os.environ.get("ODYSSEY_DATA")
    if named:
        return Path(named).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("odyssey"))


def fetch(file: RemoteFile, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The path of `file`, its hash checked.

    A file that is there is taken if its hash fits, and refused if it does not: it may be the user's
    own, so it is never overwritten. One that is not there is downloaded: into NAME.part first, from
    where an interrupted download goes on, then, when the hash fits, in one move to NAME. Two
    processes that want the same file share one download. Raises UserError.
    """
    path = data_folder(data_dir) / file.name
    if found(path, file.hash):
        return path
    tried: list[str] = []
    try:
        with locked(path):
            if found(path, file.hash) or any(
                _download(file, url, path, tried) for url in file.urls
            ):
                return path
    except OSError as error:
        tried.append(f"{path.parent} cannot be written ({error.strerror or error})")
    raise missing(path, "; ".join(tried), file.hash, file.instead)


def found(path: Path, known: str) -> bool:
    """Whether `path` is there with the hash `known`. Another file by that name is a UserError."""
    import pooch

    if not path.exists():
        return False
    kind, _, value = known.rpartition(":")
    try:
        actual = pooch.file_hash(str(path), alg=kind or "sha256")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); make it a readable file or move it away"
        ) from None
    if actual != value:
        raise UserError(
            f"{path} is damaged or another file: its hash is {kind}:{actual}, not {known}; "
            f"move it away to have it fetched again, or set data_dir to another folder"
        )
    return True


def missing(path: Path, tried: str, known: str, instead: str) -> UserError:
    """The message for a source that is not to be had."""
    return UserError(
        f"{path.name} is not to be had: {tried}; put the file at {path} by hand ({known}), "
        f"or use {instead}"
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock on the making of `path`, whose folder is made. Raises OSError."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is fetching {path.name}: waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sha256(parts: Iterable[bytes | NDArray[np.uint8]]) -> str:
    """The SHA-256 of `parts`, one after another."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else part.data)
    return whole.hexdigest()


def _download(file: RemoteFile, url: str, path: Path, tried: list[str]) -> bool:
    """Whether `url` gave the file; if not, `tried` gets the reason. Raises OSError."""
    import pooch
    from requests import RequestException

    from odyssey.data.resume import ResumingDownloader

    while True:
        loader = ResumingDownloader(path.with_name(path.name + ".part"))
        try:
            pooch.retrieve(url, file.hash, path.name, str(path.parent), downloader=loader)
            return True
        except RequestException as error:  # an OSError too, so it stands first
            tried.append(f"{url} gave {_reason(error)}")
            return False
        except ValueError:  # pooch's word for a wrong hash; what was loaded is gone by now
            if not loader.resumed:
                tried.append(f"{url} gave a file with another hash")
                return False


def _reason(error: Exception) -> str:
    """An error of requests in a few words."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"{response.status_code} {response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        return "no connection, or one that broke"
    return type(error).__name__
