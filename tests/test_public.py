"""What `import odyssey` gives, and what it takes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import odyssey

FILE = Path(odyssey.__file__)

IMPORT = """
import sys, time
before = set(sys.modules)
start = time.perf_counter()
import odyssey
taken = time.perf_counter() - start
assert odyssey.__version__ and "RNN" in dir(odyssey)
print(taken, *sorted(set(sys.modules) - before))
"""


def test_importing_it_loads_nothing_heavy_and_takes_no_time():
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, *loaded = done.stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"torch", "numpy", "hydra", "omegaconf"}
    assert [name for name in loaded if name.startswith("odyssey")] == ["odyssey"]
    assert float(taken) < 0.2


@pytest.mark.parametrize("name", odyssey._PUBLIC)
def test_a_public_name_is_what_its_module_has(name):
    value = getattr(odyssey, name)
    module = import_module(odyssey._PUBLIC[name])
    assert value is (module if module.__name__ == f"odyssey.{name}" else getattr(module, name))
    assert vars(odyssey)[name] is value, "looked up once"


def test_the_lists_of_names_are_the_same():
    """`__all__`, the table, and the imports that type checkers read."""
    assert set(odyssey.__all__) == {"__version__", *odyssey._PUBLIC}
    assert set(odyssey.__all__) <= set(dir(odyssey))
    typed = {}
    for node in ast.walk(ast.parse(FILE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                for alias in line.names:
                    typed[alias.name] = line.module
    assert typed.keys() == odyssey._PUBLIC.keys()
    del typed["study"]  # the package at run time, the function that a call of it calls to them
    for name, where in odyssey._PUBLIC.items() - {("study", "odyssey.study")}:
        assert where in (typed[name], f"{typed[name]}.{name}")


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'odyssey' has no attribute 'RNM'"):
        odyssey.RNM  # noqa: B018


def test_everything_can_be_imported_at_once():
    names: dict = {}
    exec("from odyssey import *", names)
    assert set(odyssey.__all__) <= names.keys()


def test_the_version_is_that_of_the_installation():
    assert odyssey.__version__ == version("rnn-odyssey")


API = ("odyssey.api.study.Comparisons", "odyssey.api.evaluation.Evaluation", "DictConfig")
USE = """
from odyssey import RNN, Cell, __version__, cells, compose, load, run, study

layer: RNN = RNN("lstm", 3, 4)
reveal_type(layer)
reveal_type(cells.LSTM(3, 4))
reveal_type(run)
reveal_type(__version__)
RNN("lstm", "three", 4)
reveal_type(study("outputs/first").compare())
reveal_type(load("outputs/first/a").evaluate("test"))
reveal_type(compose("cell=gru"))
"""


@pytest.mark.slow
def test_type_checkers_see_the_names(tmp_path):
    assert FILE.with_name("py.typed").exists()
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "use.py", "--follow-imports=silent"]
    env = {"PATH": "", "MYPYPATH": str(FILE.parents[1]), "MYPY_CACHE_DIR": os.devnull}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    for words in ("odyssey.nn.rnn.RNN", "odyssey.cells.lstm.LSTM", "def (cell: ", '"str"', *API):
        assert words in done.stdout, done.stdout + done.stderr
    assert "has incompatible type" in done.stdout and done.stdout.count("error:") == 1
