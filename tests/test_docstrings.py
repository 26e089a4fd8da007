"""The examples in the docstrings of public names, run as they stand."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import odyssey

FINDER = doctest.DocTestFinder()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _documented() -> dict[str, object]:
    """The package and its public names; of each, its methods and functions are read too."""
    names = [name for name in odyssey.__all__ if not name.startswith("__")]
    return {"odyssey": odyssey, **{f"odyssey.{name}": getattr(odyssey, name) for name in names}}


DOCUMENTED = _documented()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_are_right(name):
    thing = DOCUMENTED[name]
    module = thing if inspect.ismodule(thing) else importlib.import_module(thing.__module__)
    examples = [e for e in FINDER.find(thing, name, module=module, globs={}) if e.examples]
    assert any(e.name == name for e in examples), "a public name shows how it is used"
    for example in examples:
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(example, out=said.append)
        assert runner.failures == 0, "".join(said)
