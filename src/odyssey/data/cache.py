"""Arrays that take long to compute, cached in the data directory."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.io import atomic_path, open_regular

Arrays = Mapping[str, Any]  # NumPy's, by name


def cached(folder: Path, name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `make` returns, read from `folder`/cache if they are there under `key`.

    key: the SHA-256 of all that the arrays are a function of: the content of the files they are
    made from, and a version of the code that makes them. A damaged or foreign file is replaced;
    where no file can be written, nothing is cached.
    """
    path = folder / "cache" / f"{name}-{key[:16]}.npz"
    arrays = _read(path, key)
    if arrays is None:
        arrays = make()
        with contextlib.suppress(OSError):
            _write(path, key, arrays)
    return arrays


def _read(path: Path, key: str) -> Arrays | None:
    try:
        stream = os.fdopen(open_regular(path, os.O_RDONLY), "rb")
        with stream, np.load(stream, allow_pickle=False) as file:  # which checks each array's CRC
            arrays = {name: file[name] for name in file.files}
        return arrays if arrays.pop("key").item() == key else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _write(path: Path, key: str, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, sync=False) as part, part.open("wb") as file:
        np.savez(file, key=np.array(key), **arrays)
