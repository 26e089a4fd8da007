"""The YAML files of a run folder, which may come from somebody else."""

from __future__ import annotations

from typing import Any


def without_aliases(text: str) -> str:
    """The text. Raises yaml.YAMLError where it refers to parts of itself, as in `[*a, *a]`.

    Odyssey writes none, and a few lines of nested ones stand for gigabytes.
    """
    if "*" in text:  # else there is none, and most files need no second look
        import yaml  # type: ignore[import-untyped]

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise yaml.YAMLError("it has aliases, which Odyssey never writes")
    return text


def safe_load(text: str) -> Any:
    """The values of a YAML text without aliases. Raises yaml.YAMLError."""
    import yaml

    return yaml.safe_load(without_aliases(text))
