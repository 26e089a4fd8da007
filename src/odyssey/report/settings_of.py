"""The settings of a run as flat keys, from its config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from odyssey.report.reading import read_bytes, text

BLOCK = re.compile(r"^(?=[^\s#-])", re.M)  # where a section begins
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
    for section in BLOCK.split(content):
        if not section.strip():
            continue
        part = _parsed(section)
        if part is None:
            return _parsed(content)
        found |= part
    return found or None


@lru_cache(maxsize=2048)
def _parsed(content: str) -> dict[str, Any] | None:
    try:
        found = yaml.load(content, Loader)  # noqa: S506 - a safe loader
        return dict(_flat(found, "")) if isinstance(found, dict) and found else None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _flat(section: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        key = prefix + text(name)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{key}.")
        else:
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {text(k): _plain(v) for k, v in value.items()}
    return text(value)
