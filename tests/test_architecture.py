"""Who may import whom: downwards only, in no circle, and nothing heavy where it is not needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import architecture
from architecture import circles, loaded_with, own, part_of

MODULES = architecture.read_modules()
# Modules that everyone may import.
BASE = {"bars", "cli_utils", "code_hash", "device", "errors", "io", "registry"}
BASE |= {"streams", "text_encoding", "typed_json", "yaml_text"}
# What each part may import besides itself and BASE; "late:", in functions alone.
MAY_IMPORT = {
    "cells": "",
    "recurrence": "cells",
    "nn": "cells recurrence",
    "data": "",
    "config": "late:cells late:recurrence late:data",  # to look at a cell or a file
    "tasks": "data config",
    "training": "cells recurrence nn tasks config",
    "study": "config training",
    "report": "study config tasks training",
    "benchmark": "cells recurrence nn config tasks training",
    "cli": "config late:training late:study",
    "confirm": "config study late:cli",
    "__main__": "",  # imports a command by its name
    "api": "config study training late:tasks late:report late:data",
    "odyssey": "late:cells late:recurrence late:nn late:api",  # each name when it is first used
    "hydra_plugins": "late:config late:study",
}
# What these parts do without: whoever composes, plans or looks need not wait for it.
HEAVY = ("torch", "pytorch_lightning", "wandb", "optuna", "pandas", "matplotlib", "sklearn")
WITHOUT = {
    "cli": (*HEAVY, "numpy"),
    "confirm": HEAVY,
    "config": (*HEAVY, "numpy"),
    "study": HEAVY,
    "report": ("torch", "pytorch_lightning", "hydra", "omegaconf"),
    "api": HEAVY,
    "hydra_plugins": HEAVY,
    "odyssey": (*HEAVY, "numpy", "hydra", "omegaconf"),
}
# Parts of which what their functions import counts too.
EVEN_LATE = {"report"}
# Of the study, the report imports what reads a study's folder; of the configuration, the schema and
# the seeds; of the training, what a run's record is.
REPORT_READS = {
    *("study.analysis_plan", "study.formatting", "study.state", "study.store"),
    "config.own",
    "config.schema",
    "config.seeds",
    "training.record",
    "tasks.metric",
}


def test_every_part_has_a_row() -> None:
    parts = {part_of(name) for name in MODULES} - BASE
    assert parts == set(MAY_IMPORT)


@pytest.mark.parametrize("part", [*MAY_IMPORT, *sorted(BASE)])
def test_a_part_imports_only_what_it_may(part: str) -> None:
    allowed = MAY_IMPORT.get(part, "").split()
    late = BASE | {part} | {name.removeprefix("late:") for name in allowed}
    top = late - {name.removeprefix("late:") for name in allowed if name.startswith("late:")}
    for name, module in MODULES.items():
        if part_of(name) == part:
            for names, permitted in ((module.top, top), (module.late | module.types, late)):
                found = {part_of(other) for other in own(names, MODULES, name)}
                assert found <= permitted, (name, found - permitted)


def test_parts_import_each_other_in_no_circle_not_even_late() -> None:
    edges: dict[str, set[str]] = {}
    for name, module in MODULES.items():
        others = {part_of(other) for other in own(module.named(), MODULES, name)}
        edges.setdefault(part_of(name), set()).update(others - {part_of(name)})
    assert circles(edges) == []


def test_modules_import_each_other_in_no_circle_not_even_late() -> None:
    assert circles({n: own(m.named(), MODULES, n) for n, m in MODULES.items()}) == []


@pytest.mark.parametrize("part", WITHOUT)
def test_what_is_heavy_is_not_loaded_where_it_is_not_needed(part: str) -> None:
    for name in MODULES:
        if part_of(name) == part:
            loaded = loaded_with(name, MODULES, late=lambda n: part_of(n) in EVEN_LATE)
            for other, way in loaded.items():
                assert other.split(".")[0] not in WITHOUT[part], " imports ".join(way)


def test_the_report_imports_of_other_parts_what_reads_folders() -> None:
    for name, module in MODULES.items():
        if part_of(name) == "report":
            found = own(module.named(), MODULES, name)
            others = {n for n in found if part_of(n) in ("study", "config", "training", "tasks")}
            assert others <= {f"odyssey.{module}" for module in REPORT_READS}, name


USES = """
import sys
from odyssey.config.compose import compose
from odyssey.study.plan import prepare
from odyssey.study.status import main

words = ["task=charlm", "task.data=hello", "output_dir=" + sys.argv[1]]
compose(["cell=lstm", *words])
assert len(prepare(["cell=lstm,gru", *words]).trials) == 2
main([sys.argv[1]])
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def test_composing_planning_and_status_load_nothing_heavy(tmp_path: Path) -> None:
    """What the graph cannot see: imports in functions that are called on the way."""
    command = [sys.executable, "-c", USES, str(tmp_path), *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "", done.stdout


def test_the_graph_sees_what_it_has_to() -> None:
    """The reading of imports on a source with every kind of them."""
    source = """
import a.b, c
from . import near
from ..up import thing
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from d import E
else:
    import f
try:
    import g
except ImportError:
    def h():
        import late.one
class K:
    import in_class
    def m(self):
        from late import two
"""
    module = architecture.read_module("p.q.r", source)
    assert module.top == {
        *("a.b", "c", "p.q.near", "p.up.thing", "typing.TYPE_CHECKING", "f", "g", "in_class")
    }
    assert module.late == {"late.one", "late.two"} and module.types == {"d.E"}
    package = architecture.read_module("p.q", "from . import near\nfrom .. import far", True)
    assert package.top == {"p.q.near", "p.far"}


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(edges) == [["d", "e"], ["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_picture_is_that_of_the_code() -> None:
    drawn = architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == architecture.picture(MODULES), "type python docs/architecture.py"
    for name, _ in architecture.WAY:
        assert "/" in name or name.strip() in MAY_IMPORT
    order = architecture.from_below(architecture.imports_of_parts(MODULES))
    assert set(order) == {part for part in MAY_IMPORT if f"odyssey.{part}" in MODULES} - {
        "cli",
        "confirm",
        "__main__",
    }
