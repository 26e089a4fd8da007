"""Whether variants are a grid of two or more factors, and which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from odyssey.report.analysis.names import name_of_setting

LENGTH = "bptt.length"  # where null is the whole sequence


@dataclass(frozen=True)
class Factor:
    """What was varied, with its levels: in numeric order, or in the plan's."""

    keys: tuple[str, ...]  # settings that are set together; mostly one
    levels: tuple[str, ...]  # as shown: "gru", "32"
    reference: int  # place of the baseline's level
    numbers: tuple[float, ...] = ()  # of the levels, where all are numbers; inf for null

    @property
    def name(self) -> str:
        """In plain words."""
        return name_of_setting(",".join(self.keys))

    @property
    def others(self) -> list[int]:
        """The places of the levels without the reference."""
        return [place for place in range(len(self.levels)) if place != self.reference]


@dataclass(frozen=True)
class Grid:
    """Variants of which there is one for each combination of the factors' levels."""

    factors: tuple[Factor, ...]
    cells: tuple[str, ...]  # labels of the variants, the last factor fastest
    left_out: tuple[str, ...] = ()  # labels of variants outside the grid
    along: tuple[str, ...] = ()  # settings that the factors determine, in plain words

    @property
    def name(self) -> str:
        """`cell × hidden units`."""
        return " × ".join(factor.name for factor in self.factors)

    def cell(self, places: Sequence[int]) -> str:
        """The label of the variant at a place of each factor."""
        at = 0
        for factor, place in zip(self.factors, places, strict=True):
            at = at * len(factor.levels) + place
        return self.cells[at]


Column = dict[str, tuple[str, ...]]  # label of a variant -> its values of a factor's keys


def find_grid(
    settings: Mapping[str, Mapping[str, str]],
    baseline: str,
    together: Sequence[Sequence[str]] = (),
) -> Grid | None:
    """The grid that variants form, or the largest part found that is one; None without.

    settings: scientific parameters by the variants' labels, in the plan's order. together: keys
    that one axis of the plan sets. A setting without which the others still tell all variants apart
    is no factor, since it goes along with them: the one with most values first. Where combinations
    are missing, levels are left out, those first that lack most; never one of the baseline's. At
    least half of the variants have to be left.
    """
    if baseline not in settings:
        return None
    columns, along = _factors(settings, together)
    if len(columns) < 2:
        return None
    places = {label: tuple(c[label] for c in columns.values()) for label in settings}
    by_place = {place: label for label, place in places.items()}
    levels = [list(dict.fromkeys(c[label] for label in settings)) for c in columns.values()]
    _complete(levels, set(by_place), places[baseline])
    if sum(len(values) > 1 for values in levels) < 2:
        return None
    made = [
        _factor(keys, values, places[baseline][i])
        for i, (keys, values) in enumerate(zip(columns, levels, strict=True))
    ]
    cells = tuple(by_place[place] for place in product(*(ordered for _, ordered in made)))
    if 2 * len(cells) < len(settings):
        return None
    left_out = tuple(label for label in settings if label not in cells)
    factors = tuple(factor for factor, values in made if len(values) > 1)
    return Grid(factors, cells, left_out, along)


def _factors(
    settings: Mapping[str, Mapping[str, str]], together: Sequence[Sequence[str]]
) -> tuple[dict[tuple[str, ...], Column], tuple[str, ...]]:
    """The values of each factor by its keys, and the names of settings that go along."""
    keys = list(dict.fromkeys(key for own in settings.values() for key in own))
    varying = [k for k in keys if len({own.get(k, "") for own in settings.values()}) > 1]
    columns: dict[tuple[str, ...], Column] = {}
    for key in varying:
        joined = next((entry for entry in together if key in entry), (key,))
        group = tuple(k for k in varying if k in joined) or (key,)
        columns[group] = {
            label: tuple(own.get(k, "") for k in group) for label, own in settings.items()
        }
    along: list[str] = []
    while free := [g for g in columns if len(columns) > 1 and _distinct(columns, without=g)]:
        most = max(free, key=lambda g: (len(set(columns[g].values())), list(columns).index(g)))
        columns.pop(most)
        along.append(name_of_setting(",".join(most)))
    return columns, tuple(along)


def _distinct(columns: Mapping[tuple[str, ...], Column], without: tuple[str, ...]) -> bool:
    """Whether the other factors tell all variants apart."""
    rest = [column for keys, column in columns.items() if keys != without]
    labels = list(rest[0])
    return len({tuple(column[label] for column in rest) for label in labels}) == len(labels)


def _complete(
    levels: list[list[tuple[str, ...]]],
    present: set[tuple[tuple[str, ...], ...]],
    baseline: Sequence[tuple[str, ...]],
) -> None:
    """Take levels away, in place, until there is a variant of every combination."""

    def inside() -> list[tuple[tuple[str, ...], ...]]:
        return [p for p in present if all(v in own for v, own in zip(p, levels, strict=True))]

    while len(here := inside()) < math.prod(map(len, levels)):
        worst: tuple[float, int, tuple[str, ...]] | None = None
        for i, values in enumerate(levels):
            for value in values:
                if value == baseline[i]:
                    continue
                there = sum(place[i] == value for place in here)
                missing = math.prod(len(v) for j, v in enumerate(levels) if j != i) - there
                score = missing / there if there else math.inf
                if worst is None or score >= worst[0]:
                    worst = (score, i, value)
        assert worst is not None  # of the baseline's levels alone nothing is missing
        levels[worst[1]].remove(worst[2])


def _factor(
    keys: tuple[str, ...], values: Sequence[tuple[str, ...]], baseline: tuple[str, ...]
) -> tuple[Factor, list[tuple[str, ...]]]:
    """The factor, and its values in the order of its levels."""
    numbers = {value: _number(value[0]) for value in values}
    first = len({value[0] for value in values}) == len(values)  # the first key says which
    ordered = list(values)
    numeric = first and not any(math.isnan(n) for n in numbers.values())
    if numeric:
        ordered.sort(key=lambda value: numbers[value])
    shown = [_shown(keys[0], v[0]) if first else " ".join(filter(None, v)) for v in ordered]
    made = Factor(
        keys,
        tuple(shown),
        ordered.index(baseline),
        tuple(numbers[value] for value in ordered) if numeric else (),
    )
    return made, ordered


def _shown(key: str, value: str) -> str:
    if value == "null":
        return "whole" if key == LENGTH else "none"
    return value or "default"


def _number(text: str) -> float:
    """Of a level; inf for null, which sets no limit; nan for a word."""
    if text == "null":
        return math.inf
    try:
        found = float(text)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan
