"""Arrays that take long to make, kept in the data directory."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]  # NumPy's


def kept(folder: Path, name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, read from `folder`/cache where it was kept under the same `key`.

    `key` is the SHA-256 of all that the arrays are a function of, the code that makes them too. A
    file that is damaged or another's is made anew; where none can be written, nothing is kept.
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
        with np.load(path, allow_pickle=False) as file:  # which checks each array's CRC
            arrays = {name: file[name] for name in file.files}
        return arrays if arrays.pop("key").item() == key else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _write(path: Path, key: str, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, key=np.array(key), **arrays)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
