"""Runs -> comparisons: what may be pooled, what is compared, and against which baseline."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.notes import comparison_notes
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Comparison, Variant
from odyssey.report.analysis.settings import (
    DATA_KEYS,
    affects_result,
    compared_keys,
    format_value,
    is_under,
    lacks_plan,
    searched_keys,
    setting_text,
)
from odyssey.report.analysis.variants import split_by_variant
from odyssey.report.io.runs import Collection, ReportRun, ReportStudy
from odyssey.study.formatting import several

Configuration = tuple[tuple[str, str], ...]
REASONS = {
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
    runs: list[ReportRun] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)


@dataclass
class Grouping:
    groups: list[Group]  # largest first
    apart: dict[str, list[str]]  # study -> sentences on runs that are in no group


def group_runs(collection: Collection) -> Grouping:
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
    } | _searched_fractions(collection)
    apart: dict[str, list[str]] = {}
    known: dict[Context, list[ReportRun]] = {}
    rest: dict[str, list[ReportRun]] = {}
    for run in _planned_runs(collection, studies, apart):
        if run.data_hash and run.monitor and run.config:
            known.setdefault(_context(run, axes), []).append(run)
        else:
            rest.setdefault(run.study, []).append(run)
    groups = [Group(context, runs) for context, runs in known.items()]
    for name, runs in rest.items():
        study = studies.get(name, ReportStudy(name))
        own = [group for group in groups if any(run.study == name for run in group.runs)]
        if own:
            _assign_incomplete(runs, own, study, axes, apart)
        else:
            groups += _groups_without_context(runs, study, axes)
    order = {(run.study, run.name): place for place, run in enumerate(collection.runs)}
    for group in groups:
        group.runs.sort(key=lambda run: order[run.study, run.name])
        _drop_duplicates(group)
    groups.sort(key=lambda group: -len(group.runs))
    return Grouping(groups, apart)


def _searched_fractions(collection: Collection) -> set[str]:
    """Task settings that a study without a plan seems to search: fractions that vary.

    All its other task settings set runs apart, though they may have been searched too.
    """
    planless = {study.name for study in collection.studies if lacks_plan(study)}
    values: dict[tuple[str, str], set[Any]] = {}
    for run in collection.runs:
        if run.study in planless:
            for key, value in run.config.items():
                if key.startswith("task.") and affects_result(key):
                    seen = values.setdefault((run.study, key), set())
                    seen.add(value if isinstance(value, (int, float)) else str(value))
    return {
        key
        for (_, key), seen in values.items()
        if len(seen) > 1
        and all(isinstance(v, (int, float)) for v in seen)
        and any(v % 1 for v in seen)
    }


def _context(run: ReportRun, axes: Iterable[str]) -> Context:
    settings = _task_settings(run.config, axes)
    return Context(run.task, run.data, run.data_hash, run.monitor, run.mode, settings)


def _task_settings(config: Mapping[str, Any], axes: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The task's settings, but for those that are compared or searched."""
    axes = tuple(axes)
    keys = sorted(
        k for k in config if k.startswith("task.") and k not in DATA_KEYS and affects_result(k)
    )
    return tuple((key, format_value(config[key])) for key in keys if not is_under(key, axes))


def _planned_runs(
    collection: Collection, studies: Mapping[str, ReportStudy], apart: dict[str, list[str]]
) -> list[ReportRun]:
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
        study = studies.get(run.study, ReportStudy(run.study))
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


def _configuration(run: ReportRun) -> Configuration:
    return tuple(sorted((k, format_value(v)) for k, v in run.config.items() if affects_result(k)))


def _assign_incomplete(
    runs: Sequence[ReportRun],
    groups: Sequence[Group],
    study: ReportStudy,
    axes: Iterable[str],
    apart: dict[str, list[str]],
) -> None:
    """Put runs that say little into the one group of their study that they fit in."""
    keys = [key for key in compared_keys(study) if is_under(key, ("task",))]
    words = [
        {
            tuple(setting_text(run, key, study) for key in keys)
            for run in group.runs
            if run.study == study.name
        }
        for group in groups
    ]
    lost = Counter[str]()
    for run in runs:
        own = tuple(setting_text(run, key, study) for key in keys)
        fitting = [
            group
            for group, of_group in zip(groups, words, strict=True)
            if own in of_group and _fits(run, group.context, axes)
        ]
        if len(fitting) == 1:
            fitting[0].runs.append(run)
        else:
            lost[REASONS.get(run.state, "they ended before they had data")] += 1
    for why, count in lost.items():
        apart.setdefault(study.name, []).append(
            f"{several(count, 'run')} of study {study.name} cannot be placed: {why}, and which "
            "of the study's data, task settings and metrics are theirs is not known"
        )


def _fits(run: ReportRun, context: Context, axes: Iterable[str]) -> bool:
    return (
        run.task in ("", context.task)
        and run.data_hash in ("", context.data_hash)
        and run.monitor in ("", context.monitor)
        and (not run.config or _task_settings(run.config, axes) == context.settings)
    )


def _groups_without_context(
    runs: Sequence[ReportRun], study: ReportStudy, axes: Iterable[str]
) -> list[Group]:
    """Groups of a study of which no run says what it was trained on."""
    found: dict[Context, Group] = {}
    for run in runs:
        config = run.config or {**study.fixed, **run.compared}
        data = run.data or setting_text(run, "task.data", study)
        context = Context(
            run.task, data, run.data_hash, run.monitor, run.mode, _task_settings(config, axes)
        )
        found.setdefault(context, Group(context)).runs.append(run)
    return list(found.values())


def _drop_duplicates(group: Group) -> None:
    """Count a configuration that two studies have trained once: its results are no two draws."""
    first: dict[str, ReportRun] = {}
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


DEFAULT_BASELINES = ("lstm_peephole", "lstm")  # cells, where no baseline is given
MOST_OTHERS = 6  # other comparisons that one names


def make_comparisons(collection: Collection, *, baseline: str | None = None) -> list[Comparison]:
    """The comparisons that the runs allow, that with the most runs first.

    Runs with other data, another task or task settings, or another metric are never in one.
    baseline: a variant's label, in any of them; without, the LSTM with peepholes, else the LSTM,
    else the first in the plan.
    Raises UserError where no comparison has such a variant.
    """
    placed = group_runs(collection)
    titles = _titles([group.context for group in placed.groups])
    found = []
    for group, title in zip(placed.groups, titles, strict=True):
        names = {run.study for run in group.runs}
        there = {study.name: study for study in collection.studies}
        studies = [there.get(name, ReportStudy(name)) for name in dict.fromkeys([*there, *names])]
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
            kind=_design(variants, studies, parted.searched),
            studies=studies,
            variants=variants,
            baseline=variants[0].label,
            searched=parted.searched,
            shared_draws=_shared_draws(variants, studies, parted.searched),
            notes=parted.notes,
            apart=[
                *_other_comparisons(group, placed.groups, titles),
                *group.apart,
                *(said for name in sorted(names) for said in placed.apart.get(name, [])),
            ],
        )
        found.append(comparison)
    _make_keys_unique(found)
    _choose_baselines(found, baseline)
    for comparison in found:
        comparison.notes += comparison_notes(comparison)
    return found


def _design(
    variants: Sequence[Variant], studies: Sequence[ReportStudy], searched: Sequence[str]
) -> str:
    if searched:
        return SEARCH
    for variant in variants:
        if len({run.seed for run in variant.runs if run.seed is not None}) > 1:
            return SEEDS
    return SINGLE


def _shared_draws(
    variants: Sequence[Variant], studies: Sequence[ReportStudy], searched: Sequence[str]
) -> bool:
    """Whether the studies say so, and the runs do not belie them."""
    if not searched or any(study.draws != "shared" for study in studies):
        return False
    seen: dict[int | None, list[str]] = {}
    for variant in variants:
        for run in variant.runs:
            if run.config:
                drawn = [format_value(run.config.get(key)) for key in searched]
                if run.trial is None or seen.setdefault(run.trial, drawn) != drawn:
                    return False
    return bool(seen)


@dataclass(frozen=True)
class _Difference:
    """How one context is unlike another, in words for a sentence and in words for a title."""

    sentence: str
    title: str


def _differences(other: Context, one: Context) -> list[_Difference]:
    found = []
    if other.task != one.task:
        return [_Difference(f"another task ({other.task} instead of {one.task})", other.task)]
    if other.data_hash != one.data_hash:
        hashes = f"{_short_hash(other.data_hash)} instead of {_short_hash(one.data_hash)}"
        names = "" if other.data == one.data else f", {other.data} instead of {one.data}"
        found.append(
            _Difference(
                f"another data hash ({hashes}{names})", f"data {_short_hash(other.data_hash)}"
            )
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
        words = f"{_describe_monitor(other)} instead of {_describe_monitor(one)}"
        found.append(
            _Difference(f"another metric to choose by ({words})", f"by {_describe_monitor(other)}")
        )
    return found


def _short_hash(digest: str) -> str:
    return f"{digest[:8]}…" if digest else "not known yet"


def _describe_monitor(context: Context) -> str:
    if not context.monitor:
        return "none yet"
    return f"{context.monitor}, {'larger' if context.mode == 'max' else 'smaller'} is better"


def _other_comparisons(group: Group, groups: Sequence[Group], titles: Sequence[str]) -> list[str]:
    """A sentence for each other comparison: how many of whose runs, and what is unlike."""
    found = []
    for other, title in zip(groups, titles, strict=True):
        if other is group:
            continue
        count = len(other.runs)
        names = list(dict.fromkeys(run.study for run in other.runs))
        unlike = " and ".join(d.sentence for d in _differences(other.context, group.context))
        whose = f"of {'study' if len(names) == 1 else 'studies'} {', '.join(names)}"
        has = "has" if count == 1 else "have"
        found.append(f"{several(count, 'run')} {whose} {has} {unlike}: compared apart, as {title}")
    if len(found) > MOST_OTHERS:
        return [
            *found[:MOST_OTHERS],
            f"and {several(len(found) - MOST_OTHERS, 'further comparison')}",
        ]
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
            words = ", ".join(d.title for d in _differences(context, other) if d.title)
            title = f"{title} ({words})" if words else title
        found.append(title)
    return found


def _slug(title: str) -> str:
    words = re.sub(r"[^A-Za-z0-9_.=]+", "-", title.replace(" on ", "-")).strip("-.")
    return words[:60].lower() or "comparison"


def _make_keys_unique(comparisons: Sequence[Comparison]) -> None:
    """Give each a key of its own."""
    taken: set[str] = set()
    for comparison in comparisons:
        key, number = comparison.key, 2
        while comparison.key in taken:
            comparison.key = f"{key}-{number}"
            number += 1
        taken.add(comparison.key)


def _choose_baselines(comparisons: Sequence[Comparison], asked: str | None) -> None:
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
        cells = [cell for cell in DEFAULT_BASELINES if any(v.cell == cell for v in variants)]
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
