"""The package's cells by their names on the command line, without importing them.

Importing `odyssey.cells` imports torch, which takes seconds; composing a configuration and naming a
run need the names alone.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from odyssey.cli_utils import see_current_folder

PACKAGE = "odyssey.cells."


class CellEntry(NamedTuple):
    """A cell of the package: its class in odyssey.cells, and whether that has a forget gate."""

    kind: str
    forget_gate: bool = False


# In a wheel the files of conf/ are beside the package's own.
_PACKAGED = Path(__file__).parent / "conf"
CONF = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "conf"


def _read_cells() -> dict[str, CellEntry]:
    """Name -> entry, from the files of conf/cell/: one that sets a forget bias has that gate."""
    found = {}
    for file in sorted((CONF / "cell").glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        target = re.search(rf"^_target_: {re.escape(PACKAGE)}(\w+)$", text, re.MULTILINE)
        if target is not None:
            found[file.stem] = CellEntry(target[1], "\nforget_bias:" in text)
    return found


CELLS = _read_cells()
_NAMES = {entry.kind: name for name, entry in CELLS.items()}


def entry_of(target: str) -> CellEntry | None:
    """The entry of a class given as `module.Class`; None for one that is not the package's.

    A class is found by any of its addresses, as odyssey.cells.LSTM and odyssey.cells.lstm.LSTM.
    """
    kind = target.rpartition(".")[2]
    return CELLS[_NAMES[kind]] if target.startswith(PACKAGE) and kind in _NAMES else None


def cell_name(target: str) -> str:
    """The name of a cell in folders, tables and W&B, from its class as `module.Class`.

    The name on the command line for a cell of the package, as lstm; another class's own name in
    snake case, as my_cell for my_cells.MyCell.
    """
    kind = target.rpartition(".")[2]
    if entry_of(target) is not None:
        return _NAMES[kind]
    return snake_case(kind)


def snake_case(name: str) -> str:
    """`my_cell` for MyCell."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def plain(options: Any) -> dict[str, Any]:
    """A section of options, of OmegaConf or not, as a dict of plain values."""
    if hasattr(options, "_content"):  # OmegaConf's, which need not be imported
        from omegaconf import OmegaConf

        options = OmegaConf.to_container(options, resolve=True)
    return dict(options or {})


def load_class(target: str) -> Any:
    """The class `module.Class`, whose module may be a file in the current folder.

    Raises ImportError or AttributeError where there is none, and what the module raises.
    """
    see_current_folder()
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
