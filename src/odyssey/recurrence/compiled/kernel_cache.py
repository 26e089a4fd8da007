"""The folder in which generated code is kept from one process to the next, for `c` and `triton`."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("odyssey")


def cache_folder() -> Path:
    """$ODYSSEY_KERNELS, or odyssey/kernels in the user's cache folder; made where it is missing.

    Files in it are executed. A folder that belongs to another user, or in which everybody may
    write, is therefore not used; `process_folder` takes its place then, and where no folder can be
    written to.
    """
    with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        given = os.environ.get("ODYSSEY_KERNELS")
        base = os.environ.get("XDG_CACHE_HOME")
        if given:
            folder = Path(given).absolute()
        else:
            folder = (Path(base) if base else Path.home() / ".cache") / "odyssey" / "kernels"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK) and _is_safe(folder):
            return folder
    return process_folder()


@functools.cache
def process_folder() -> Path:
    """A folder for this process alone, removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="odyssey-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache  # so that the warning is logged once
def _is_safe(folder: Path) -> bool:
    """Whether only this user, or root, can put files into the folder."""
    about = folder.stat()
    safe = about.st_uid in (os.geteuid(), 0) and not about.st_mode & stat.S_IWOTH
    if not safe:
        log.warning(
            "compiled cells are not kept in %s, since others could leave programs there that you "
            "would run; set ODYSSEY_KERNELS to a folder of your own",
            folder,
        )
    return safe
