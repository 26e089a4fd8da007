"""Reading what a hand may have changed: plain bytes of plain files, values of the right kind."""

from __future__ import annotations

import math
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from odyssey.report.io.runs import Series
from odyssey.study.formatting import words

NOT_FINITE = ("nan", "inf", "-inf")  # numbers that JSON has not, as run.json writes them
LARGEST_INT = 2**53  # whole numbers beyond this are no counts, and no column of a table holds them


def read_bytes(file: Path) -> bytes:
    """What a plain file holds. Raises OSError where there is none."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe must not hold us
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{file} is not a plain file")
        return stream.read()


def as_number(value: Any) -> float:
    """A number of run.json; nan for what is none, such as true or a word."""
    if isinstance(value, str):
        return float(value) if value in NOT_FINITE else math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def as_int(value: Any) -> int | None:
    """A whole number, or None; true is none."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_INT:
        return None
    return value


def as_text(value: Any) -> str:
    """A text that can be written to a file; empty for None."""
    if value is None:
        return ""
    found = str(value)
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


POINTS = 40  # of a curve that are kept: a figure of many runs shows no more
CURVE_LINE = re.compile(rb"^([^,\n]*),[^,\n]*,(valid/[^,\n]*|train/loss),([^,\n]*),[^,\n]*$", re.M)
COMPLETE_LINE = re.compile(rb"^[^,\n]*(?:,[^,\n]*){4}$", re.M)


def read_curves(file: Path, most: int = POINTS) -> tuple[dict[str, Series], int]:
    """Validation metrics and training loss against updates, and how many lines are damaged.

    Each has at most `most` points, evenly chosen, the first and the last among them. A value that
    is not finite stays what it is. Of two lines on one update the later counts.
    """
    try:
        content = read_bytes(file)
    except OSError:
        return {}, 0
    damaged = _count_damaged(content)
    found: dict[str, dict[float, float]] = {}
    for step, name, value in CURVE_LINE.findall(content):
        try:
            at, is_ = float(step), float(value)
            key = name.decode()
        except ValueError:
            damaged += 1
            continue
        if math.isfinite(at):
            found.setdefault(key, {})[at] = is_
        else:
            damaged += 1
    return {name: thin(points, most) for name, points in found.items()}, damaged


def _count_damaged(content: bytes) -> int:
    """How many lines do not have five fields; a last one that was cut short is one."""
    if not content:
        return 0
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    if content.count(b",") == 4 * lines and content.endswith(b"\n"):
        return 0
    filled = len([line for line in content.split(b"\n") if line.strip()])
    return filled - len(COMPLETE_LINE.findall(content))


def thin(points: dict[float, float], most: int = POINTS) -> Series:
    """So many points at most, evenly over the steps, the first and the last among them."""
    steps = sorted(points)
    if len(steps) > most:
        last = len(steps) - 1
        steps = [steps[round(i * last / (most - 1))] for i in range(most)]
    return steps, [points[step] for step in steps]


SECTION = re.compile(r"^(?=[^\s#-])", re.M)  # where a section begins
# As OmegaConf reads numbers: 1e-5 is one, which YAML 1.1 takes for a word.
EXPONENT = re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$")

NESTING = re.compile(r"[\[{]|[-?] ")  # what may open a level
MOST_NESTING = 1000  # libyaml ends the process on some ten thousand levels


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values alone: no dates, which no setting is."""


Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
    for first, rules in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def read_settings(file: Path) -> dict[str, Any] | None:
    """Flat keys (`optimizer.lr`) -> values; None where the file is absent or no configuration."""
    try:
        content = read_bytes(file).decode("utf-8-sig")
    except (OSError, ValueError):
        return None
    if len(NESTING.findall(content)) > MOST_NESTING:
        return None
    # The runs of a study share most sections word by word, and YAML is slow.
    found: dict[str, Any] = {}
    for section in SECTION.split(content):
        if not section.strip():
            continue
        part = _parse(section)
        if part is None:
            return _parse(content)
        found |= part
    return found or None


@lru_cache(maxsize=2048)
def _parse(content: str) -> dict[str, Any] | None:
    try:
        found = yaml.load(content, Loader)  # noqa: S506 - a safe loader
        return dict(_flatten(found, "")) if isinstance(found, dict) and found else None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _flatten(section: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        key = prefix + as_text(name)
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {as_text(k): _plain(v) for k, v in value.items()}
    return as_text(value)


ADDED = re.compile(r"^\++")  # Hydra's signs for a key that is added


def command_line(overrides: str) -> str:
    """The command of a line of overrides, as trials.csv has it."""
    return f"python train.py {as_text(overrides)}".strip()


def read_command(file: Path) -> str:
    """The command of an overrides.yaml; empty where there is none that can be read."""
    try:
        content = read_bytes(file).decode("utf-8-sig")
        if len(NESTING.findall(content)) > MOST_NESTING:
            return ""
        found = yaml.load(content, Loader)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ""
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return ""
    return command_line(shlex.join(found))


def parse_overrides(line: str) -> dict[str, str]:
    """Key -> value of each word `key=value`: of an arm's label, or of a line of overrides."""
    split = [ADDED.sub("", word).partition("=") for word in words(as_text(line))]
    return {key: value for key, equals, value in split if equals and key}
