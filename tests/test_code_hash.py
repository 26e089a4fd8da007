"""The hash of the code that computes the numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import odyssey
from odyssey.code_hash import WITHOUT_NUMBERS, canonical, code_version
from run_kit import folder, record, train

ASK = """
import json, sys
from odyssey.code_hash import code_version
print(json.dumps(code_version()))
assert not {"torch", "hydra", "omegaconf"} & set(sys.modules)
"""


def said(root: Path) -> dict[str, str]:
    """What a copy of the package in `root` says of itself, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_changes_with_what_computes_numbers_and_with_nothing_else(tmp_path: Path) -> None:
    assert odyssey.__file__ is not None
    package = tmp_path / "odyssey"
    shutil.copytree(
        Path(odyssey.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    first = said(tmp_path)
    assert first["sha256"] == code_version()["sha256"]  # the same sources in another place
    assert first["torch"] == version("torch")

    (package / "report.py").write_text("x = 1\n")
    (package / "config" / "overrides.py").open("a").write("x = 1\n")
    (package / "training" / "console.py").open("a").write("x = 1\n")
    gru, moved = package / "cells" / "gru.py", package / "cells" / "gated.py"
    text = gru.read_text()
    gru.write_text(text.replace('"""', '"""In other words: ', 1) + "\n\n# and a comment\n")
    header = next((package / "recurrence").rglob("*.h"))
    header.write_text("/* a comment */\n" + header.read_text())
    assert said(tmp_path) == first

    seen = {first["sha256"]}
    gru.write_text(text + "\n\nONE = 1\n")
    seen.add(said(tmp_path)["sha256"])
    gru.write_text(text)
    assert said(tmp_path) == first
    gru.rename(moved)
    seen.add(said(tmp_path)["sha256"])
    (package / "training" / "more.py").touch()
    seen.add(said(tmp_path)["sha256"])
    header.write_text(header.read_text() + "int more;\n")
    seen.add(said(tmp_path)["sha256"])
    assert len(seen) == 5


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("x = 1  # one", "x=1", True),
        ('def f():\n    """A."""\n    return 1', 'def f():\n    """B."""\n\n    return (1)', True),
        ('class A:\n    x = 1\n    "what x is"', "class A:\n    x = 1", True),
        ('x = "a"', "x = 'a'", True),
        ('x = "a"', 'x = "b"', False),
        ('def f():\n    return "A"', 'def f():\n    return "B"', False),
        ("f(a, b=1)", "f(a, c=1)", False),
        ("x: int = 1", "x: float = 1", False),
        ("a + b - c", "a + (b - c)", False),
        ("lambda a, b: a", "lambda b, a: a", False),
        ("[a]", "(a,)", False),
        ("f([a, b])", "f([a], [b])", False),
        ("if a:\n    b\nc", "if a:\n    b\n    c", False),
        ("if a:\n    b\nelse:\n    c", "if a:\n    b\n    c", False),
        ("{a: b, **c}", "{a: b, c: c}", False),
        ("x = None", "x = ...", False),
        ("x = 1", "x = 1.0", False),
        ("def f(a, *, b=None): pass", "def f(a, b=None): pass", False),
        ("def f(a=None, b=1): pass", "def f(a, b=1): pass", False),
    ],
)
def test_code_is_the_same_but_for_comments_docstrings_and_formatting(
    one: str, other: str, same: bool
) -> None:
    assert (canonical(one) == canonical(other)) is same


def test_files_named_as_without_numbers_are_there() -> None:
    assert odyssey.__file__ is not None
    root = Path(odyssey.__file__).parent
    for name in WITHOUT_NUMBERS:
        assert (root / name).is_file(), name


def test_a_run_records_it(tmp_path: Path) -> None:
    assert train(tmp_path, "trainer.max_steps=1", "task.data=hello") == 0
    assert record(folder(tmp_path))["code"] == code_version()
