"""What a reader should know of a comparison's runs before its numbers, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from odyssey.report.keys import matters, word
from odyssey.report.result import SEARCH, SINGLE, Comparison, Variant
from odyssey.report.runs import Run
from odyssey.study.shown import several

OPEN = ("missing", "interrupted", "running", "damaged")  # states without an end
MOST = 4  # kinds that a sentence counts


def facts(comparison: Comparison) -> list[str]:
    """Sentences on runs without a result, on chance, and on mixed code and hardware."""
    runs = comparison.runs
    return [
        *_endings(comparison),
        *_chance(comparison),
        *_mixed(runs, "code versions", lambda run: run.code[:12]),
        *_mixed(runs, "torch versions", lambda run: run.versions.get("torch", "")),
        *_mixed(runs, "devices", lambda run: run.device),
    ]


def _endings(comparison: Comparison) -> list[str]:
    runs = comparison.runs
    count = Counter(run.state for run in runs)
    found = []
    ended = count["finished"] + count["diverged"] + count["failed"]
    if not ended:
        found.append(f"No run has ended yet: there is nothing to compare ({_states(count)}).")
    elif not count["finished"]:
        found.append(f"No run has finished with a result: {_states(count)} of {len(runs)}.")
    elif any(count[state] for state in OPEN):
        rest = {state: count[state] for state in OPEN}
        found.append(f"{sum(rest.values())} of {len(runs)} runs have no result: {_states(rest)}.")
    if ended and count["finished"]:
        without = [v.label for v in comparison.variants if not _finished(v)]
        if without:
            found.append(f"No run of {_listed(without)} has finished with a result.")
    if to_come := sum(study.to_come for study in comparison.studies):
        found.append(f"{several(to_come, 'trial')} of an adaptive search are still to be proposed.")
    return found


def _chance(comparison: Comparison) -> list[str]:
    most = max(len(variant.runs) for variant in comparison.variants)
    if most == 1:
        return ["Each variant has one run: how much of a difference is chance cannot be told."]
    found = []
    if comparison.kind == SINGLE:
        found.append(
            "The runs of a variant have one configuration and one seed: how much of a difference "
            "is chance cannot be told."
        )
    if comparison.kind == SEARCH:
        once = [v.label for v in comparison.variants if _configurations(v) == 1]
        if once and len(once) < len(comparison.variants):
            found.append(
                f"{_listed(once)} {'has' if len(once) == 1 else 'have'} one configuration, where "
                "the others were searched: the best of many is compared with one."
            )
    return found


def _mixed(runs: Iterable[Run], what: str, of: Callable[[Run], str]) -> list[str]:
    count = Counter(of(run) for run in runs if run.done and of(run))
    if len(count) < 2:
        return []
    common = count.most_common(MOST)
    words = ", ".join(f"{value}: {several(n, 'run')}" for value, n in common)
    more = f" and {len(count) - MOST} more" if len(count) > MOST else ""
    return [f"The runs were made with {len(count)} {what} ({words}{more}), and are pooled."]


def _configurations(variant: Variant) -> int:
    return len(
        {
            tuple(sorted((k, word(v)) for k, v in run.config.items() if matters(k)))
            for run in variant.runs
            if run.config
        }
    )


def _finished(variant: Variant) -> bool:
    return any(run.state == "finished" for run in variant.runs)


def _states(count: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in count.items() if n)


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - MOST} more" if len(labels) > MOST else ""
    return ", ".join(labels[:MOST]) + more
