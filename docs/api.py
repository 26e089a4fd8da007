"""Writes docs/api.md from the docstrings of what is public: `python docs/api.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import odyssey

PAGE = Path(__file__).parent / "api.md"
HEAD = """# Reference

What `import odyssey` offers, made from its docstrings by `python docs/api.py`. Everything else is
private and may change. The examples run as tests.
"""


def page() -> str:
    """The whole page."""
    # Its first line, with the package's name before a colon, reads like an argument's.
    parts = [HEAD, *(line.removeprefix("- ") for line in _text(odyssey))]
    for name in odyssey.__all__:
        if not name.startswith("__"):
            parts += _entry(f"odyssey.{name}", getattr(odyssey, name))
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str, thing: Any) -> Iterator[str]:
    """A class with its methods and properties, a function, or a module."""
    yield f"\n## {name}\n"
    if inspect.ismodule(thing):
        yield from _text(thing)
        public = [(n, v) for n, v in vars(thing).items() if n in getattr(thing, "__all__", ())]
        for other, value in sorted(public):
            if inspect.isclass(value):
                yield f"- `{other}`: {_first(value)}"
        return
    yield from _signature(name, thing)
    yield from _text(thing)
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for other, value in vars(thing).items():
            if not other.startswith("_") and _is_of_interest(value):
                yield f"\n### {name.removeprefix('odyssey.')}.{other}\n"
                inner = getattr(value, "__func__", value)
                if isinstance(value, (property, cached_property)):
                    inner = value.fget if isinstance(value, property) else value.func
                else:
                    yield from _signature(other, inner)
                yield from _text(inner)


def _is_of_interest(value: Any) -> bool:
    kinds = (property, cached_property, classmethod, staticmethod)
    return inspect.isfunction(value) or isinstance(value, kinds)


def _signature(name: str, thing: Any) -> Iterator[str]:
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return
    signature = re.sub(r"\((?:self|cls)(?:, )?", "(", signature)
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations kept as text
    call = f"{name.removeprefix('odyssey.')}{signature}"
    if len(call) > 88:  # an argument a line
        inside, _, after = signature[1:].rpartition(")")
        arguments = re.split(r", (?![^\[({]*[\])}])", inside)
        lines = "".join(f"    {argument},\n" for argument in arguments)
        call = f"{name.removeprefix('odyssey.')}(\n{lines}){after}"
    yield f"```python\n{call}\n```\n"


ARGUMENT = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*): ")


def _text(thing: Any) -> Iterator[str]:
    """A docstring: examples as code, explained arguments as a list, the rest as it is."""
    text = inspect.getdoc(thing) or ""
    # Sections of Google's style: their head in bold, their content not indented.
    for head in ("Args", "Example", "Examples", "Returns", "Raises"):
        found = re.search(rf"^{head}:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
        if found:
            inner = inspect.cleandoc("\n" + found[1])
            title = {"Args": "Arguments", "Example": "Example", "Examples": "Examples"}.get(
                head, head
            )
            text = text[: found.start()] + f"**{title}**\n\n{inner}\n\n" + text[found.end() :]
    for paragraph in filter(None, (p.strip("\n") for p in text.split("\n\n"))):
        lines = paragraph.split("\n")
        if lines[0].lstrip().startswith(">>>"):
            yield "```pycon\n" + inspect.cleandoc("\n" + paragraph) + "\n```\n"
        elif all(ARGUMENT.match(line) or line[0] == " " for line in lines):
            for line in lines:
                yield ARGUMENT.sub(r"- `\1`: ", line)
            yield ""
        else:
            yield paragraph + "\n"


def _first(thing: Any) -> str:
    """The first sentence of a docstring."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.)]) (?=[A-Z])", text)[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote docs/{PAGE.name}")
