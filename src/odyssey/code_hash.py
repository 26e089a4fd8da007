"""Hashes of code that computes numbers, taken over its syntax trees.

They stay where a docstring, a comment or the formatting changes. `code_version` is about the
package: it guards a study against runs of other code. A commit would change with the
documentation too, and not with what is not committed yet. `source_hash` is about a class
of a user's own: it is part of a run's identity.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import sysconfig
import textwrap
import tokenize
from collections.abc import Collection, Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

PACKAGES = ("cells", "recurrence", "nn", "data", "tasks", "training")
# Modules of these packages that no number of a run depends on.
WITHOUT_NUMBERS = (
    "nn/rnn.py",
    "recurrence/compiled/explain.py",
    "tasks/midi.py",
    "training/callbacks/progress.py",
    "training/callbacks/samples.py",
    "training/console.py",
    "training/evaluation.py",
    "training/failure.py",
    "training/figures.py",
    "training/items.py",
    "training/restore.py",
    "training/sampling.py",
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


def source_hash(target: str) -> str | None:
    """SHA-256 (hex) of the source of a class or function of the user's own, `module.Name`.

    It covers the statements of the module that define the name, those that define what they use,
    and the same of modules of the user's that they import: another class of the file may change
    without changing it, and a function that this class calls may not. Calls at the top of a module
    count always, since they may have any effect. None for what belongs to Odyssey, to an installed
    package or to Python, and where there is no source.

    It stays the same until the module is loaded again: a file changed since is not what runs.
    """
    module, _, name = target.rpartition(".")
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if spec is not None and target in _known and _known[target][0] is spec:
        return _known[target][1]
    sources = _Sources()
    sources.add(module, {name})
    text = sources.text() or _interactive_source(module, name)
    found = hashlib.sha256(text.encode()).hexdigest() if text else None
    _known[target] = spec, found
    return found


# `module.Name` -> the spec of its module, which a reload replaces, and its hash.
_known: dict[str, tuple[Any, str | None]] = {}


class _Sources:
    """Statements of modules of the user's, chosen by the names that they define."""

    def __init__(self) -> None:
        # Module -> its statements, in the order in which they are met; their places that count.
        self.modules: dict[str, list[ast.stmt]] = {}
        self.chosen: dict[str, set[int]] = {}

    def add(self, module: str, names: Collection[str] | None) -> None:
        """Add the statements that define `names`, or all, and what they use. Others' are left out.

        A module that is installed or cannot be read adds nothing.
        """
        if module not in self.modules:
            self.modules[module] = _statements(module)
            self.chosen[module] = set()
        statements, chosen = self.modules[module], self.chosen[module]
        defining: dict[str, list[int]] = {}
        for place, statement in enumerate(statements):
            for name in _bound(statement):
                defining.setdefault(name, []).append(place)
        todo = [i for i, s in enumerate(statements) if names is None or isinstance(s, ast.Expr)]
        todo += [place for name in sorted(names or ()) for place in defining.get(name, [])]
        while todo:
            place = todo.pop(0)
            if place not in chosen:
                chosen.add(place)
                nodes = list(ast.walk(statements[place]))
                used = {node.id for node in nodes if isinstance(node, ast.Name)}
                todo += [i for name in sorted(used) for i in defining.get(name, [])]
                for node in nodes:
                    self._follow(node, module)

    def _follow(self, node: ast.AST, module: str) -> None:
        """Add what an import names."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.add(alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            package = module if _is_package(module) else module.rpartition(".")[0]
            source = "." * node.level + (node.module or "")
            source = resolve_name(source, package) if node.level else source
            for alias in node.names:
                if alias.name != "*" and _file_of(f"{source}.{alias.name}") is not None:
                    self.add(f"{source}.{alias.name}", None)
                else:
                    self.add(source, None if alias.name == "*" else {alias.name})

    def text(self) -> str:
        """The chosen statements without comments, docstrings and the modules' names."""
        return "\n".join(
            "".join(_tokens(statements[place]))
            for module, statements in self.modules.items()
            for place in sorted(self.chosen[module])
            if not _is_bare_string(statements[place])
        )


def _statements(module: str) -> list[ast.stmt]:
    file = _file_of(module)
    if file is None:
        return []
    try:
        with tokenize.open(file) as stream:
            return ast.parse(stream.read()).body
    except (OSError, SyntaxError, ValueError):
        return []


def spec_of(module: str) -> ModuleSpec | None:
    """The spec of a module, or None, without importing the packages around it.

    `importlib.util.find_spec` imports them, and what a package runs then may be anybody's.
    """
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        name = ".".join(parts[:n])
        loaded = sys.modules.get(name)
        places = None if spec is None else spec.submodule_search_locations
        if n > 1 and places is None:  # the part before it is no package
            return None
        if loaded is not None and getattr(loaded, "__spec__", None) is not None:
            spec = loaded.__spec__
            continue
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        found = (find(name, places) for find in finders if find is not None)
        spec = next((one for one in found if one is not None), None)
        if spec is None:
            return None
    return spec


def _file_of(module: str) -> Path | None:
    """The source file of a module of the user's; None for others, and where there is none."""
    loaded = sys.modules.get(module)
    try:
        spec = getattr(loaded, "__spec__", None) or spec_of(module)
        # A script that runs, __main__, has no spec.
        origin = spec.origin if spec is not None else getattr(loaded, "__file__", None)
    except (ImportError, AttributeError, ValueError):  # of a finder that is not Python's
        return None
    if origin is None or not origin.endswith(".py"):
        return None
    file = Path(origin).resolve()
    installed = {"site-packages", "dist-packages"}.intersection(file.parts)
    return None if installed or any(map(file.is_relative_to, _not_own())) else file


@cache
def _not_own() -> tuple[Path, ...]:
    """The folders of Python's standard library, and of this package."""
    paths = sysconfig.get_paths()
    folders = {Path(paths[name]).resolve() for name in ("stdlib", "platstdlib")}
    return (*folders, Path(__file__).resolve().parent)


def _is_package(module: str) -> bool:
    file = _file_of(module)
    return file is not None and file.name == "__init__.py"


def _bound(node: ast.AST) -> Iterator[str]:
    """The names of a module that a statement of it defines or changes."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    else:
        if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            root = node
            while isinstance(root, (ast.Attribute, ast.Subscript)):
                root = root.value
            if isinstance(root, ast.Name):
                yield root.id
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _interactive_source(module: str, name: str) -> str:
    """The source of a class that was typed in, as in a notebook; empty where nothing keeps it."""
    if module != "__main__":
        return ""
    try:
        return canonical(textwrap.dedent(inspect.getsource(getattr(sys.modules[module], name))))
    except (AttributeError, OSError, SyntaxError, TypeError):
        return ""
