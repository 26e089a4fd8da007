"""Which module imports which, read from the source, and the picture of it in architecture.md.

    python docs/architecture.py       draws docs/architecture.svg anew

tests/test_architecture.py checks the imports against its table, and the picture against them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

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


# -- the picture -----------------------------------------------------------------------------------

PICTURE = Path(__file__).with_suffix(".svg")
# The way of one batch, in order: what it goes through (a part below src/odyssey, or a place, which
# has a slash), and what happens there. A list goes on inside the box before it.
WAY: list[tuple[str, str]] = [
    ("conf/", "YAML values, one group for each choice"),
    ("config", "composes and checks them, names the run"),
    ("data", "reads or downloads, hashes and splits"),
    ("tasks", "windows or padded batches, loss, metrics"),
    ("training", "truncated BPTT, clipping, optimizer, callbacks"),
    ("  nn", "embedding, layers, directions, masks, head"),
    ("  recurrence", "the loop over time: plain, cuDNN, compiled"),
    ("  cells", "one step: the equations"),
    ("outputs/<study>/<run>/", "run.json, metrics.csv, checkpoints"),
    ("study", "plans, starts and resumes many runs"),
    ("outputs/<study>/", "study.json, trials.csv"),
    ("report", "compares variants: statistics, figures"),
    ("report/index.html", "the page: verdicts, figures, every run"),
]
WIDTH, MARGIN, ROW = 480, 16, 60
STYLE = """
svg { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif; }
.page { fill: #ffffff; } text { fill: #1f2328; } .soft { fill: #59636e; font-size: 14px; }
.name { font: 600 16px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.title { font-size: 17px; font-weight: 600; }
.box { fill: #f6f8fa; stroke: #8b949e; } .inner { fill: #ffffff; stroke: #8b949e; }
.place { fill: #ddf4ff; stroke: #218bff; } .line { stroke: #59636e; stroke-width: 2; fill: none; }
.dot { fill: #0969da; } .ring { fill: none; stroke: #0969da; stroke-width: 2; }
.grid { stroke: #d1d9e0; } .self { fill: #d1d9e0; }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; } text { fill: #f0f6fc; } .soft { fill: #9198a1; }
.box { fill: #151b23; stroke: #656c76; } .inner { fill: #0d1117; stroke: #656c76; }
.place { fill: #121d2f; stroke: #388bfd; } .line { stroke: #9198a1; }
.dot { fill: #4493f8; } .ring { stroke: #4493f8; } .grid { stroke: #3d444d; }
.self { fill: #3d444d; }
}"""


def text(x: float, y: float, words: str, kind: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{more}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
    )


def arrow(x: float, y: float, length: float) -> str:
    """Downwards from (x, y)."""
    end = y + length
    return f'<path class="line" d="M{x:g} {y:g}V{end:g}M{x - 5:g} {end - 6:g}L{x:g} {end:g}l5 -6"/>'


def draw_way(top: float) -> tuple[list[str], float]:
    """What a batch goes through, from above to below; and where it ends."""
    drawn, y = [], top
    for place, (name, words) in enumerate(WAY):
        inside = name.startswith("  ")
        if place:
            y += 6 if inside else 22
            if not inside:
                drawn.append(arrow(WIDTH / 2, y - 20, 18))
        left, kind = MARGIN, "place" if "/" in name else "box"
        height = ROW - 8
        if inside:
            left, kind = 2 * MARGIN, "inner"
        else:
            # A box is as high as what goes on inside it.
            following = [n for n, _ in WAY[place + 1 :]]
            count = next((i for i, n in enumerate(following) if not n.startswith("  ")), 0)
            height += count * (ROW - 2) + (8 if count else 0)
            drawn.append(box(left, y, WIDTH - 2 * left, height, kind))
        if inside:
            drawn.append(box(left, y, WIDTH - 2 * left, ROW - 8, kind))
        drawn.append(text(left + 12, y + 22, name.strip(), "name"))
        drawn.append(text(left + 12, y + 42, words, "soft"))
        y += ROW - 8
        last = place + 1 == len(WAY) or not WAY[place + 1][0].startswith("  ")
        if inside and last:
            y += 8
    return drawn, y


def imports_of_parts(modules: Mapping[str, Module]) -> dict[str, dict[str, bool]]:
    """Of each part below `odyssey`, which others it imports; True if not in functions alone.

    Modules that are no package are left out: everyone may import those.
    """
    packages = {part_of(name) for name in modules if name.count(".") >= 2}
    packages &= {part_of(name) for name in modules if name.startswith(f"{PACKAGE}.")}
    found: dict[str, dict[str, bool]] = {part: {} for part in sorted(packages)}
    for name, module in modules.items():
        part = part_of(name)
        if part in found:
            for other in own(module.named(), modules, name):
                if part_of(other) in found and part_of(other) != part:
                    at_once = other in own(module.top, modules, name)
                    known = found[part].get(part_of(other), False)
                    found[part][part_of(other)] = known or at_once
    return found


def from_below(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Parts in an order in which each imports only those before it, cells first."""
    wish = ["cells", "recurrence", "nn", "data"]
    wish += [name for name, _ in WAY if name not in wish]
    order: list[str] = []
    left = sorted(edges, key=lambda part: (wish.index(part) if part in wish else 99, part))
    while left:
        ready = [part for part in left if set(edges[part]) <= set(order)]
        order.append(ready[0] if ready else left[0])
        left.remove(order[-1])
    return order


def draw_imports(modules: Mapping[str, Module], top: float) -> tuple[list[str], float]:
    """A table of who imports whom: a row for each part, a column for each that is imported."""
    edges = imports_of_parts(modules)
    order = from_below(edges)
    cell, left = 27.0, 138.0
    y = top + 96
    drawn = []
    for column, part in enumerate(order):
        x = left + (column + 0.5) * cell
        turn = f' transform="rotate(-55 {x:g} {y - 8:g})"'
        drawn.append(text(x, y - 8, part, "soft", turn))
    for row, part in enumerate(order):
        middle = y + (row + 0.5) * cell
        end = left + len(order) * cell
        drawn.append(f'<path class="grid" d="M{MARGIN:g} {y + row * cell:g}H{end:g}"/>')
        drawn.append(text(MARGIN, middle + 5, part, "name"))
        for column, other in enumerate(order):
            x = left + (column + 0.5) * cell
            if other == part:
                drawn.append(f'<circle class="self" cx="{x:g}" cy="{middle:g}" r="3"/>')
            elif other in edges[part]:
                kind = "dot" if edges[part][other] else "ring"
                drawn.append(f'<circle class="{kind}" cx="{x:g}" cy="{middle:g}" r="7"/>')
    y += len(order) * cell + 26
    drawn.append(f'<circle class="dot" cx="{MARGIN + 8}" cy="{y - 5:g}" r="7"/>')
    drawn.append(text(MARGIN + 24, y, "when it is imported itself", "soft"))
    drawn.append(f'<circle class="ring" cx="{MARGIN + 218}" cy="{y - 5:g}" r="7"/>')
    drawn.append(text(MARGIN + 234, y, "only in functions, when called", "soft"))
    return drawn, y


def picture(modules: Mapping[str, Module]) -> str:
    """The SVG: the way of one batch, and which part imports which."""
    way, end = draw_way(52)
    table, bottom = draw_imports(modules, end + 62)
    height = bottom + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="Architecture of Odyssey">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height:g}"/>',
        text(MARGIN, 32, "One batch, from conf/ to the page", "title"),
        *way,
        text(MARGIN, end + 50, "Who imports whom (the row the column)", "title"),
        *table,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    PICTURE.write_text(picture(read_modules()), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
