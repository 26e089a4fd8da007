"""A key of the configuration with its line of documentation."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def key(default: Any, help: str) -> Any:
    """A dataclass field with the sentence that `--help` prints; a callable makes the default."""
    if callable(default):
        return field(default_factory=default, metadata={"help": help})
    return field(default=default, metadata={"help": help})
