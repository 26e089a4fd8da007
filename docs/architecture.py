"""Which module imports which, read from the source, and the picture of it in architecture.md.

    python docs/architecture.py       draws docs/architecture.svg anew

tests/test_architecture.py checks the imports against its table, and the picture against them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
PACKAGE = "odyssey"


@dataclass
class Module:
    """The names that a module imports, its own and others', as written: `torch.nn`, `odyssey.io.x`.

    top: when it is imported itself.
    late: when a function is called.
    types: for annotations alone, under `if TYPE_CHECKING`.
    """

    name: str
    top: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)

    def named(self) -> set[str]:
        return self.top | self.late | self.types


def read_module(name: str, source: str, is_package: bool = False) -> Module:
    """What the source of a module imports."""
    module = Module(name)
    package = name.split(".") if is_package else name.split(".")[:-1]

    def walk(node: ast.AST, into: set[str]) -> None:
        if isinstance(node, ast.Import):
            into.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            into.update(f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            into = into if into is module.types else module.late
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                walk(statement, module.types)
            for statement in node.orelse:
                walk(statement, into)
        else:
            for child in ast.iter_child_nodes(node):
                walk(child, into)

    walk(ast.parse(source), module.top)
    return module


def read_modules(source: Path = SOURCE) -> dict[str, Module]:
    """Every module below a folder of packages, by its dotted name."""
    modules = {}
    for file in sorted(source.rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = read_module(name, file.read_text(encoding="utf-8"), is_package)
    return modules


def resolve(name: str, modules: Mapping[str, Module]) -> str | None:
    """The module in which an imported name is found, None if it is not one of `modules`."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules else None


def own(names: Iterable[str], modules: Mapping[str, Module], importer: str) -> set[str]:
    """The modules of `modules` among imported names, without the importer itself."""
    found = {resolve(name, modules) for name in names}
    return {module for module in found if module is not None} - {importer}


def loaded_with(
    start: str, modules: Mapping[str, Module], late: Callable[[str], bool] = lambda module: False
) -> dict[str, list[str]]:
    """All that is loaded when `start` is imported, others' modules too, each with the way to it.

    A package is loaded with each of its modules. late: says of a module whether what its functions
    import counts too.
    """
    ways: dict[str, list[str]] = {start: [start]}
    queue = [start]
    while queue:
        name = queue.pop(0)
        found = resolve(name, modules)
        if found is None:
            continue
        module = modules[found]
        names = module.top | (module.late if late(found) else set())
        parents = {found.rpartition(".")[0]} - {""}
        for other in sorted(names | parents):
            target = resolve(other, modules) or other
            if target not in ways:
                ways[target] = [*ways[name], target]
                queue.append(target)
    return ways


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The circles of a graph: its strongly connected components of more than one node."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(edges.get(node, set())):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(sorted(members))

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return found


def part_of(module: str) -> str:
    """The package below `odyssey` that a module is in, or its own name: `odyssey.io` is `io`."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == PACKAGE and len(pieces) > 1 else pieces[0]
