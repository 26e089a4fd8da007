"""Which code computes the numbers: a hash of its syntax trees, and torch's version.

The hash guards a study against runs of other code. It is taken over the syntax trees of the modules
that compute numbers, so that a docstring, a comment or the formatting may change while a study
runs, and so may what only prints, draws or uploads. A commit would change with every word of the
documentation, and would not change with what is not committed yet.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("cells", "recurrence", "nn", "data", "tasks", "training")
# Modules of these packages that no number of a run depends on.
WITHOUT_NUMBERS = (
    "recurrence/compiled/explain.py",
    "tasks/midi.py",
    "training/callbacks/progress.py",
    "training/callbacks/samples.py",
    "training/console.py",
    "training/failure.py",
    "training/figures.py",
    "training/wandb_login.py",
    "training/provenance.py",
    "training/wandb.py",
)
_C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


@cache
def code_version() -> dict[str, str]:
    """`sha256` of the code that computes numbers, and the version of `torch`."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in numeric_files(root):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(canonical(path.read_text(encoding="utf-8"), path.suffix).encode())
    return {"sha256": digest.hexdigest(), "torch": version("torch")}


def numeric_files(root: Path) -> list[Path]:
    """The files below `root`, the package's folder, that compute numbers, in a fixed order."""
    return [
        path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*"))
        if path.suffix in (".py", ".h") and path.relative_to(root).as_posix() not in WITHOUT_NUMBERS
    ]


def canonical(source: str, suffix: str = ".py") -> str:
    """Source code as text that is the same for any comments, docstrings and formatting.

    It is also the same on every supported version of Python, whose own `ast.dump` is not.
    """
    if suffix != ".py":
        return " ".join(_C_COMMENT.sub(" ", source).split())
    return "".join(_tokens(ast.parse(source)))


def _tokens(node: ast.AST) -> Iterator[str]:
    """The node's kind and its fields that are not empty, in brackets."""
    yield type(node).__name__
    yield "("
    for name in node._fields:
        value = getattr(node, name, None)
        if name in ("ctx", "type_comment", "kind") or value is None or value == []:
            continue
        yield name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                if not _is_bare_string(item):
                    yield from _tokens(item)
            else:
                yield repr(item)
                yield ","
    yield ")"


def _is_bare_string(node: ast.AST) -> bool:
    """Whether this is a string that stands as a statement: a docstring, of whatever it is."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
