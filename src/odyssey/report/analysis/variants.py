"""The runs of a comparison by variant: by what is compared, and by what else differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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

MOST_FIXED = (
    3  # settings in which studies differ that stand in a label; beyond, the study's name does
)
STUDY_KEY = "study"

Settings = tuple[tuple[str, str], ...]


@dataclass
class VariantSplit:
    variants: list[Variant]  # in the plan's order
    searched: list[str]  # flat keys
    notes: list[str] = field(default_factory=list)


def split_by_variant(runs: Sequence[ReportRun], studies: Sequence[ReportStudy]) -> VariantSplit:
    """The variants of runs that may be compared.

    What is compared in any of the studies tells variants. A setting that is fixed in each study
    but not the same in all does too: their runs are not pooled.
    """
    compared = list(dict.fromkeys(["cell", *(k for s in studies for k in compared_keys(s))]))
    by_study = {study.name: study for study in studies}
    searched = {study.name: searched_keys(study) for study in studies}

    def settings(run: ReportRun) -> Settings:
        study = by_study[run.study]
        keys = [key for key in compared if not is_under(key, searched[run.study])]
        words = ((key, setting_text(run, key, study)) for key in keys)
        return tuple((key, value) for key, value in words if value or key == "cell")

    found: dict[Settings, list[ReportRun]] = {}
    of_run = {}
    for run in runs:
        of_run[run.study, run.name] = own = settings(run)
        found.setdefault(own, []).append(run)
    notes: list[str] = []
    for study in studies:
        if lacks_plan(study):
            searched[study.name] = _infer_searched(study, found.values(), notes)
    extra = _differences(found, studies, searched, compared, notes)
    split: dict[Settings, list[ReportRun]] = {}
    for run in runs:
        own = of_run[run.study, run.name]
        split.setdefault(own + extra.get((own, run.study), ()), []).append(run)
    variants = [
        Variant(label, dict(own), dict(own)["cell"], split[own])
        for own, label in _make_labels(list(split)).items()
    ]
    config = {key for run in runs for key in run.config}
    keys = [key for study in studies if study.space for key in searched[study.name]]
    axes = list(dict.fromkeys(resolve_key(key, config) for key in keys)) or _varying_keys(
        split.values()
    )
    return VariantSplit(variants, axes, notes)


def _varying_keys(variants: Iterable[Sequence[ReportRun]]) -> list[str]:
    """Settings but the seed that are not the same in all runs of some variant."""
    found: dict[str, None] = {}
    for runs in variants:
        first: dict[str, Any] = {}
        for run in runs:
            for key, value in run.config.items():
                if (
                    first.setdefault(key, value) != value
                    and key not in found
                    and affects_result(key)
                ):
                    found[key] = None
    return list(found)


def _infer_searched(
    study: ReportStudy, variants: Iterable[Sequence[ReportRun]], notes: list[str]
) -> list[str]:
    """What varies in a study that does not say what it searches."""
    keys = _varying_keys([run for run in runs if run.study == study.name] for runs in variants)
    variants_are = "" if study.compare else "its variants are the cells, and "
    rest = f"what else varies counts as searched ({', '.join(keys)})"
    notes.append(
        f"Study {study.name} does not say what it searches: {variants_are}"
        f"{rest if keys else 'nothing else varies but the seed'}."
    )
    return keys


Extra = dict[tuple[Settings, str], Settings]  # variant and study -> further settings


def _differences(
    variants: Mapping[Settings, Sequence[ReportRun]],
    studies: Sequence[ReportStudy],
    searched: Mapping[str, Sequence[str]],
    compared: Sequence[str],
    notes: list[str],
) -> Extra:
    """What else tells the variants of several studies apart."""
    if len(studies) < 2:
        return {}
    every = [run for runs in variants.values() for run in runs]
    # What comes with a cell or with another choice that is compared differs between variants; it
    # has to be the same within one.
    common = _roles(every, studies, searched, lambda key: not is_under(key, ["cell", *compared]))
    found: Extra = {}
    told: dict[str, None] = {}
    for own, runs in variants.items():
        here = [study for study in studies if any(run.study == study.name for run in runs)]
        roles = _roles(runs, here, searched, lambda key: key not in compared)
        keys = [*common, *(key for key in roles if key not in common)]
        for study in here:
            words = []
            of_study = [(key, {**roles, **common}[key].get(study.name)) for key in keys]
            fixed = [(key, role[1:]) for key, role in of_study if role and role[0] == "="]
            others = [key for key, role in of_study if role and role[0] != "="]
            rivals = [k for k in others if len(_searches({**roles, **common}[k])) > 1]
            if rivals or len(fixed) > MOST_FIXED:
                words.append((STUDY_KEY, study.name))
            words += fixed if len(fixed) <= MOST_FIXED else []
            told.update(dict.fromkeys(keys))
            if words:
                found[own, study.name] = tuple(words)
    if told:
        notes.append(
            f"The studies {', '.join(s.name for s in studies)} differ in {', '.join(told)}: their "
            "runs are not pooled, and the variants' names say which is which."
        )
    return found


def _searches(roles: Mapping[str, str]) -> set[str]:
    return {role for role in roles.values() if role[0] != "="}


def _roles(
    runs: Sequence[ReportRun],
    studies: Sequence[ReportStudy],
    searched: Mapping[str, Sequence[str]],
    counts: Callable[[str], bool],
) -> dict[str, dict[str, str]]:
    """Key -> what it is in each study, of keys that are not the same in all of them.

    `=0.1` where it is fixed, else how it is searched.
    """
    values: dict[str, dict[str, list[Any]]] = {study.name: {} for study in studies}
    for run in runs:
        of_study = values[run.study]
        for key, value in run.config.items():
            seen = of_study.setdefault(key, [])
            if len(seen) < 2 and value not in seen:
                seen.append(value)
    found: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key for of_study in values.values() for key in of_study):
        if not affects_result(key) or not counts(key):
            continue
        roles = {}
        for study in studies:
            seen = values[study.name].get(key, [])
            if how := _describe_search(key, study, searched[study.name]):
                roles[study.name] = how
            elif len(seen) == 1:
                roles[study.name] = f"={format_value(seen[0])}"
            elif not seen and key in study.fixed:
                roles[study.name] = f"={format_value(study.fixed[key])}"
        if len(set(roles.values())) > 1:
            found[key] = roles
    return found


def _describe_search(key: str, study: ReportStudy, searched: Sequence[str]) -> str:
    """How a study searches a key; empty where it does not."""
    if not is_under(key, searched):
        return ""
    for entry, how in study.space.items():
        if is_under(key, entry.split(",")):
            return f"{study.sampler} {json.dumps(how, sort_keys=True, default=str)}"
    return f"varies in {study.name}"


def _make_labels(variants: Sequence[Settings]) -> dict[Settings, str]:
    """`cifg`, or the cell and the words that are not the same in all, or these words alone."""
    if not variants:
        return {}
    shared = set(variants[0]).intersection(*variants[1:])
    if any(shared.issuperset(own) for own in variants):  # the cell says what has no other name
        shared = {(key, value) for key, value in shared if key != "cell"}
    return {
        own: " ".join(
            value if key == "cell" else f"{key}={value}"
            for key, value in own
            if (key, value) not in shared
        )
        for own in variants
    }
