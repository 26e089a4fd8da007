"""Choosing a source by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from odyssey.errors import UserError, did_you_mean, options

S = TypeVar("S")


def choose(name: str, sources: Mapping[str, S]) -> S:
    """The source called `name`; a UserError with the options if there is none."""
    if name not in sources:
        hint = did_you_mean(name, sources)
        raise UserError(f"task.data={name} is not a data set here{hint}; use {options(sources)}")
    return sources[name]
