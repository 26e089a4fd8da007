"""The hash of the code that computes the numbers."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import odyssey
from odyssey.code_hash import WITHOUT_NUMBERS, canonical, code_version, source_hash
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


def test_the_source_of_what_is_not_the_users_own_is_none() -> None:
    assert source_hash("odyssey.cells.LSTM") is None
    assert source_hash("torch.nn.LSTM") is None
    assert source_hash("fractions.Fraction") is None
    assert source_hash("no_such_module.Thing") is None
    assert source_hash("Thing") is None


def test_the_source_of_a_class_in_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative imports, imports of modules, imports in functions, cycles, changed attributes."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    files = {
        "own_lab/__init__.py": "",
        "own_lab/base.py": "from .more import scale\n\nclass Base:\n    k = scale(2)\n",
        "own_lab/more.py": "from . import base\n\ndef scale(x):\n    return x * 2\n\nZ = 1\n",
        "own_lab/late.py": "def go():\n    return 1\n",
        "own_tools.py": "def tool():\n    return 1\n",
        "own_part.py": (
            '"""A part."""\nimport own_tools\nfrom own_lab.base import Base\n\n'
            "class Part(Base):\n    def f(self):\n        from own_lab import late\n"
            "        return late.go() + own_tools.tool()\n\n"
            "class Other(Base):\n    x = 1\n\nPart.y = 3\n"
        ),
    }
    (tmp_path / "own_lab").mkdir()

    def found(**changed: tuple[str, str]) -> str | None:
        for name, text in files.items():
            old, new = changed.get(Path(name).stem, ("", ""))
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new) if old else text)
        return source_hash("own_part.Part")

    first = found()
    assert first is not None
    same = [
        found(own_part=("A part.", "Another word.")),
        found(own_part=("x = 1", "x = 2")),
        found(base=("\n\n", "\n# a comment\n\n")),
    ]
    assert set(same) == {first}
    others = [
        found(own_part=("y = 3", "y = 4")),
        found(own_part=("late.go() +", "late.go() -")),
        found(base=("scale(2)", "scale(3)")),
        found(more=("x * 2", "x * 3")),
        found(late=("return 1", "return 2")),
        found(own_tools=("return 1", "return 2")),
    ]
    assert len({first, *others}) == 7
    assert found() == first


def test_the_source_of_a_loaded_module_is_that_which_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "own_loaded.py"
    file.write_text("class Part:\n    x = 1\n")
    module = importlib.import_module("own_loaded")
    first = source_hash("own_loaded.Part")
    file.write_text("class Part:\n    x = 22\n")
    assert source_hash("own_loaded.Part") == first
    importlib.reload(module)
    assert source_hash("own_loaded.Part") != first


def test_a_class_of_a_script_has_the_source_that_it_has_as_a_module(tmp_path: Path) -> None:
    """With what it uses, as `python mine.py` and as `python -m mine` run it."""
    (tmp_path / "mine.py").write_text(
        "from odyssey.code_hash import source_hash\n"
        "FACTOR = 2\n"
        "class Mine:\n"
        "    factor = FACTOR\n"
        "if __name__ == '__main__':\n"
        "    print(source_hash('__main__.Mine'))\n"
    )
    as_module = "from odyssey.code_hash import source_hash; print(source_hash('mine.Mine'))"
    said = [
        subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=tmp_path, check=True
        ).stdout.strip()
        for words in (["mine.py"], ["-m", "mine"], ["-c", as_module])
    ]
    assert len(said[0]) == 64 and len(set(said)) == 1, said
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("= 2", "= 3"))
    changed = subprocess.run(
        [sys.executable, "mine.py"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert changed.stdout.strip() not in said
