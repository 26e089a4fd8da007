"""Axes of figures: which part of the values is shown, round numbers, names of ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from odyssey.report.figures.marks import Axis, Tick

WHISKER = 3.0  # interquartile ranges beyond the quartiles that are still shown
FAR = 30.0  # usual spreads from the middle at which a whole group is not shown
PAD = 0.05  # of the height, above and below
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Extent:
    """The part of an axis that is shown. outside: the number of finite values beyond it."""

    low: float
    high: float
    outside: int = 0

    def edge(self, better: str) -> float:
        """The place of runs without a value: just inside the worse end. better: lower or higher."""
        pad = 0.02 * (self.high - self.low)
        return self.high - pad if better == "lower" else self.low + pad

    def axis(self, title: str) -> Axis:
        return Axis(title=title, limits=(self.low, self.high))

    @property
    def remark(self) -> str:
        """A sentence for the caption, after a space; nothing if all values are shown."""
        if not self.outside:
            return ""
        is_are = "value is" if self.outside == 1 else "values are"
        return f" {self.outside:,} far-off {is_are} outside the view."


def extent(groups: Iterable[Sequence[float]]) -> Extent | None:
    """Shows each group but for its far outliers; None where no value is finite.

    Far is what is far for the group and for all values together: one group with a wide spread does
    not flatten the others. A whole group is left out only where it is far from all others.
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
    return Extent(low - pad, high + pad, outside)


def _reach(group: np.ndarray, usual: float) -> tuple[float, float]:
    """The least and the largest shown value of a group. usual: interquartile range of all."""
    first, middle, third = np.percentile(group, [25, 50, 75])
    far = WHISKER * min(third - first, usual)
    low, high = max(first, middle - usual) - far, min(third, middle + usual) + far
    inside = group[(group >= low) & (group <= high)]
    # Of two or three values it can be that none is near their middle.
    return (inside.min(), inside.max()) if inside.size else (middle, middle)


def number_axis(title: str, low: float, high: float, *, log: bool, whole: bool = False) -> Axis:
    """From `low` to `high` with a little space at both ends; a log axis has its ticks named."""
    if log:
        space = (high / low) ** 0.03 if high > low else 1.5
        low, high = low / space, high * space
        return Axis(title=title, kind="log", limits=(low, high), ticks=log_ticks(low, high))
    space = 0.03 * (high - low) or 0.5
    return Axis(title=title, limits=(low - space, high + space), whole=whole)


def log_ticks(low: float, high: float) -> list[Tick]:
    """Powers of ten; with 2 and 5 between them where the axis spans less than a factor of 200."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 2, 5) if high / low < 200 else (1,)
    values = [d * 10.0**power for power in range(first, last + 1) for d in digits]
    return [Tick(at=v, name=short(v)) for v in values if low <= v <= high]


def in_two_lines(title: str) -> str:
    """A long title of an axis, parted at its semicolon."""
    return title.replace("; ", "\n") if len(title) > 36 else title


def category_axis(
    names: Sequence[str],
    *,
    title: str = "",
    bold: str = "",
    notes: Sequence[str] = (),
    note_colours: Sequence[str] = (),
    reverse: bool = False,
) -> Axis:
    """A name at each whole number from 0 on.

    bold: the name that is in bold. notes, note_colours: of the ticks, in their order. reverse: the
    first one is at the top, or at the right.
    """
    ticks = [
        Tick(
            at=i,
            name=name,
            bold=bool(bold) and name == bold,
            note=notes[i] if notes else "",
            note_colour=note_colours[i] if note_colours else None,
        )
        for i, name in enumerate(names)
    ]
    limits = (-0.6, len(names) - 0.4)
    return Axis(
        title=title, kind="categories", limits=limits, ticks=ticks, grid=False, reverse=reverse
    )


def short(value: float) -> str:
    """The name of a tick: `0.01`, `200`, `50k`, `10⁻⁵`, `2·10⁻⁵`."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        digits, _, power = f"{value:e}".partition("e")
        ten = "10" + str(int(power)).translate(POWERS)
        return ten if float(digits) == 1 else f"{float(digits):g}·{ten}"
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if size >= 1e4 else f"{value:g}"
