"""The YAML files of a run folder, which may come from somebody else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from odyssey.io import read_text

FLOW = re.compile(r"[\[{]")  # what opens a level anywhere
INDENT = re.compile(r"^ +", re.MULTILINE)  # in a block a level takes a column or more,
COMPACT = re.compile(r"(?:[-?] +)+")  # or one of these marks after another
MOST_NESTING = 1000  # libyaml aborts the process at some ten thousand levels


def without_aliases(text: str) -> str:
    """The text. Raises yaml.YAMLError where it refers to parts of itself, as in `[*a, *a]`.

    Odyssey writes none, and a few lines of nested ones stand for gigabytes. So it does where the
    text is nested more deeply than a configuration can be.
    """
    if _may_nest(text) > MOST_NESTING:
        import yaml  # type: ignore[import-untyped]

        raise yaml.YAMLError("it is nested too deeply")
    if "*" in text:  # else there is none, and most files need no second look
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise yaml.YAMLError("it has aliases, which Odyssey never writes")
    return text


def _may_nest(text: str) -> int:
    """No fewer than the levels of a text."""
    flow = len(FLOW.findall(text))
    return flow + sum(max(map(len, p.findall(text)), default=0) for p in (INDENT, COMPACT))


def read_values(file: Path) -> Any:
    """The values of a YAML file; None where it is not there or cannot be read."""
    import yaml

    try:
        return safe_load(read_text(file)[0])
    except (OSError, ValueError, yaml.YAMLError):
        return None


def safe_load(text: str) -> Any:
    """The values of a YAML text without aliases. Raises yaml.YAMLError, whatever is in it."""
    import yaml

    try:
        return yaml.safe_load(without_aliases(text))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:  # as of a 30 February
        raise yaml.YAMLError(str(error)) from None
