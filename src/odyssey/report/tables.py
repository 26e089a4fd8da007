"""A table of the report: values and how to show them, for the page and for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    name: str  # heading
    kind: str = "text"  # "text", "number", "integer", "share" (0 to 1), "p", "interval"
    help: str = ""  # what it means, a sentence
    digits: int = 3  # significant, of numbers and intervals


@dataclass(frozen=True)
class Table:
    """Cells are plain: text, numbers, None, `Interval`s."""

    key: str  # file name
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""  # what it can and cannot say
