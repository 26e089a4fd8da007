"""Reading the files of one run folder: config.yaml, metrics.csv and overrides.yaml.

The files may be damaged or edited by hand. Nothing here raises for what is in them: a value of
the wrong kind is taken as not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from odyssey.cli_utils import typed_as
from odyssey.io import read_bytes, read_text
from odyssey.report.io.runs import Series
from odyssey.study.formatting import as_command, words
from odyssey.yaml_text import without_aliases

LARGEST_INT = 2**53  # larger integers are no counts, and do not fit the columns of a table


def as_int(value: Any) -> int | None:
    """An integer, also from a float without fraction; None for anything else, and for bool."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_INT:
        return None
    return value


def as_text(value: Any) -> str:
    """A string that can be encoded as UTF-8; empty for None."""
    if value is None:
        return ""
    found = str(value)
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


# --- metrics.csv: step, epoch, name, value, time ---

POINTS = 40  # kept of each curve; a figure of many runs shows no more
CURVE_LINE = re.compile(rb"^([^,\n]*),[^,\n]*,(valid/[^,\n]*|train/loss),([^,\n]*),[^,\n]*$", re.M)
COMPLETE_LINE = re.compile(rb"^[^,\n]*(?:,[^,\n]*){4}$", re.M)


def read_curves(file: Path, most: int = POINTS) -> tuple[dict[str, Series], int]:
    """Learning curves of validation metrics and training loss, and the number of damaged lines.

    Each curve has at most `most` points, evenly spaced, including the first and the last. Values
    may be nan or infinite. Of two values at one step the later counts.
    """
    try:
        content, _ = read_bytes(file)
    except OSError:
        return {}, 0
    damaged = _count_damaged(content)
    found: dict[str, dict[float, float]] = {}
    for step, name, value in CURVE_LINE.findall(content):
        try:
            x, y, key = float(step), float(value), name.decode()
        except ValueError:
            damaged += 1
            continue
        if math.isfinite(x):
            found.setdefault(key, {})[x] = y
        else:
            damaged += 1
    return {name: thin(points, most) for name, points in found.items()}, damaged


def _count_damaged(content: bytes) -> int:
    """Number of lines that do not have five fields, such as a last one that was cut short."""
    if not content:
        return 0
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    if content.count(b",") == 4 * lines and content.endswith(b"\n"):
        return 0
    not_blank = len([line for line in content.split(b"\n") if line.strip()])
    return not_blank - len(COMPLETE_LINE.findall(content))


def thin(points: Mapping[float, float], most: int = POINTS) -> Series:
    """At most `most` of the points (step -> value), evenly spaced, with the first and the last."""
    steps = sorted(points)
    if len(steps) > most:
        last = len(steps) - 1
        steps = [steps[round(i * last / (most - 1))] for i in range(most)]
    return steps, [points[step] for step in steps]


# --- config.yaml ---

SECTION = re.compile(r"^(?=[^\s#-])", re.M)  # where a top-level key begins
# OmegaConf reads 1e-5 as a number; in YAML 1.1 it would be a string.
EXPONENT = re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$")


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that reads numbers as OmegaConf does, and dates as strings."""


Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
    for first, rules in Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def read_settings(file: Path) -> dict[str, Any] | None:
    """Flat keys (`optimizer.lr`) -> values; None where there is no readable configuration."""
    try:
        content, _ = read_text(file)
    except (OSError, ValueError):
        return None
    # Most sections are the same text in all runs of a study, and parsing YAML is slow: each
    # section is parsed by itself and cached.
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
        found = yaml.load(without_aliases(content), Loader)  # noqa: S506 - a safe loader
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
    """The value in types that JSON has."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {as_text(k): _plain(v) for k, v in value.items()}
    return as_text(value)


# --- overrides.yaml, and overrides in trials.csv ---

ADDED = re.compile(r"^\++")  # Hydra's prefix of a key that is added


def command_line(overrides: str) -> str:
    """The command that runs with `overrides`, a line as in trials.csv."""
    return f"{typed_as('train')} {as_command(words(as_text(overrides)))}".strip()


def read_command(file: Path) -> str:
    """The command of an overrides.yaml; empty where it cannot be read."""
    try:
        content, _ = read_text(file)
        found = yaml.load(without_aliases(content), Loader)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ""
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return ""
    return f"{typed_as('train')} {as_command(map(as_text, found))}".strip()


def parse_overrides(line: str) -> dict[str, str]:
    """Key -> value of each override `key=value` in a line, or in the label of a variant."""
    split = [ADDED.sub("", word).partition("=") for word in words(as_text(line))]
    return {key: value for key, equals, value in split if equals and key}
