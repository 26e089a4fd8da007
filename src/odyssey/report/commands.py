"""The words of a run: the command that repeats it, and what tells its arm."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from odyssey.report.reading import read_bytes, text
from odyssey.report.settings_of import MOST_NESTING, NESTING, Loader
from odyssey.study.shown import words

PREFIX = re.compile(r"^\++")  # Hydra's signs for a key that is added


def command_of(overrides: str) -> str:
    """The command of a line of overrides, as trials.csv has it."""
    return f"python train.py {text(overrides)}".strip()


def command_in(file: Path) -> str:
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
    return command_of(shlex.join(found))


def pairs(line: str) -> dict[str, str]:
    """Key -> value of each word `key=value`: of an arm's label, or of a line of overrides."""
    split = [PREFIX.sub("", word).partition("=") for word in words(text(line))]
    return {key: value for key, equals, value in split if equals and key}
