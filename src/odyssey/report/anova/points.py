"""Configurations with outcomes as coordinates: what cannot be measured is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from odyssey.report.anova.axes import Axis
from odyssey.report.anova.forest import Floats

ROUNDING = 1e-4  # of a coordinate: values are written with a few digits


@dataclass(frozen=True)
class Points:
    """Different configurations and the mean outcome of each.

    axes: those that vary; choices by their mean outcome. shown: the same, choices in the order
    given. Choices without a point are left out of both.
    unit: (configurations, axes), coordinates. used: points that are in it. notes: what is not.
    """

    axes: tuple[Axis, ...]
    shown: tuple[Axis, ...]
    unit: Floats
    outcome: Floats
    used: int
    notes: tuple[str, ...]


def read_points(
    axes: Sequence[Axis], points: Sequence[Mapping[str, Any]], outcome: Floats
) -> Points:
    """The points as a forest needs them. The outcomes are finite."""
    notes: list[str] = []
    values = [[axis.of(point) for point in points] for axis in axes]
    unit = np.array([a.to_unit(v) for a, v in zip(axes, values, strict=True)])
    unit = unit.reshape(len(axes), len(points))
    inside = (unit >= -ROUNDING) & (unit <= 1 + ROUNDING)  # nan is not
    good = np.atleast_1d(inside.all(axis=0))
    if not good.all():
        lost = [axis.name for axis, held in zip(axes, inside, strict=True) if not held.all()]
        notes.append(
            f"{(~good).sum()} of {len(points)} points are left out: there {', '.join(lost)} has "
            "no value, or one that was not searched"
        )
    y = outcome[good]
    used, shown, columns = [], [], []
    for axis, given, u in zip(axes, values, unit, strict=True):
        u = u[good]
        if not len(u):
            continue
        if np.ptp(u) == 0:
            notes.append(f"there is only one value of {axis.name}")
            continue
        ranked = axis
        if axis.kind == "choice":
            axis, ranked = _by_mean(axis, u, y, notes)
            u = ranked.to_unit(value for value, kept in zip(given, good, strict=True) if kept)
        shown.append(axis)
        used.append(ranked)
        columns.append(u)
    rows = np.array(columns).reshape(len(used), len(y)).T
    merged, mean = _merged(rows, y)
    if len(mean) < len(y) and used:
        notes.append(f"{len(y)} points are {len(mean)} configurations, each with its mean outcome")
    return Points(tuple(used), tuple(shown), merged, mean, len(y), tuple(notes))


def _by_mean(axis: Axis, unit: Floats, outcome: Floats, notes: list[str]) -> tuple[Axis, Axis]:
    """A choice among those values that have points: as given, and by their mean outcome.

    The best of all ways to put the values in two parts is a split in that order (Fisher 1958,
    "On grouping for maximum homogeneity").
    """
    places = np.floor(unit * len(axis.choices)).astype(int)
    means = {int(i): outcome[places == i].mean() for i in np.unique(places)}
    if unseen := [str(c) for i, c in enumerate(axis.choices) if i not in means]:
        notes.append(f"no point has {axis.name}={', '.join(unseen)}, which the shares leave out")
    ranked = sorted(means, key=lambda i: means[i])
    return (
        replace(axis, choices=tuple(axis.choices[i] for i in sorted(means))),
        replace(axis, choices=tuple(axis.choices[i] for i in ranked)),
    )


def _merged(unit: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """One row for each configuration, in order of appearance."""
    if not len(outcome):
        return unit, outcome
    _, first, which = np.unique(unit, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    mean = np.bincount(which, outcome) / np.bincount(which)
    order = np.argsort(first)
    return unit[first[order]], mean[order]
