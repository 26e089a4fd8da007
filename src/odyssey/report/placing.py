"""Which runs may be in one comparison: those of one task with its settings, data and metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.report.keys import (
    OF_DATA,
    compared_keys,
    is_planless,
    is_under,
    matters,
    said,
    searched_keys,
    word,
)
from odyssey.report.runs import Collection, Run, Study
from odyssey.study.shown import several

Configuration = tuple[tuple[str, str], ...]
WHY = {
    "damaged": "run.json is damaged",
    "missing": "they have not begun",
}


@dataclass(frozen=True)
class Context:
    """What the runs of a comparison share. A run that has not begun knows little of it."""

    task: str
    data: str = ""
    data_hash: str = ""
    monitor: str = ""
    mode: str = "min"
    settings: tuple[tuple[str, str], ...] = ()  # flat `task.…` keys -> values, in order


@dataclass
class Group:
    """The runs of a comparison, before they are told apart by variant."""

    context: Context
    runs: list[Run] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)


@dataclass
class Placed:
    groups: list[Group]  # largest first
    apart: dict[str, list[str]]  # study -> sentences on runs that are in no group


def place(collection: Collection) -> Placed:
    """The runs in groups that may be pooled, and sentences on those that are in none.

    A run that is missing, damaged or failed early says little of itself: it goes where the other
    runs of its study are, if it fits in one group alone.
    """
    studies = {study.name: study for study in collection.studies}
    axes = {
        key
        for study in collection.studies
        for key in (*compared_keys(study), *searched_keys(study))
        if key not in ("cell", "task")
    } | _noises(collection)
    apart: dict[str, list[str]] = {}
    known: dict[Context, list[Run]] = {}
    rest: dict[str, list[Run]] = {}
    for run in _in_plan(collection, studies, apart):
        if run.data_hash and run.monitor and run.config:
            known.setdefault(_context(run, axes), []).append(run)
        else:
            rest.setdefault(run.study, []).append(run)
    groups = [Group(context, runs) for context, runs in known.items()]
    for name, runs in rest.items():
        study = studies.get(name, Study(name))
        own = [group for group in groups if any(run.study == name for run in group.runs)]
        if own:
            _join(runs, own, study, axes, apart)
        else:
            groups += _of_their_own(runs, study, axes)
    order = {(run.study, run.name): place for place, run in enumerate(collection.runs)}
    for group in groups:
        group.runs.sort(key=lambda run: order[run.study, run.name])
        _once(group)
    groups.sort(key=lambda group: -len(group.runs))
    return Placed(groups, apart)


def _noises(collection: Collection) -> set[str]:
    """Task settings that a study without a plan seems to search: fractions that vary.

    All its other task settings set runs apart, though they may have been searched too.
    """
    planless = {study.name for study in collection.studies if is_planless(study)}
    values: dict[tuple[str, str], set[Any]] = {}
    for run in collection.runs:
        if run.study in planless:
            for key, value in run.config.items():
                if key.startswith("task.") and matters(key):
                    seen = values.setdefault((run.study, key), set())
                    seen.add(value if isinstance(value, (int, float)) else str(value))
    return {
        key
        for (_, key), seen in values.items()
        if len(seen) > 1
        and all(isinstance(v, (int, float)) for v in seen)
        and any(v % 1 for v in seen)
    }


def _context(run: Run, axes: Iterable[str]) -> Context:
    settings = _settings(run.config, axes)
    return Context(run.task, run.data, run.data_hash, run.monitor, run.mode, settings)


def _settings(config: Mapping[str, Any], axes: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The task's settings, but for those that are compared or searched."""
    axes = tuple(axes)
    keys = sorted(k for k in config if k.startswith("task.") and k not in OF_DATA and matters(k))
    return tuple((key, word(config[key])) for key in keys if not is_under(key, axes))


def _in_plan(
    collection: Collection, studies: Mapping[str, Study], apart: dict[str, list[str]]
) -> list[Run]:
    """All runs but those that a study with a plan holds besides it.

    A search has drawn its trials, and one that was chosen by hand is none. In a grid another seed
    of a configuration that is in the plan is welcome.
    """
    found, besides = [], Counter[str]()
    twins: dict[tuple[str, Configuration], Mapping[str, str]] = {}
    if any(run.trial is None for run in collection.runs):
        planned = [run for run in collection.runs if run.trial is not None and run.config]
        twins = {(run.study, _configuration(run)): run.compared for run in planned}
    for run in collection.runs:
        study = studies.get(run.study, Study(run.study))
        if run.trial is not None or not study.planned:
            found.append(run)
        elif not study.space and (run.study, _configuration(run)) in twins:
            found.append(replace(run, compared=twins[run.study, _configuration(run)]))
        else:
            besides[run.study] += 1
    for name, count in besides.items():
        apart.setdefault(name, []).append(
            f"{several(count, 'run')} of study {name} {_are(count)} not in its plan: what was "
            "chosen by hand is not pooled with what the study chose"
        )
    return found


def _configuration(run: Run) -> Configuration:
    return tuple(sorted((k, word(v)) for k, v in run.config.items() if matters(k)))


def _join(
    runs: Sequence[Run],
    groups: Sequence[Group],
    study: Study,
    axes: Iterable[str],
    apart: dict[str, list[str]],
) -> None:
    """Put runs that say little into the one group of their study that they fit in."""
    keys = [key for key in compared_keys(study) if is_under(key, ("task",))]
    words = [
        {
            tuple(said(run, key, study) for key in keys)
            for run in group.runs
            if run.study == study.name
        }
        for group in groups
    ]
    lost = Counter[str]()
    for run in runs:
        own = tuple(said(run, key, study) for key in keys)
        fitting = [
            group
            for group, of_group in zip(groups, words, strict=True)
            if own in of_group and _fits(run, group.context, axes)
        ]
        if len(fitting) == 1:
            fitting[0].runs.append(run)
        else:
            lost[WHY.get(run.state, "they ended before they had data")] += 1
    for why, count in lost.items():
        apart.setdefault(study.name, []).append(
            f"{several(count, 'run')} of study {study.name} cannot be placed: {why}, and which "
            "of the study's data, task settings and metrics are theirs is not known"
        )


def _fits(run: Run, context: Context, axes: Iterable[str]) -> bool:
    return (
        run.task in ("", context.task)
        and run.data_hash in ("", context.data_hash)
        and run.monitor in ("", context.monitor)
        and (not run.config or _settings(run.config, axes) == context.settings)
    )


def _of_their_own(runs: Sequence[Run], study: Study, axes: Iterable[str]) -> list[Group]:
    """Groups of a study of which no run says what it was trained on."""
    found: dict[Context, Group] = {}
    for run in runs:
        config = run.config or {**study.fixed, **run.compared}
        data = run.data or said(run, "task.data", study)
        context = Context(
            run.task, data, run.data_hash, run.monitor, run.mode, _settings(config, axes)
        )
        found.setdefault(context, Group(context)).runs.append(run)
    return list(found.values())


def _once(group: Group) -> None:
    """Count a configuration that two studies have trained once: its results are no two draws."""
    first: dict[str, Run] = {}
    for run in group.runs:
        before = first.setdefault(run.name, run)
        if run.done and not before.done:
            first[run.name] = run
    again = Counter(run.study for run in group.runs if first[run.name] is not run)
    if again:
        group.runs = [run for run in group.runs if first[run.name] is run]
    for name, count in again.items():
        group.apart.append(
            f"{several(count, 'run')} of study {name} {_are(count)} also in another study, with "
            "the same configuration and seed: counted once"
        )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
