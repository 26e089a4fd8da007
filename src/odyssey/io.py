"""Reading regular files alone, and writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Stamp = tuple[int, int, int]  # a file's time of change (ns), size and inode: equal if unchanged


def stamp_of(file: str | Path) -> Stamp | None:
    """What changes whenever the file does; None where there is no such file."""
    try:
        return _stamp(os.stat(file))
    except (OSError, ValueError):
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_text(file: str | Path) -> tuple[str, Stamp]:
    """The text of a regular file, with its stamp at that moment.

    Raises OSError where there is none, ValueError where it is no text.
    """
    content, stamp = read_bytes(file)
    return content.decode("utf-8-sig"), stamp


def read_bytes(file: str | Path) -> tuple[bytes, Stamp]:
    """The content of a regular file, with its stamp. Raises OSError where there is none."""
    handle = open_regular(file, os.O_RDONLY)
    with open(handle, "rb") as stream:
        found = os.fstat(handle)
        return stream.read(), _stamp(found)


def open_regular(file: str | Path, flags: int, mode: int = 0o666) -> int:
    """A descriptor of a regular file, as `os.open` gives it. Raises OSError for anything else.

    Opening a pipe does not wait for somebody at its other end.
    """
    handle = os.open(file, flags | getattr(os, "O_NONBLOCK", 0), mode)
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {what} and no file", str(file))
    return handle


def is_there(path: str | Path) -> bool:
    """Whether there is anything at the path, a link to nowhere too.

    Raises OSError where that cannot be told, as in a folder that may not be read.
    """
    try:
        os.lstat(path)
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def reason(error: BaseException) -> str:
    """Why a file could not be read or written, in the few words that a sentence takes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    return type(error).__name__


# A disk that is full or may not be written to; EFBIG: a limit on files' size, as of `ulimit -f`.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
FORBIDDEN = (errno.EACCES, errno.EPERM)


def no_room(error: BaseException | None, within: Path | None = None) -> OSError | None:
    """The error among `error` and its causes that says that nothing more can be written.

    within: a folder that a file must lie in for its permissions to count as that; None: any.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            if error.errno not in FORBIDDEN or within is None:
                return error
            file = error.filename2 or error.filename
            if isinstance(file, str) and Path(file).absolute().is_relative_to(within.absolute()):
                return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part of either, whatever kills the writer.
    On an error the part is removed and `path` is as it was.

    sync: whether to wait until the content is on the disk, so that a power cut cannot leave an
    empty file under the new name. Leave it out for what can be made again, such as caches.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield part
        if sync:
            handle = os.open(part, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Replace the content of `path` by `text` in UTF-8, without translating line ends."""
    write_bytes(path, text.encode(), sync=sync)


def write_bytes(path: Path, content: bytes | memoryview, *, sync: bool = True) -> None:
    """Replace the content of `path` by `content`."""
    with atomic_path(path, sync=sync) as part:
        part.write_bytes(content)
