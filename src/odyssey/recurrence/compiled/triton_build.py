"""Generated Triton: written to the cache of compiled cells and imported from there.

`triton.jit` reads its functions' source from their file. What Triton compiles of it lies in its
own cache ($TRITON_CACHE_DIR), by a hash of source, sizes and device.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path
from types import ModuleType

from odyssey.recurrence.compiled.build import cache_folder


def has_triton() -> bool:
    """Whether the package is there; torch's CUDA builds for Linux bring it."""
    return importlib.util.find_spec("triton") is not None


@functools.cache  # layers of one kind share it
def load_module(source: str) -> ModuleType:
    """The module that `source` is."""
    name = f"cell_{hashlib.sha256(source.encode()).hexdigest()[:24]}"
    path = cache_folder() / f"{name}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != source:
        _write(path, source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(path: Path, source: str) -> None:
    """Written beside and moved there at once: other processes may do the same now."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / path.name
        written.write_text(source, encoding="utf-8")
        os.replace(written, path)
