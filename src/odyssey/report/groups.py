"""Runs -> comparisons: what may be pooled, what is compared, and against which baseline."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from odyssey.errors import UserError, did_you_mean
from odyssey.report.facts import facts
from odyssey.report.keys import word
from odyssey.report.placing import Context, Group, place
from odyssey.report.result import SEARCH, SEEDS, SINGLE, Comparison, Variant
from odyssey.report.runs import Collection, Study
from odyssey.report.variants import split_by_variant
from odyssey.study.shown import several

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
