"""A figure of the report: once for the page (Plotly), once for a paper (matplotlib)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class Figure:
    key: str  # file name: "top10-box"
    title: str
    caption: str  # what is shown, how, what it cannot say
    traces: list[dict[str, Any]]  # Plotly; a point's `customdata` is the run's index in the page
    layout: dict[str, Any]
    draw: Callable[[], Canvas]  # made when called: 300 figures in memory are too many
