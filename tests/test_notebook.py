"""`docs/notebook.ipynb` runs, uses every public name, and its progress bars are a notebook's."""

from __future__ import annotations

import ast
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import odyssey
from odyssey import bars
from run_kit import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_has_no_outputs() -> None:
    assert all(not c["outputs"] and c["execution_count"] is None for c in CELLS if "outputs" in c)


def test_it_uses_every_public_name() -> None:
    used = {
        node.attr
        for code in CODE
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "odyssey"
    }
    assert used == set(odyssey.__all__)


def test_it_uses_every_public_name_of_a_run_and_a_study() -> None:
    whole = "\n".join(CODE)
    for kind in (odyssey.Run, odyssey.Study):
        for name in vars(kind):
            if not name.startswith("_") and name != "state":
                assert f".{name}" in whole, name


def show(value: Any) -> str:
    """As a notebook shows the last value of a cell."""
    for name in ("_repr_html_", "_repr_png_"):
        if hasattr(value, name) and (found := getattr(value, name)()):
            return str(found)[:200]
    return repr(value)


@pytest.mark.slow
def test_its_cells_run_one_after_the_other() -> None:
    """In this process, as a kernel would."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(CODE):
        tree, where = ast.parse(code), f"cell {number}"
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, where, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
            assert value is None or show(value), code


@pytest.mark.slow
def test_it_runs_in_a_real_kernel() -> None:
    """Where Jupyter is installed, which is no dependency."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    data = [o["data"] for o in outputs if "data" in o]
    assert sum("text/html" in d for d in data) >= 8 and any("image/png" in d for d in data)
    widgets = [d for d in data if "application/vnd.jupyter.widget-view+json" in d]
    assert bool(widgets) == (find_spec("ipywidgets") is not None)
    assert not any("Warning" in str(o.get("text", "")) for o in outputs)


# -- progress bars -------------------------------------------------------------------------------


class Recorded:
    """A bar that keeps what it is told."""

    made: list[Recorded] = []

    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.total = options, options.get("initial", 0), options["total"]
        self.made.append(self)

    def update(self, n: int = 1) -> None:
        self.n += n

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def test_training_draws_the_notebooks_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "notebook_bar", lambda: Recorded)
    monkeypatch.setattr(Recorded, "made", [])
    words = "task=charlm task.data=hello trainer.max_epochs=3 logger.mode=disabled"
    odyssey.train(f"{words} model.hidden_size=4 output_dir={tmp_path}")
    (bar,) = Recorded.made
    assert bar.n == bar.total == 3 and bar.options["disable"] is False
    assert "file" not in bar.options
    odyssey.train(f"{words} model.hidden_size=5 output_dir={tmp_path} trainer.progress_bar=false")
    assert Recorded.made[1].options["disable"] is True


def test_which_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from tqdm import tqdm

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert bars.notebook_bar() is None
    for shell in (None, SimpleNamespace()):  # no shell runs; IPython in a terminal
        fake = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", fake)
        assert bars.notebook_bar() is None
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setattr(bars, "find_spec", lambda name: None)
    assert bars.notebook_bar() is None  # a kernel without ipywidgets
    bar = bars.new_bar(total=3, disable=None)
    assert type(bar) is tqdm and bar.disable  # the tests' standard error is no terminal
