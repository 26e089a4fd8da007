"""Sources as named, hashed files: found in the data directory, or downloaded into it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

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


CHUNK = 1 << 14  # bytes; of one that the line breaks off, nothing is kept


class ResumingDownloader:
    """Downloads into `part`, keeps it when the line breaks, and asks only for the rest next time.

    pooch calls it as `downloader(url, output_file, pooch)`. A whole file is moved to `output_file`,
    where pooch checks its hash; `resumed` says whether it began with bytes of an earlier download,
    which may be the reason for a wrong hash. A server that ignores Range sends all of it again.
    Raises requests.RequestException; a broken connection is tried again as long as each try brings
    the file further than it ever was.
    """

    def __init__(self, part: Path, timeout: float = 30.0) -> None:
        self.part = part
        self.timeout = timeout  # seconds without a byte
        self.resumed = False

    def __call__(
        self, url: str, output_file: str, pooch: Any, check_only: bool = False
    ) -> bool | None:
        import requests

        if check_only:
            answer = requests.head(url, timeout=self.timeout, allow_redirects=True)
            return answer.status_code == 200
        self.resumed = self._have() > 0
        furthest = self._have()
        while True:
            try:
                self._get_rest(url)
                break
            except (requests.ConnectionError, requests.Timeout, _broken()):
                if self._have() <= furthest:
                    raise
                furthest = self._have()
        os.replace(self.part, output_file)
        return None

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get_rest(self, url: str) -> None:
        """One request, for what is missing in `part`."""
        import requests

        have = self._have()
        # Ranges count the bytes that are sent, so these must be the file's own, not a gzip of them.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            span = answer.headers.get("Content-Range", "")
            if answer.status_code == 416 and span == f"bytes */{have}":
                return  # nothing is missing
            fits = answer.status_code == 206 and span.startswith(f"bytes {have}-")
            if have and answer.status_code in (206, 416) and not fits:
                self.part.unlink()  # no part of this file
                return self._get_rest(url)
            answer.raise_for_status()
            if not fits:  # the server sends all of it
                self.resumed, have = False, 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (
                self.part.open("ab" if fits else "wb") as out,
                tqdm(
                    desc=Path(self.part.stem).name,
                    total=total,
                    initial=have,
                    unit="B",
                    unit_scale=True,
                ) as bar,
            ):
                for chunk in answer.iter_content(CHUNK):
                    out.write(chunk)
                    bar.update(len(chunk))
            if total is not None and self._have() < total:
                raise requests.ConnectionError(f"the connection ended at byte {self._have()}")


def _broken() -> type[Exception]:
    """What requests raises when a body ends before its time."""
    from requests.exceptions import ChunkedEncodingError

    return ChunkedEncodingError
