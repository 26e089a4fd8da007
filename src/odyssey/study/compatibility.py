"""Whether a study may be run in its folder: what may be mixed with what is there already."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from odyssey.code_hash import code_version
from odyssey.config.schema import PLACE_KEYS
from odyssey.errors import UserError
from odyssey.study.plan import CONTENT, Plan
from odyssey.study.state import UNLISTED, RunState, StudyState
from odyssey.study.store import COLUMNS, STUDY_FILE, TRIALS_FILE, StudyRecord, data_error
from odyssey.training.record import DONE, Code
from odyssey.typed_json import from_values, to_values

MOST_NAMED = 4  # differences between two studies that are named

Difference = tuple[str, Any, Any]  # a key, its value in the folder, its value in the plan


def check(plan: Plan, state: StudyState) -> None:
    """See whether the plan may be run in its folder.

    Raises UserError where the name is taken by another study, where runs that are there were
    made by other code or from other data, or where resume=never forbids to go on.
    """
    if plan.folder.exists() and not plan.folder.is_dir():
        raise UserError(f"{plan.folder} is a file: type another study=… or output_dir=…")
    if damaged := _damaged_file(state):
        raise UserError(damaged)
    found = _other_configuration(plan, state.record) or _other_code(plan, state)
    found = found or _other_data(plan, state.record) or _resume_never(plan, state)
    if found:
        raise UserError(*found)


def _damaged_file(state: StudyState) -> str:
    """What is wrong with study.json or trials.csv, which may have been edited or damaged."""
    way_out = "mend it, or delete it to write it anew: the runs stay"
    study, trials = state.folder / STUDY_FILE, state.folder / TRIALS_FILE
    if state.later:
        return f"{study} is of a later version of Odyssey: update this one, or type another study=…"
    if unlisted := [note for note in state.notes if UNLISTED in note]:
        return f"{unlisted[0]}: mend that, or type another study=… or output_dir=…"
    if os.path.lexists(study) and state.record is None:
        return f"{study} is not readable JSON; {way_out}"
    if state.record is not None and state.record.odd:
        key = state.record.odd[0].partition(".")[0]
        return f"{study} has a {key} that Odyssey has not written so; {way_out}"
    if any(note.startswith(str(trials)) for note in state.notes):
        return f"{trials} is not readable as a table of {', '.join(COLUMNS)}; {way_out}"
    return ""


def _other_configuration(plan: Plan, old: StudyRecord | None) -> list[str]:
    """Whether the folder holds a study of other settings; more trials or values are the same."""
    if old is None:
        return []
    new, _ = from_values(StudyRecord, to_values(plan.record()))  # as it will be read again
    way_out = f"type another name, as in study={plan.study}2"
    start = f"study={plan.study} is taken by another configuration"
    if old.sweeper != new.sweeper:
        return [f"{start}: a {old.sweeper} there, a {new.sweeper} by this command; {way_out}"]
    found = differences(old, new)
    return [f"{start}: {found}; {way_out}"] if found else []


def differences(
    old: StudyRecord, new: StudyRecord, there: str = "there", here: str = "here"
) -> str:
    """In what two studies are no parts of one, in words; empty where they may be.

    They may compare other values, and have other numbers of trials. there, here: where the two are.
    """
    if old.sweeper != new.sweeper:
        return f"a {old.sweeper} {there} and a {new.sweeper} {here}"
    differing = [*_other_search(old, new), *_other_fixed(old, new)]
    named = "; ".join(
        f"{key} is {_in_brief(a)} {there} and {_in_brief(b)} {here}"
        for key, a, b in differing[:MOST_NAMED]
    )
    more = f"; and {len(differing) - MOST_NAMED} more" if len(differing) > MOST_NAMED else ""
    return named + more


def _other_search(old: StudyRecord, new: StudyRecord) -> Iterable[Difference]:
    """Where two searches differ."""
    for key in ("sampler", "draws", "seed"):
        if getattr(old, key) != getattr(new, key):
            yield f"hydra.sweeper.{key}", getattr(old, key), getattr(new, key)
    for key in sorted({*old.space, *new.space}):
        if old.space.get(key) != new.space.get(key):
            yield f"hydra.sweeper.space.{key}", old.space.get(key), new.space.get(key)


def _other_fixed(old: StudyRecord, new: StudyRecord) -> Iterable[Difference]:
    """Where two studies' fixed parameters differ.

    What is compared or searched in one of them may be fixed in the other. What was chosen comes
    before the settings that came with it.
    """
    entries = [*old.compare, *new.compare, *old.space, *new.space]
    varied = [key for entry in entries for key in entry.split(",")]
    both = old.fixed.keys() & new.fixed.keys() - {CONTENT}  # for which see _other_data
    if CONTENT in old.fixed and old.fixed[CONTENT] == new.fixed.get(CONTENT):
        both -= set(PLACE_KEYS)  # the same data elsewhere are the same data
    for key in sorted(both, key=lambda k: (not k.endswith((".name", ".kind")), k)):
        # What is fixed below a compared group, as cell.forget_bias, was typed for all its choices.
        if old.fixed[key] != new.fixed[key] and key not in varied:
            yield key, old.fixed[key], new.fixed[key]


def _in_brief(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(str(v) for v in value.values())
        return f"({inner})"
    return "null" if value is None else str(value)


def _other_code(plan: Plan, state: StudyState) -> list[str]:
    """Whether runs that are there were made by other code than is here now."""
    if plan.resume.get("mixed") or plan.resume.get("mode") == "force":
        return []
    now = Code(**code_version())
    others: dict[str, int] = {}
    for run in state.runs.values():
        was = run.record.code if run.record else None
        if was is not None and was != now and run.state in (*DONE, "interrupted", "running"):
            what = _difference(was, now)
            others[what] = others.get(what, 0) + 1
    others |= _other_cells(plan, state)
    return [
        f"study={plan.study} holds {count} run{'s' * (count > 1)} of {what}; type another study=…, "
        "resume.mixed=true to have both in one study, or resume=force to train all anew"
        for what, count in others.items()
    ]


def _other_cells(plan: Plan, state: StudyState) -> dict[str, int]:
    """How many runs that are there are of a user's own cell as it was before: by what differs."""
    found: Counter[str] = Counter()
    for run in state.runs.values():
        was = run.record.cell_source if run.record else None
        now = plan.sources.get(run.cell)
        if was and now and was != now and run.state in (*DONE, "interrupted", "running"):
            found[f"another source of {run.cell} ({was[:12]} there, {now[:12]} here)"] += 1
    return found


def _other_data(plan: Plan, old: StudyRecord | None) -> list[str]:
    """Whether files of the user's have changed since runs that are there have read them."""
    if old is None or plan.resume.get("mixed"):
        return []
    return [
        data_error(plan.folder, options, old.data[options].sha256, now)
        for options, now in plan.data.items()
        if options in old.data and old.data[options].sha256 != now
    ]


def replaced_runs(plan: Plan, state: StudyState) -> list[RunState]:
    """Runs that failed before anything was trained, and whose trials are other runs now.

    A trial is another run after its data or its cell have been mended.
    """
    trials = {(trial.number, trial.variant) for trial in plan.trials}
    planned = {trial.run for trial in plan.trials}
    found = {}
    for row in state.trials:
        run = state.runs.get(row.run)
        if run is None or row.run in planned or (row.trial, row.variant) not in trials:
            continue
        if run.state == "failed" and not any((run.path / "checkpoints").glob("*.ckpt")):
            found[run.name] = run
    return list(found.values())


def _difference(was: Code, now: Code) -> str:
    """In what two versions of the code differ, as in `other torch (2.1 there, 2.2 here)`."""
    pairs = {"code": (was.sha256[:12], now.sha256[:12]), "torch": (was.torch, now.torch)}
    return " and ".join(
        f"other {name} ({there} there, {here} here)"
        for name, (there, here) in pairs.items()
        if there != here
    )


def _resume_never(plan: Plan, state: StudyState) -> list[str]:
    """Whether resume=never forbids to go on with runs that have begun."""
    if plan.resume.get("mode") != "never":
        return []
    rows = state.trials if plan.adaptive else [trial.row() for trial in plan.trials]
    here = [row.run for row in rows if row.run in state.runs and state.runs[row.run].record]
    return [
        f"resume=never, but study={plan.study} holds {len(here)} of these runs; type "
        "resume=auto to go on with them, or another study=…"
    ][: bool(here)]
