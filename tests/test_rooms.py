"""Who may know whom: each room imports those before it, and the way back is closed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import odyssey

SOURCE = Path(odyssey.__file__).parent
OPEN_TO_ALL = {"cli_utils", "code_hash", "errors", "io"}
MAY_IMPORT = {
    "cells": set(),
    "recurrence": {"cells"},
    "nn": {"cells", "recurrence"},  # of cells, the type alone
    "data": set(),
    "tasks": {"data", "config"},
    "config": {"cells", "recurrence", "data"},  # late, to look at a cell or a file
    "training": {"cells", "nn", "tasks", "config"},
    "study": {"training", "config"},
    "report": {"study", "config"},  # of these, what reads folders, and the schema
    "benchmark": {"cells", "recurrence", "nn", "tasks", "training", "config"},
}


def imports(file: Path) -> set[str]:
    """The rooms that a file of the package names, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {n.split(".")[1] for n in names if n.startswith("odyssey.")}


def test_every_room_is_known() -> None:
    assert {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name[0] != "_"} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_knows_only_the_rooms_before_it(room: str) -> None:
    allowed = MAY_IMPORT[room] | OPEN_TO_ALL | {room}
    for file in (SOURCE / room).rglob("*.py"):
        assert imports(file) <= allowed, (file.name, imports(file) - allowed)


def test_the_configuration_is_composed_without_torch() -> None:
    for file in (SOURCE / "config").glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in tree.body:  # at the top of a file; inside a function it may be
            if isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] not in ("torch", "numpy") for a in node.names)
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ("torch", "numpy")


def test_a_study_is_planned_and_looked_at_without_torch() -> None:
    for file in (SOURCE / "study").glob("*.py"):
        if file.name == "preload.py":  # which is there to import it
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("torch", "pytorch_lightning", "wandb", "optuna")


def test_a_report_is_made_without_torch_or_hydra() -> None:
    reading = {"arms", "files", "folders", "records", "shown"}
    for file in (SOURCE / "report").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                first, _, rest = name.partition(".")
                assert first not in ("torch", "pytorch_lightning", "hydra", "omegaconf"), file
                if rest.startswith("config"):
                    assert rest == "config.schema", (file, name)
                if rest.startswith("study"):
                    assert rest.removeprefix("study.") in reading, (file, name)


def test_the_schema_is_read_without_hydra() -> None:
    code = (
        "import sys, odyssey.config.schema;"
        "assert not {'torch', 'numpy', 'hydra', 'omegaconf'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
