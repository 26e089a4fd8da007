"""Runs -> comparisons: what may be pooled, what is compared, and against which baseline."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.notes import facts
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Comparison, Variant
from odyssey.report.analysis.settings import (
    OF_DATA,
    compared_keys,
    is_planless,
    is_under,
    matters,
    said,
    searched_keys,
    word,
)
from odyssey.report.analysis.variants import split_by_variant
from odyssey.report.io.runs import Collection, Run, Study
from odyssey.study.formatting import several

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


BASELINES = ("lstm_peephole", "lstm")  # cells, where no baseline is given
MOST = 6  # other comparisons that one names


def split(collection: Collection, *, baseline: str | None = None) -> list[Comparison]:
    """The comparisons that the runs allow, that with the most runs first.

    Runs with other data, another task or task settings, or another metric are never in one.
    baseline: a variant's label, in any of them; without, the LSTM with peepholes, else the LSTM,
    else the first in the plan.
    Raises UserError where no comparison has such a variant.
    """
    placed = place(collection)
    titles = _titles([group.context for group in placed.groups])
    found = []
    for group, title in zip(placed.groups, titles, strict=True):
        names = {run.study for run in group.runs}
        there = {study.name: study for study in collection.studies}
        studies = [there.get(name, Study(name)) for name in dict.fromkeys([*there, *names])]
        studies = [study for study in studies if study.name in names]
        parted = split_by_variant(group.runs, studies)
        variants = parted.variants
        comparison = Comparison(
            key=_slug(title),
            title=title,
            task=group.context.task,
            data=group.context.data,
            data_hash=group.context.data_hash,
            monitor=group.context.monitor,
            mode=group.context.mode,
            kind=_kind(variants, studies, parted.searched),
            studies=studies,
            variants=variants,
            baseline=variants[0].label,
            searched=parted.searched,
            shared_draws=_shared_draws(variants, studies, parted.searched),
            notes=parted.notes,
            apart=[
                *_others(group, placed.groups, titles),
                *group.apart,
                *(said for name in sorted(names) for said in placed.apart.get(name, [])),
            ],
        )
        found.append(comparison)
    _name(found)
    _choose(found, baseline)
    for comparison in found:
        comparison.notes += facts(comparison)
    return found


def _kind(variants: Sequence[Variant], studies: Sequence[Study], searched: Sequence[str]) -> str:
    if searched:
        return SEARCH
    for variant in variants:
        if len({run.seed for run in variant.runs if run.seed is not None}) > 1:
            return SEEDS
    return SINGLE


def _shared_draws(
    variants: Sequence[Variant], studies: Sequence[Study], searched: Sequence[str]
) -> bool:
    """Whether the studies say so, and the runs do not belie them."""
    if not searched or any(study.draws != "shared" for study in studies):
        return False
    seen: dict[int | None, list[str]] = {}
    for variant in variants:
        for run in variant.runs:
            if run.config:
                drawn = [word(run.config.get(key)) for key in searched]
                if run.trial is None or seen.setdefault(run.trial, drawn) != drawn:
                    return False
    return bool(seen)


@dataclass(frozen=True)
class _Difference:
    """How one context is unlike another, in words for a sentence and in words for a title."""

    sentence: str
    title: str


def _unlike(other: Context, one: Context) -> list[_Difference]:
    found = []
    if other.task != one.task:
        return [_Difference(f"another task ({other.task} instead of {one.task})", other.task)]
    if other.data_hash != one.data_hash:
        hashes = f"{_short(other.data_hash)} instead of {_short(one.data_hash)}"
        names = "" if other.data == one.data else f", {other.data} instead of {one.data}"
        found.append(
            _Difference(f"another data hash ({hashes}{names})", f"data {_short(other.data_hash)}")
        )
    here, there = dict(one.settings), dict(other.settings)
    keys = [k for k in sorted({*here, *there}) if here.get(k) != there.get(k)]
    if keys:
        words = ", ".join(
            f"{k}={there.get(k, 'none')} instead of {here.get(k, 'none')}" for k in keys
        )
        title = ", ".join(f"{k}={there[k]}" for k in keys if k in there)
        found.append(_Difference(f"other task settings ({words})", title))
    if (other.monitor, other.mode) != (one.monitor, one.mode):
        words = f"{_metric(other)} instead of {_metric(one)}"
        found.append(_Difference(f"another metric to choose by ({words})", f"by {_metric(other)}"))
    return found


def _short(digest: str) -> str:
    return f"{digest[:8]}…" if digest else "not known yet"


def _metric(context: Context) -> str:
    if not context.monitor:
        return "none yet"
    return f"{context.monitor}, {'larger' if context.mode == 'max' else 'smaller'} is better"


def _others(group: Group, groups: Sequence[Group], titles: Sequence[str]) -> list[str]:
    """A sentence for each other comparison: how many of whose runs, and what is unlike."""
    found = []
    for other, title in zip(groups, titles, strict=True):
        if other is group:
            continue
        count = len(other.runs)
        names = list(dict.fromkeys(run.study for run in other.runs))
        unlike = " and ".join(d.sentence for d in _unlike(other.context, group.context))
        whose = f"of {'study' if len(names) == 1 else 'studies'} {', '.join(names)}"
        has = "has" if count == 1 else "have"
        found.append(f"{several(count, 'run')} {whose} {has} {unlike}: compared apart, as {title}")
    if len(found) > MOST:
        return [*found[:MOST], f"and {several(len(found) - MOST, 'further comparison')}"]
    return found


def _titles(contexts: Sequence[Context]) -> list[str]:
    """`music on jsb`, and what tells those of one name apart."""
    plain = [f"{c.task} on {c.data}" if c.data else c.task or "unknown task" for c in contexts]
    found = []
    for place_, (context, title) in enumerate(zip(contexts, plain, strict=True)):
        first = plain.index(title)
        like = [c for c, t in zip(contexts, plain, strict=True) if t == title]
        if len(like) > 1:
            other = contexts[first] if first != place_ else like[1]
            words = ", ".join(d.title for d in _unlike(context, other) if d.title)
            title = f"{title} ({words})" if words else title
        found.append(title)
    return found


def _slug(title: str) -> str:
    words = re.sub(r"[^A-Za-z0-9_.=]+", "-", title.replace(" on ", "-")).strip("-.")
    return words[:60].lower() or "comparison"


def _name(comparisons: Sequence[Comparison]) -> None:
    """Give each a key of its own."""
    taken: set[str] = set()
    for comparison in comparisons:
        key, number = comparison.key, 2
        while comparison.key in taken:
            comparison.key = f"{key}-{number}"
            number += 1
        taken.add(comparison.key)


def _choose(comparisons: Sequence[Comparison], asked: str | None) -> None:
    """Set the baselines, and say which they are."""
    labels = list(dict.fromkeys(v.label for c in comparisons for v in c.variants))
    if asked is not None and asked not in labels:
        raise UserError(
            f"--baseline {asked} is no variant of these runs{did_you_mean(asked, labels)}: "
            f"type one of {', '.join(labels) or 'none, since there are no runs'}"
        )
    for comparison in comparisons:
        variants = comparison.variants
        here = [variant.label for variant in variants]
        cells = [cell for cell in BASELINES if any(v.cell == cell for v in variants)]
        own = next((v.label for v in variants if cells and v.cell == cells[0]), here[0])
        comparison.baseline = asked if asked in here and asked is not None else own
        if len(variants) == 1:
            comparison.notes.append(f"There is one variant, {own}: nothing to compare it with.")
        elif comparison.baseline == asked:
            comparison.notes.append(f"The baseline is {asked}, as chosen by --baseline.")
        else:
            why = f"{asked} is no variant here" if asked is not None else "none was chosen"
            comparison.notes.append(
                f"The baseline is {own} ({why}); choose another with --baseline, as in "
                f"--baseline {_quoted(next(label for label in here if label != own))}."
            )


def _quoted(label: str) -> str:
    """As a shell takes it."""
    plain = re.fullmatch(r"[\w.=,:/+ -]+", label)
    return shlex.quote(label) if not plain else f'"{label}"' if " " in label else label
