"""From runs to comparisons: which may be pooled, what is compared, and with which baseline."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odyssey.config.schema import PLACE_KEYS
from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.notes import comparison_notes
from odyssey.report.analysis.planned import normalised, plan_of, planned_baseline
from odyssey.report.analysis.result import SEARCH, SEEDS, SINGLE, Comparison, Variant
from odyssey.report.analysis.settings import (
    DATA_KEYS,
    affects_result,
    compared_keys,
    configuration,
    format_value,
    is_under,
    lacks_plan,
    searched_keys,
    setting_text,
)
from odyssey.report.analysis.variants import split_by_variant
from odyssey.report.io.runs import Collection, ReportRun, ReportStudy
from odyssey.study.analysis_plan import DEFAULT_BASELINES, matches
from odyssey.study.formatting import several

MOST_OTHERS = 6  # other comparisons that a comparison names
Settings = tuple[tuple[str, str], ...]  # flat keys -> values, in order


def make_comparisons(collection: Collection, *, baseline: str | None = None) -> list[Comparison]:
    """The comparisons that the runs allow, the largest first.

    Runs with other data, another task, other task settings or another monitor are never in one.

    baseline: label of a variant in any of them. Without it the baseline of each is the LSTM with
        peepholes, else the LSTM, else the first variant of the plan.

    Raises UserError where no comparison has the variant `baseline`.
    """
    groups, unassigned = group_runs(collection)
    titles = _titles([group.context for group in groups])
    found = []
    for group, title in zip(groups, titles, strict=True):
        comparison = _make_comparison(group, title, collection.studies)
        comparison.apart = [
            *_other_comparisons(group, groups, titles),
            *group.notes,
            *(note for name in sorted(group.studies) for note in unassigned.get(name, [])),
        ]
        found.append(comparison)
    _make_keys_unique(found)
    _check_baseline(found, baseline)
    for comparison in found:
        _set_baseline(comparison, baseline)
        comparison.notes += comparison_notes(comparison)
    return found


# --- grouping runs that may be pooled ---

# Why a run cannot be assigned to a comparison, by its state.
REASONS = {"damaged": "run.json is damaged", "missing": "they have not begun"}
OTHER_REASON = "they ended before they had data"


@dataclass(frozen=True)
class Context:
    """What all runs of a comparison share. Of a run that has not begun little of it is known."""

    task: str
    data: str = ""
    data_hash: str = ""
    monitor: str = ""
    mode: str = "min"
    settings: Settings = ()  # of the task, without data, scientific and nuisance parameters


@dataclass
class Group:
    """The runs of a comparison, before they are split by variant."""

    context: Context
    runs: list[ReportRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # on runs that were removed

    @property
    def studies(self) -> set[str]:
        """Names of the studies that the runs are from."""
        return {run.study for run in self.runs}


def group_runs(collection: Collection) -> tuple[list[Group], dict[str, list[str]]]:
    """Groups of runs that may be pooled, the largest first; and by study notes on the rest.

    A run that is missing, damaged or failed early does not record its context. It is assigned to
    the group of its study's other runs, provided that it fits one group only.
    """
    collection = replace(collection, runs=_with_sources(collection.runs))
    studies = {study.name: study for study in collection.studies}
    varied = _varied_keys(collection)
    notes: dict[str, list[str]] = {}
    by_context: dict[Context, list[ReportRun]] = {}
    incomplete: dict[str, list[ReportRun]] = {}
    for run in _planned_runs(collection, studies, notes):
        if run.data_hash and run.monitor and run.config:
            by_context.setdefault(_context(run, varied), []).append(run)
        else:
            incomplete.setdefault(run.study, []).append(run)
    groups = [Group(context, runs) for context, runs in by_context.items()]
    for name, runs in incomplete.items():
        study = studies.get(name, ReportStudy(name))
        own = [group for group in groups if name in group.studies]
        if own:
            _assign_incomplete(runs, own, study, varied, notes)
        else:
            groups += _groups_without_context(runs, study, varied)
    order = {(run.study, run.name): number for number, run in enumerate(collection.runs)}
    for group in groups:
        group.runs.sort(key=lambda run: order[run.study, run.name])
        _drop_duplicates(group)
        group.context = _with_file_name(group)
    groups.sort(key=lambda group: -len(group.runs))
    return groups, notes


def _varied_keys(collection: Collection) -> tuple[str, ...]:
    """Keys that are compared or searched in any study, and so do not set runs apart."""
    keys = {
        key
        for study in collection.studies
        for key in (*compared_keys(study), *searched_keys(study))
        if key not in ("cell", "task")
    }
    return tuple(keys | _searched_fractions(collection))


def _with_sources(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """The runs, with cells of one name and of different source by names of their own."""
    sources: dict[str, set[str]] = {}
    for run in runs:
        if run.cell_source:
            sources.setdefault(run.cell, set()).add(run.cell_source)
    found = []
    for run in runs:
        if run.cell_source and len(sources[run.cell]) > 1:
            name = f"{run.cell}@{run.cell_source[:6]}"
            compared = {k: name if k == "cell" else v for k, v in run.compared.items()}
            run = replace(run, cell=name, compared=compared)
        found.append(run)
    return found


def _with_file_name(group: Group) -> Context:
    """The group's context, with the name of the user's file in place of `file` or `csv`."""
    paths = [run.config.get(key) for run in group.runs for key in PLACE_KEYS]
    names = dict.fromkeys(Path(str(path)).name for path in paths if path)
    return replace(group.context, data=" or ".join(names) or group.context.data)


def _searched_fractions(collection: Collection) -> set[str]:
    """Task settings that a study without a plan seems to search: numbers that vary, not all whole.

    Other task settings of such a study set its runs apart, though they may have been searched too.
    """
    without_plan = {study.name for study in collection.studies if lacks_plan(study)}
    values: dict[tuple[str, str], set[Any]] = {}
    for run in collection.runs:
        if run.study in without_plan:
            for key, value in run.config.items():
                if key.startswith("task.") and affects_result(key):
                    seen = values.setdefault((run.study, key), set())
                    seen.add(value if isinstance(value, (int, float)) else str(value))
    return {key for (_, key), seen in values.items() if len(seen) > 1 and _has_fraction(seen)}


def _has_fraction(values: Iterable[Any]) -> bool:
    """Whether all values are numbers, and not all of them whole."""
    return all(isinstance(v, (int, float)) for v in values) and any(v % 1 for v in values)


def _context(run: ReportRun, varied: Sequence[str]) -> Context:
    settings = _task_settings(run.config, varied)
    return Context(run.task, run.data, run.data_hash, run.monitor, run.mode, settings)


def _task_settings(config: Mapping[str, Any], varied: Sequence[str]) -> Settings:
    """The task's settings that are neither of the data nor `varied`."""
    keys = sorted(k for k in config if k.startswith("task.") and k not in DATA_KEYS)
    return tuple(
        (key, format_value(config[key]))
        for key in keys
        if affects_result(key) and not is_under(key, varied)
    )


def _planned_runs(
    collection: Collection, studies: Mapping[str, ReportStudy], notes: dict[str, list[str]]
) -> list[ReportRun]:
    """All runs but those outside the plan of a study that has one.

    In a grid, a further seed of a configuration in the plan is taken too. A search has drawn its
    trials, and a run chosen by hand is not one of them.
    """
    found, left_out = [], Counter[str]()
    planned: dict[tuple[str, Settings], Mapping[str, str]] = {}
    if any(run.trial is None for run in collection.runs):
        drawn = [run for run in collection.runs if run.trial is not None and run.config]
        planned = {(run.study, configuration(run)): run.compared for run in drawn}
    for run in collection.runs:
        study = studies.get(run.study, ReportStudy(run.study))
        if run.trial is not None or not study.planned:
            found.append(run)
        elif not study.space and (run.study, configuration(run)) in planned:
            found.append(replace(run, compared=planned[run.study, configuration(run)]))
        else:
            left_out[run.study] += 1
    for name, count in left_out.items():
        notes.setdefault(name, []).append(
            f"{several(count, 'run')} of study {name} {_are(count)} not in its plan: what was "
            "chosen by hand is not pooled with what the study chose"
        )
    return found


def _assign_incomplete(
    runs: Sequence[ReportRun],
    groups: Sequence[Group],
    study: ReportStudy,
    varied: Sequence[str],
    notes: dict[str, list[str]],
) -> None:
    """Add runs that do not record their context to the one group of their study that they fit."""
    keys = [key for key in compared_keys(study) if is_under(key, ("task",))]

    def compared(run: ReportRun) -> tuple[str, ...]:
        return tuple(setting_text(run, key, study) for key in keys)

    present = [{compared(run) for run in g.runs if run.study == study.name} for g in groups]
    lost = Counter[str]()
    for run in runs:
        fitting = [
            group
            for group, values in zip(groups, present, strict=True)
            if compared(run) in values and _fits(run, group.context, varied)
        ]
        if len(fitting) == 1:
            fitting[0].runs.append(run)
        else:
            lost[REASONS.get(run.state, OTHER_REASON)] += 1
    for reason, count in lost.items():
        notes.setdefault(study.name, []).append(
            f"{several(count, 'run')} of study {study.name} cannot be placed: {reason}, and which "
            "of the study's data, task settings and metrics are theirs is not known"
        )


def _fits(run: ReportRun, context: Context, varied: Sequence[str]) -> bool:
    """Whether nothing that is known of the run differs from the context."""
    return (
        run.task in ("", context.task)
        and run.data_hash in ("", context.data_hash)
        and run.monitor in ("", context.monitor)
        and (not run.config or _task_settings(run.config, varied) == context.settings)
    )


def _groups_without_context(
    runs: Sequence[ReportRun], study: ReportStudy, varied: Sequence[str]
) -> list[Group]:
    """Groups of a study of which no run records its context, from what its plan says."""
    found: dict[Context, Group] = {}
    for run in runs:
        config = run.config or {**study.fixed, **run.compared}
        data = run.data or setting_text(run, "task.data", study)
        settings = _task_settings(config, varied)
        context = Context(run.task, data, run.data_hash, run.monitor, run.mode, settings)
        found.setdefault(context, Group(context)).runs.append(run)
    return list(found.values())


def _drop_duplicates(group: Group) -> None:
    """Keep one of the runs that two studies have with one configuration and seed.

    Their results are equal, and not two draws. One that ended is preferred.
    """
    kept: dict[str, ReportRun] = {}
    for run in group.runs:
        first = kept.setdefault(run.name, run)
        if run.done and not first.done:
            kept[run.name] = run
    dropped = Counter(run.study for run in group.runs if kept[run.name] is not run)
    if dropped:
        group.runs = [run for run in group.runs if kept[run.name] is run]
    for name, count in dropped.items():
        group.notes.append(
            f"{several(count, 'run')} of study {name} {_are(count)} also in another study, with "
            "the same configuration and seed: counted once"
        )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


# --- comparisons ---


def _make_comparison(group: Group, title: str, studies: Sequence[ReportStudy]) -> Comparison:
    """The comparison of a group, with its first variant as baseline."""
    context = group.context
    known = {study.name: study for study in studies}
    names = [name for name in dict.fromkeys([*known, *group.studies]) if name in group.studies]
    own = [known.get(name, ReportStudy(name)) for name in names]
    split = split_by_variant(group.runs, own)
    return Comparison(
        key=_slug(title),
        title=title,
        task=context.task,
        data=context.data,
        data_hash=context.data_hash,
        monitor=context.monitor,
        mode=context.mode,
        kind=_design(split.variants, split.searched),
        studies=own,
        variants=split.variants,
        baseline=split.variants[0].label,
        searched=split.searched,
        shared_draws=_shared_draws(split.variants, own, split.searched),
        notes=split.notes,
    )


def _design(variants: Sequence[Variant], searched: Sequence[str]) -> str:
    if searched:
        return SEARCH
    for variant in variants:
        if len({run.drawn_from for run in variant.runs if run.seed is not None or run.seeds}) > 1:
            return SEEDS
    return SINGLE


def _shared_draws(
    variants: Sequence[Variant], studies: Sequence[ReportStudy], searched: Sequence[str]
) -> bool:
    """Whether trial n of all variants had the same settings, by the plans and by the runs."""
    if not searched or any(study.draws != "shared" for study in studies):
        return False
    first: dict[int | None, list[str]] = {}
    for variant in variants:
        for run in variant.runs:
            if run.config:
                drawn = [format_value(run.config.get(key)) for key in searched]
                if run.trial is None or first.setdefault(run.trial, drawn) != drawn:
                    return False
    return bool(first)


# --- titles and differences ---


@dataclass(frozen=True)
class _Difference:
    """How one context differs from another, as a part of a sentence and of a title."""

    sentence: str
    title: str


def _differences(other: Context, one: Context) -> list[_Difference]:
    """How `other` differs from `one`."""
    if other.task != one.task:
        return [_Difference(f"another task ({other.task} instead of {one.task})", other.task)]
    found = []
    if other.data_hash != one.data_hash:
        hashes = f"{_short_hash(other.data_hash)} instead of {_short_hash(one.data_hash)}"
        names = f", {other.data or 'no name'} instead of {one.data or 'no name'}"
        names = "" if other.data == one.data else names
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
        monitors = _describe_monitor(other), _describe_monitor(one)
        found.append(
            _Difference(
                f"another metric to choose by ({monitors[0]} instead of {monitors[1]})",
                f"by {monitors[0]}",
            )
        )
    return found


def _short_hash(digest: str) -> str:
    return f"{digest[:8]}…" if digest else "not known yet"


def _describe_monitor(context: Context) -> str:
    if not context.monitor:
        return "none yet"
    return f"{context.monitor}, {'larger' if context.mode == 'max' else 'smaller'} is better"


def _other_comparisons(group: Group, groups: Sequence[Group], titles: Sequence[str]) -> list[str]:
    """A sentence on each other comparison: how many runs of which studies, and the difference."""
    found = []
    for other, title in zip(groups, titles, strict=True):
        if other is group:
            continue
        count = len(other.runs)
        names = list(dict.fromkeys(run.study for run in other.runs))
        differences = _differences(other.context, group.context)
        unlike = " and ".join(difference.sentence for difference in differences)
        whose = f"of {'study' if len(names) == 1 else 'studies'} {', '.join(names)}"
        has = "has" if count == 1 else "have"
        found.append(f"{several(count, 'run')} {whose} {has} {unlike}: compared apart, as {title}")
    if len(found) > MOST_OTHERS:
        more = several(len(found) - MOST_OTHERS, "further comparison")
        return [*found[:MOST_OTHERS], f"and {more}"]
    return found


def _titles(contexts: Sequence[Context]) -> list[str]:
    """`music on jsb`; where several have that title, with what tells them apart."""
    plain = [f"{c.task} on {c.data}" if c.data else c.task or "unknown task" for c in contexts]
    found = []
    for number, (context, title) in enumerate(zip(contexts, plain, strict=True)):
        same = [c for c, t in zip(contexts, plain, strict=True) if t == title]
        if len(same) > 1:
            first = plain.index(title)
            other = contexts[first] if first != number else same[1]
            words = ", ".join(d.title for d in _differences(context, other) if d.title)
            title = f"{title} ({words})" if words else title
        found.append(title)
    return found


def _slug(title: str) -> str:
    """The title as a file name."""
    words = re.sub(r"[^A-Za-z0-9_.=]+", "-", title.replace(" on ", "-")).strip("-.")
    return words[:60].lower() or "comparison"


def _make_keys_unique(comparisons: Sequence[Comparison]) -> None:
    taken: set[str] = set()
    for comparison in comparisons:
        key, number = comparison.key, 2
        while comparison.key in taken:
            comparison.key = f"{key}-{number}"
            number += 1
        taken.add(comparison.key)


# --- baselines ---


def _check_baseline(comparisons: Sequence[Comparison], asked: str | None) -> None:
    labels = list(dict.fromkeys(v.label for c in comparisons for v in c.variants))
    if asked is not None and not any(_find_variant(asked, c.variants) for c in comparisons):
        raise UserError(
            f"--baseline {asked} is no variant of these runs{did_you_mean(asked, labels)}: "
            f"type one of {', '.join(labels) or 'none, since there are no runs'}"
        )


def _set_baseline(comparison: Comparison, asked: str | None) -> None:
    """Set the baseline of a comparison, with a note that says which and why."""
    labels = [variant.label for variant in comparison.variants]
    chosen = _find_variant(asked, comparison.variants)
    planned = planned_baseline(plan_of(comparison.studies), comparison.variants)
    default = planned or _default_baseline(comparison.variants)
    comparison.baseline = chosen or default
    if len(labels) == 1:
        note = f"There is one variant, {default}: nothing to compare it with."
    elif chosen is not None:
        note = f"The baseline is {chosen}, as chosen by --baseline."
    else:
        why = "as planned" if planned else "none was planned"
        why = f"{asked} is no variant here" if asked is not None else why
        other = next(label for label in labels if label != default)
        note = (
            f"The baseline is {default} ({why}); another is chosen with --baseline, as in "
            f"--baseline {_quoted(other)}."
        )
    comparison.notes.append(note)


def _find_variant(asked: str | None, variants: Sequence[Variant]) -> str | None:
    """The label of the variant that is asked for, by its label or its settings; None for none.

    Settings are as typed, as in `gru bptt.length=25`; those in which no two variants differ, or
    that leave one variant, may be left out.
    """
    if asked is None:
        return None
    if any(variant.label == asked for variant in variants):
        return asked
    found = [v.label for v in variants if matches(normalised(asked), v.settings)]
    return found[0] if len(found) == 1 else None


def _default_baseline(variants: Sequence[Variant]) -> str:
    """Label of the first variant with the most preferred cell, else of the first variant."""
    for cell in DEFAULT_BASELINES:
        for variant in variants:
            if variant.cell == cell:
                return variant.label
    return variants[0].label


def _quoted(label: str) -> str:
    """As a shell takes it."""
    plain = re.fullmatch(r"[\w.=,:/+ -]+", label)
    return shlex.quote(label) if not plain else f'"{label}"' if " " in label else label
