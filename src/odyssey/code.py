"""Which code computes the numbers: a hash of its sources, and torch's version.

A commit would change with every word of the documentation, and be silent about what is not
committed yet.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOMS = ("cells", "recurrence", "model", "data", "tasks", "training")


@cache
def code_version() -> dict[str, str]:
    """`sha256` of the rooms that compute numbers (names and contents of their files), `torch`."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for room in ROOMS:
        files = [p for p in (root / room).rglob("*") if p.suffix in (".py", ".h")]
        for path in sorted(files):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return {"sha256": digest.hexdigest(), "torch": version("torch")}
