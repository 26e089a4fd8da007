"""What part of an axis to show: all that the bulk of the points need, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WHISKER = 3.0  # interquartile ranges beyond the quartiles that still are in view
FAR = 30.0  # usual spreads from the middle at which a whole group is left out of view
PAD = 0.05  # of the height, above and below


@dataclass(frozen=True)
class Span:
    """The view of an axis. outside: finite values that are not in it."""

    low: float
    high: float
    outside: int = 0

    def edge(self, better: str) -> float:
        """Where lost runs are drawn: just inside the worse end."""
        pad = 0.02 * (self.high - self.low)
        return self.high - pad if better == "lower" else self.low + pad

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def limits(self) -> list[float]:
        """For Plotly."""
        return [float(f"{self.low:.5g}"), float(f"{self.high:.5g}")]

    @property
    def words(self) -> str:
        """A sentence for the caption, with a space before it; nothing if all is in view."""
        if not self.outside:
            return ""
        is_are = "value is" if self.outside == 1 else "values are"
        return f" {self.outside:,} far-off {is_are} outside the view."


def span(groups: Iterable[Sequence[float]]) -> Span | None:
    """The view that shows each group but for its far outliers; None where nothing is finite.

    Far is what is so for the group, and for all values together: one group that is scattered
    widely does not flatten the others. A group as a whole is left out only where it is far from
    all others.
    """
    found = [np.array([v for v in g if math.isfinite(v)], dtype=float) for g in groups]
    found = [g for g in found if g.size]
    if not found:
        return None
    usual = float(np.subtract(*np.percentile(np.concatenate(found), [75, 25])))
    reach = [_reach(g, usual) for g in found]
    centres = np.array([np.median(g) for g in found])
    spread = np.median([high - low for low, high in reach])
    spread += np.subtract(*np.percentile(centres, [75, 25]))
    near = np.abs(centres - np.median(centres)) <= FAR * spread
    if spread == 0 or not near.any():
        near[:] = True
    low = float(min(r[0] for r, n in zip(reach, near, strict=True) if n))
    high = float(max(r[1] for r, n in zip(reach, near, strict=True) if n))
    outside = int(sum(((g < low) | (g > high)).sum() for g in found))
    pad = PAD * (high - low) or abs(high) * PAD or 1.0
    return Span(low - pad, high + pad, outside)


def _reach(group: np.ndarray, usual: float) -> tuple[float, float]:
    """The least and the most value of a group that are shown. usual: interquartile range of all."""
    first, middle, third = np.percentile(group, [25, 50, 75])
    far = WHISKER * min(third - first, usual)
    low, high = max(first, middle - usual) - far, min(third, middle + usual) + far
    inside = group[(group >= low) & (group <= high)]
    # Of two or three values none need be near their middle.
    return (inside.min(), inside.max()) if inside.size else (middle, middle)
