"""Splitting the runs of a comparison into variants."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odyssey.report.analysis.names import name_settings
from odyssey.report.analysis.result import Variant
from odyssey.report.analysis.settings import (
    affects_result,
    compared_keys,
    format_value,
    is_under,
    lacks_plan,
    resolve_key,
    searched_keys,
    setting_text,
)
from odyssey.report.io.runs import ReportRun, ReportStudy

MOST_FIXED = 3  # fixed settings in a label; with more, the label has the study's name instead
STUDY_KEY = "study"

Settings = tuple[tuple[str, str], ...]  # keys -> values, in order
Searched = Mapping[str, Sequence[str]]  # name of a study -> keys of its nuisance parameters


@dataclass
class VariantSplit:
    """The variants of a comparison, in the plan's order, and what was searched for each."""

    variants: list[Variant]
    searched: list[str]  # flat keys
    notes: list[str] = field(default_factory=list)  # sentences for the reader


def split_by_variant(runs: Sequence[ReportRun], studies: Sequence[ReportStudy]) -> VariantSplit:
    """The variants of runs that may be compared.

    Variants are told apart by the scientific parameters of all studies, and by settings that are
    fixed in each study and differ between studies: runs of those are not pooled.
    """
    notes: list[str] = []
    compared = list(dict.fromkeys(["cell", *(k for s in studies for k in compared_keys(s))]))
    searched = {study.name: searched_keys(study) for study in studies}
    by_name = {study.name: study for study in studies}
    own = [_scientific(run, by_name[run.study], compared, searched[run.study]) for run in runs]
    groups = _group(runs, own)
    for study in studies:
        if lacks_plan(study):
            searched[study.name] = _infer_searched(study, groups.values(), notes)
    further = _study_differences(groups, studies, searched, compared, notes)
    full = [
        settings + further.get((settings, run.study), ())
        for run, settings in zip(runs, own, strict=True)
    ]
    split = _group(runs, full)
    variants = [
        Variant(label, dict(settings), dict(settings)["cell"], split[settings])
        for settings, label in _make_labels(list(split), _settings_along(studies)).items()
    ]
    return VariantSplit(variants, _searched_axes(runs, studies, searched, split.values()), notes)


def _scientific(
    run: ReportRun, study: ReportStudy, compared: Iterable[str], searched: Sequence[str]
) -> Settings:
    """The run's values of scientific parameters that its own study does not search."""
    keys = [key for key in compared if not is_under(key, searched)]
    values = ((key, setting_text(run, key, study)) for key in keys)
    return tuple((key, value) for key, value in values if value or key == "cell")


def _group(runs: Sequence[ReportRun], keys: Sequence[Settings]) -> dict[Settings, list[ReportRun]]:
    found: dict[Settings, list[ReportRun]] = {}
    for run, key in zip(runs, keys, strict=True):
        found.setdefault(key, []).append(run)
    return found


def _searched_axes(
    runs: Sequence[ReportRun],
    studies: Sequence[ReportStudy],
    searched: Searched,
    variants: Iterable[Sequence[ReportRun]],
) -> list[str]:
    """Flat keys of all nuisance parameters; without a plan, of what varies within variants."""
    config = {key for run in runs for key in run.config}
    keys = [key for study in studies if study.space for key in searched[study.name]]
    return list(dict.fromkeys(resolve_key(key, config) for key in keys)) or _varying_keys(variants)


def _varying_keys(variants: Iterable[Sequence[ReportRun]]) -> list[str]:
    """Settings that differ within some variant, without the seed."""
    found: dict[str, None] = {}
    for runs in variants:
        first: dict[str, Any] = {}
        for run in runs:
            for key, value in run.config.items():
                if first.setdefault(key, value) != value and key not in found:
                    if affects_result(key):
                        found[key] = None
    return list(found)


def _infer_searched(
    study: ReportStudy, variants: Iterable[Sequence[ReportRun]], notes: list[str]
) -> list[str]:
    """Settings that vary within variants of a study whose plan does not say what it searches."""
    keys = _varying_keys([run for run in runs if run.study == study.name] for runs in variants)
    variants_are = "" if study.compare else "its variants are the cells, and "
    rest = f"what else varies counts as searched ({', '.join(keys)})"
    notes.append(
        f"Study {study.name} does not say what it searches: {variants_are}"
        f"{rest if keys else 'nothing else varies but the seed'}."
    )
    return keys


# --- differences between studies ---


@dataclass(frozen=True)
class _Role:
    """What a setting is in a study: fixed at a value, or searched."""

    fixed: bool
    text: str  # the value, or a description of the search


Roles = dict[str, dict[str, _Role]]  # key -> name of a study -> role


def _study_differences(
    groups: Mapping[Settings, Sequence[ReportRun]],
    studies: Sequence[ReportStudy],
    searched: Searched,
    compared: Sequence[str],
    notes: list[str],
) -> dict[tuple[Settings, str], Settings]:
    """Further settings of a variant in a study: those in which the studies differ.

    groups: runs by their scientific parameters.
    """
    if len(studies) < 2:
        return {}
    every = [run for runs in groups.values() for run in runs]
    # Settings that come with a cell or another scientific parameter may differ between variants,
    # and have to be the same within one only.
    everywhere = _roles(every, studies, searched, lambda k: not is_under(k, ["cell", *compared]))
    found: dict[tuple[Settings, str], Settings] = {}
    differing: dict[str, None] = {}
    for settings, runs in groups.items():
        names = {run.study for run in runs}
        here = [study for study in studies if study.name in names]
        within = _roles(runs, here, searched, lambda key: key not in compared)
        roles = everywhere | {key: role for key, role in within.items() if key not in everywhere}
        differing |= dict.fromkeys(roles)
        for study in here:
            if extra := _distinguishing(study.name, roles):
                found[settings, study.name] = extra
    if differing:
        notes.append(
            f"The studies {', '.join(s.name for s in studies)} differ in {', '.join(differing)}: "
            "their runs are not pooled, and the variants' names say which is which."
        )
    return found


def _distinguishing(study: str, roles: Roles) -> Settings:
    """Settings that tell a study's runs apart: fixed values, and its name if they do not do."""
    own = {key: by_study[study] for key, by_study in roles.items() if study in by_study}
    fixed = [(key, role.text) for key, role in own.items() if role.fixed]
    searched = [key for key, role in own.items() if not role.fixed]
    other_search = any(len(_searches(roles[key])) > 1 for key in searched)
    named = ((STUDY_KEY, study),) if other_search or len(fixed) > MOST_FIXED else ()
    return (*named, *(fixed if len(fixed) <= MOST_FIXED else ()))


def _searches(by_study: Mapping[str, _Role]) -> set[_Role]:
    return {role for role in by_study.values() if not role.fixed}


def _roles(
    runs: Sequence[ReportRun],
    studies: Sequence[ReportStudy],
    searched: Searched,
    counts: Callable[[str], bool],
) -> Roles:
    """Roles of the settings that do not have one and the same in all studies.

    counts: whether a key is looked at.
    """
    values = _values_by_study(runs, studies)
    found: Roles = {}
    for key in dict.fromkeys(key for of_study in values.values() for key in of_study):
        if not affects_result(key) or not counts(key):
            continue
        roles = {}
        for study in studies:
            seen = values[study.name].get(key, [])
            if (role := _role(key, study, seen, searched[study.name])) is not None:
                roles[study.name] = role
        if len(set(roles.values())) > 1:
            found[key] = roles
    return found


def _values_by_study(
    runs: Sequence[ReportRun], studies: Sequence[ReportStudy]
) -> dict[str, dict[str, list[Any]]]:
    """Name of a study -> key -> its first two different values."""
    found: dict[str, dict[str, list[Any]]] = {study.name: {} for study in studies}
    for run in runs:
        of_study = found[run.study]
        for key, value in run.config.items():
            seen = of_study.setdefault(key, [])
            if len(seen) < 2 and value not in seen:
                seen.append(value)
    return found


def _role(
    key: str, study: ReportStudy, values: Sequence[Any], searched: Sequence[str]
) -> _Role | None:
    """None where the setting is neither fixed nor searched, or not known."""
    if search := _describe_search(key, study, searched):
        return _Role(False, search)
    if len(values) == 1:
        return _Role(True, format_value(values[0]))
    if not values and key in study.fixed:
        return _Role(True, format_value(study.fixed[key]))
    return None


def _describe_search(key: str, study: ReportStudy, searched: Sequence[str]) -> str:
    """Sampler and distribution with which a study searches a key; empty where it does not."""
    if not is_under(key, searched):
        return ""
    for entry, distribution in study.space.items():
        if is_under(key, entry.split(",")):
            described = json.dumps(distribution, sort_keys=True, default=str)
            return f"{study.sampler} {described}"
    return f"varies in {study.name}"


def _settings_along(studies: Sequence[ReportStudy]) -> set[str]:
    """Keys that go along with another: of `cell,optimizer.lr` all but the cell.

    Of other keys that are joined all but the first: `task.batch_size` of
    `bptt.length,task.batch_size`.
    """
    found: set[str] = set()
    for keys in (entry.split(",") for study in studies for entry in study.compare):
        first = "cell" if "cell" in keys else keys[0]
        found |= {key for key in keys if key != first}
    return found


def _make_labels(variants: Sequence[Settings], along: Collection[str] = ()) -> dict[Settings, str]:
    """Labels of variants by what they differ in: `gru 25` or `gru 64 units 25 steps`.

    along: keys that go along with others, and are left out where these tell all variants apart.
    """
    if not variants:
        return {}
    short = [tuple(pair for pair in own if pair[0] not in along) for own in variants]
    if along and len(set(short)) == len(short):
        labels = _make_labels(short)
        return {own: labels[one] for own, one in zip(variants, short, strict=True)}
    shared = set(variants[0]).intersection(*variants[1:])
    if any(shared.issuperset(own) for own in variants):  # then the label has the cell, if nothing
        shared = {(key, value) for key, value in shared if key != "cell"}
    differing = [[pair for pair in own if pair not in shared] for own in variants]
    found = [" ".join(words) for words in name_settings(differing)]
    if len(set(found)) < len(found):  # as typed: two keys may have the same last part
        found = [" ".join(f"{key}={value}" for key, value in own) for own in differing]
    return dict(zip(variants, found, strict=True))
