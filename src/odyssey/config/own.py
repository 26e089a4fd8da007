"""Parts of the user's own, named by `_target_=module.Name`: whether they are there, their options.

Each sentence names the key. A part's file is imported to look at it, with whatever that imports.
"""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from odyssey.cli_utils import see_current_folder
from odyssey.config.fields import as_typed
from odyssey.errors import did_you_mean, options


def find_part(
    key: str, target: str, what: str, is_one: Callable[[Any], bool], like: str, example: str
) -> Any:
    """The class or function `target`, or a sentence (str) that says what is wrong with its name.

    key: the option that names it, as cell._target_
    what: what it has to be, in a word or two, as `cell`
    is_one: whether an object is one
    like: what to type where a module has none, as `a subclass of odyssey.cells.Cell`
    example: what to type, with its explanation
    """
    start = f"{key}{' ' if key.startswith('--') else '='}{target}"
    a_what = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
    see_current_folder()
    module, _, name = target.rpartition(".")
    if not module or not name.isidentifier():
        return f"{start} is not module.Class: type {example}"
    try:
        there = importlib.import_module(module)
    except Exception as error:  # whatever a user's file raises while it is read
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            return (
                f"{start} is not there: type a module that is installed, or put "
                f"{module.split('.')[0]}.py into the folder you start from"
            )
        return f"{start} is not importable: {one_line(error)}"
    found = getattr(there, name, None)
    if found is not None and is_one(found):
        return found
    names = [k for k, v in vars(there).items() if not k.startswith("_") and is_one(v)]
    if not names:
        return f"{start} is not {a_what}: type {like}"
    near = did_you_mean(name, names)
    shown = names if len(names) <= 30 else [n for n in names if n[0] == name[:1]] or names[:30]
    return f"{start} is not {a_what}{near}: type {module}. and one of {options(shown)}"


def subclass_of(*bases: type) -> Callable[[Any], bool]:
    """Whether an object is a class derived from one of `bases`, and not one of these."""
    return lambda found: isinstance(found, type) and issubclass(found, bases) and found not in bases


def option_errors(
    prefix: str, kind: Any, given: Mapping[str, Any], taken: Collection[str] = ()
) -> Iterator[str]:
    """One sentence for each of `given` that `kind` does not take, and for each that it lacks.

    prefix: of the options' keys, as `callbacks.mine.`; taken: arguments that are given otherwise
    """
    parameters = {n: p for n, p in inspect.signature(kind).parameters.items() if n not in taken}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    of = kind.__name__ if isinstance(kind, type) else kind.__qualname__.partition(".")[0]
    named = [
        n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    for name, value in given.items():
        if name not in named and not takes_all:
            wanted = f"type one of {options(named)}" if named else "leave it out"
            yield (
                f"{prefix}{name}={typed(value)} is not an option of {of}"
                f"{did_you_mean(str(name), named)}: {wanted}"
            )
    for name in named:
        if parameters[name].default is inspect.Parameter.empty and name not in given:
            yield f"{prefix}{name} is not set: type {prefix}{name}= and a value"


def takes(kind: Any, name: str) -> bool:
    """Whether the class or function has an argument of that name."""
    parameters = inspect.signature(kind).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


def one_line(error: Exception) -> str:
    """An exception of a user's file in one line, with where it came from."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({Path(error.filename or '?').name}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    package = Path(__file__).parents[1]
    if frames and Path(frames[-1].filename).is_relative_to(package / "cells"):
        return message  # a sentence of Cell about the declaration
    if not isinstance(error, (ValueError, ImportError)):
        message = f"{type(error).__name__}: {message}"
    here = Path.cwd()
    own = [f for f in frames if Path(f.filename).is_relative_to(here)] or list(frames)
    return f"{message} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else message


def typed(value: Any) -> str:
    """A value as on the command line, sections too."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{typed(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    return as_typed(value)
