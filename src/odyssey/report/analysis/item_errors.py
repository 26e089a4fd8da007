"""How much of a difference is the choice of the test sequences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from odyssey.config.seeds import Seeds
from odyssey.report.analysis.result import SEEDS, Analysis, Outcome, Summary
from odyssey.report.io.item_files import RunItems, read_items
from odyssey.report.stats.items import ItemsError
from odyssey.study.formatting import several

MOST_NAMED = 3  # runs in a note


def items_errors(analysis: Analysis) -> tuple[dict[str, ItemsError], list[str]]:
    """For each variant but the baseline, what the test items leave open; and notes for the reader.

    Only where runs of the same seeds are pairs, and have test values.
    """
    paired = {v.variant for v in analysis.verdicts if v.decision.pairs is not None}
    if analysis.part != "test" or analysis.comparison.kind != SEEDS or not paired:
        return {}, []
    by_label = {s.variant.label: s for s in analysis.summaries}
    base = by_label[analysis.comparison.baseline]
    read = _read_all([base, *(by_label[label] for label in by_label if label in paired)])
    found = {}
    for label in by_label:
        if label in paired:
            one = _error(_by_seeds(by_label[label]), _by_seeds(base), read, analysis.metric.name)
            if one is not None:
                found[label] = one
    return found, _notes(read)


Read = Mapping[tuple[str, str], RunItems | str]  # study and name of a run -> its items


def _read_all(summaries: Iterable[Summary]) -> dict[tuple[str, str], RunItems | str]:
    return {
        (o.run.study, o.run.name): read_items(o.run.path)
        for summary in summaries
        for o in summary.chosen
        if math.isfinite(o.test)
    }


def _by_seeds(summary: Summary) -> dict[Seeds, Outcome]:
    return {o.run.drawn_from: o for o in summary.chosen if math.isfinite(o.test)}


def _error(
    one: Mapping[Seeds, Outcome], base: Mapping[Seeds, Outcome], read: Read, metric: str
) -> ItemsError | None:
    """None where no pair of runs has the values of the same items.

    Each split has test items of its own; its differences are averaged over the pairs, item by item.
    """
    by_split: dict[int, list[tuple[RunItems, RunItems]]] = {}
    for seeds in one.keys() & base.keys():
        pair = [read[o.run.study, o.run.name] for o in (one[seeds], base[seeds])]
        if isinstance(pair[0], RunItems) and isinstance(pair[1], RunItems):
            by_split.setdefault(seeds.split, []).append((pair[0], pair[1]))
    parts = []
    for pairs in by_split.values():
        usable = [p for p in pairs if _comparable(p, pairs[0][0], metric)]
        if usable and len(usable[0][0].items) > 1:
            each = np.mean([a.values[metric] - b.values[metric] for a, b in usable], axis=0)
            parts.append((len(usable), len(each), float(each.mean()), float(each.var(ddof=1))))
    if not parts:
        return None
    count = sum(runs for runs, *_ in parts)
    squared = sum((runs / count) ** 2 * variance / n for runs, n, _, variance in parts)
    return ItemsError(
        difference=sum(runs * mean for runs, _, mean, _ in parts) / count,
        error=math.sqrt(squared),
        items=sum(n for _, n, *_ in parts),
        pairs=count,
        segment=next(iter(by_split.values()))[0][0].segment,
    )


def _comparable(pair: tuple[RunItems, RunItems], first: RunItems, metric: str) -> bool:
    return all(
        metric in own.values
        and own.segment == first.segment
        and np.array_equal(own.items, first.items)
        for own in pair
    )


def _notes(read: Read) -> list[str]:
    """A sentence on runs without values of their test items, where others have them."""
    count = Counter(found if isinstance(found, str) else "read" for found in read.values())
    notes = []
    for what, why in (("missing", "no"), ("damaged", "damaged")):
        if count[what] and (count["read"] or what == "damaged"):
            names = [name for (_, name), found in read.items() if found == what]
            have = "has" if len(names) == 1 else "have"
            notes.append(
                f"{several(count[what], 'run')} {have} {why} values of single test sequences "
                f"({_join(names)}): what their choice leaves open is taken from the others."
            )
    return notes


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
