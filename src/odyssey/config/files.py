"""What is wrong with a file of conf/, which may be one of the user's own."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]

from odyssey.config.keys import choices, hint
from odyssey.errors import did_you_mean, options

# What Hydra raises for a file; OSError where it holds a bare number.
MISTAKES = (HydraException, OmegaConfBaseException, YAMLError, OSError)


def file_mistake(group: str, name: str, error: BaseException) -> str:
    """The sentence for a choice whose file cannot be used."""
    path = f"conf/{group}/{name}.yaml"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place = f"conf/{group}/{Path(mark.name).name}, line {mark.line + 1}"
        return f"{group}={name} is not readable as YAML: mend {place} ({error.problem})"
    text = str(error)
    start = f"{group}={name} is not usable: mend {path}, "
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        other, _, wanted = error.missing_cfg_file.rpartition("/")
        names = choices(other)
        near = did_you_mean(wanted, names)
        return f"{start}which chooses {other}={wanted}{near}; there are {options(names)}"
    key = _full_key(text)
    if match := re.search(r"Key '(.+)' not in", text):
        key = key or match.group(1)
        return f"{start}which sets {key}, and that is not an option{hint(key)}"
    if match := re.search(r"Could not override '(.+?)'", text):
        if "@" in match.group(1):
            return f"{start}whose first line must be `# @package _global_`"
        return f"{start}which overrides {match.group(1)}, and that is not a group"
    if key and (match := re.search(r"Value '(.*)' of type .* converted to", text)):
        return f"{start}which sets {key} to {match.group(1)}, and that is not of its type"
    return f"{start}since {' '.join(_lines(text)[:2])}"


def clash(group: str, name: str, earlier: str, error: BaseException) -> str:
    """The sentence for a choice that does not go with `earlier`, another one (`group=name`)."""
    key = _full_key(str(error))
    sets = f", since one of them sets {key} and the other has no such key" if key else ""
    return f"{group}={name} is not possible with {earlier}{sets}: type one of the two alone"


def _full_key(text: str) -> str:
    found = re.search(r"full_key: (\S+)", text)
    return found.group(1) if found else ""


def _lines(text: str) -> list[str]:
    """Without the head that Hydra puts before the cause."""
    return [line for line in text.splitlines() if "raised while composing" not in line]
