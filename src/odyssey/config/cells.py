"""What can be wrong with the class of a cell, above all a user's own.

Looking at it takes torch, which is imported here as late as can be.
"""

from __future__ import annotations

import importlib
import inspect
import json
import traceback
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from odyssey.cli_utils import see_current_folder
from odyssey.config.checks import shown
from odyssey.errors import did_you_mean, options

if TYPE_CHECKING:
    from odyssey.cells import Cell

OURS = "odyssey.cells."


def cell_mistakes(cfg: DictConfig, wrong: Collection[str] = ()) -> list[str]:
    """What is wrong with `cfg.cell`, and with running it on `model.backend`.

    wrong: keys whose values are known to be wrong, and so are kept from the class.
    """
    see_current_folder()
    found = _class(cfg.cell._target_)
    if isinstance(found, str):
        return [found]
    sentences = []
    forget_bias = cfg.cell.forget_bias
    if forget_bias is not None and found.forget_gate is None:
        sentences.append(
            f"cell.forget_bias={shown(forget_bias)} is without effect, since {found.__name__} has "
            "no forget gate: type cell.forget_bias=null"
        )
    given = OmegaConf.to_container(cfg.cell)
    assert isinstance(given, dict)
    if sentences or "cell.forget_bias" in wrong:
        given["forget_bias"] = None
    if any(k.startswith("cell.init") for k in wrong):
        given["init"] = {}
    ours = cfg.cell._target_.startswith(OURS)
    if ours or "model.hidden_size" not in wrong:
        # Our own cells are the same at any size.
        size = 2 if ours else cfg.model.hidden_size
        made = _made(found, json.dumps(given), size)  # type: ignore[arg-type]  # it is hashable
        if isinstance(made, str):
            sentences.append(made)
        else:
            sentences += _backend(made, cfg.model.backend)
    return sentences


def _class(target: str) -> type[Cell] | str:
    """The class by that name, or what is wrong with the name."""
    from odyssey import cells

    start = f"cell._target_={target}"
    module, _, name = target.rpartition(".")
    if not module or not name.isidentifier():
        return f"{start} is not module.Class: type my_cells.MyCell for class MyCell in my_cells.py"
    try:
        there = importlib.import_module(module)
    except Exception as error:  # whatever a user's file raises while it is read
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            return (
                f"{start} is not there: type a module that is installed, or put "
                f"{module.split('.')[0]}.py into the folder you start from"
            )
        return f"{start} is not importable: {_told(error)}"
    found = getattr(there, name, None)
    if isinstance(found, type) and issubclass(found, cells.Cell) and found is not cells.Cell:
        return found
    names = [
        k
        for k, v in vars(there).items()
        if isinstance(v, type) and issubclass(v, cells.Cell) and v is not cells.Cell
    ]
    if not names:
        return f"{start} is not a cell: type the name of a subclass of odyssey.cells.Cell"
    near = did_you_mean(name, names)
    return f"{start} is not a cell{near}: type {module}. and one of {options(names)}"


@cache
def _made(found: type[Cell], text: str, size: int) -> Cell | str:
    """A cell of H = `size`, or what its class says against it: wrong declaration, wrong options.

    text: the section `cell` as JSON, which can be remembered.
    """
    import torch

    from odyssey.cells import Init

    cell = json.loads(text)
    given = cell["options"]
    first: Exception | None = None
    # The number of inputs is not known before the data are read, and some cells may want H of them.
    for inputs in (size, size + 1):
        try:
            with torch.random.fork_rng(devices=[]):
                return found(
                    inputs,
                    size,
                    init=Init(**cell["init"]),
                    forget_bias=cell["forget_bias"],
                    **given,
                )
        except Exception as error:  # whatever a user's class raises
            first = first or error
    assert first is not None
    allowed = _options(found)
    for name in given:
        if f"unexpected keyword argument '{name}'" in str(first):
            wanted = f"type one of {options(allowed)}" if allowed else "leave it out"
            return (
                f"cell.options.{name}={shown(given[name])} is not an option of {found.__name__}"
                f"{did_you_mean(name, allowed)}: {wanted}"
            )
    set_to = " ".join(f"cell.options.{k}={shown(v)}" for k, v in given.items())
    return (
        f"cell._target_={cell['_target_']} is not usable{' with ' * bool(set_to)}{set_to}: "
        f"{_told(first)}"
    )


def _options(found: type[Cell]) -> list[str]:
    """The keyword arguments that the class adds to those of a cell."""
    from odyssey.cells import Cell

    base = inspect.signature(Cell.__init__).parameters
    names: set[str] = set()
    for kind in found.__mro__:
        if "__init__" in vars(kind) and issubclass(kind, Cell):
            own: Any = vars(kind)["__init__"]
            names |= {
                name
                for name, p in inspect.signature(own).parameters.items()
                if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and name not in base
            }
    return sorted(names)


def _told(error: Exception) -> str:
    """An exception of a user's file in one line, with where it came from."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    if frames and Path(frames[-1].filename).parent == Path(inspect.getfile(_cells())).parent:
        return said  # one of our own sentences about the declaration
    if not isinstance(error, (ValueError, ImportError)):
        said = f"{type(error).__name__}: {said}"
    here = Path.cwd()
    own = [f for f in frames if Path(f.filename).is_relative_to(here)] or list(frames)
    return f"{said} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else said


def _cells() -> Any:
    from odyssey import cells

    return cells


def _backend(cell: Cell, backend: str) -> list[str]:
    from odyssey.recurrence import backends, compiled

    can = ("auto", *backends(cell))
    if backend in can:
        return []
    if backend == "compiled":
        return [str(compiled.reason_against(cell))]
    return [
        f"model.backend={backend} is not possible with {type(cell).__name__}, since torch.nn has "
        f"no such cell: type one of {options(can)}"
    ]
