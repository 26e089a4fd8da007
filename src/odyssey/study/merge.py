"""Joining studies: the runs of others are moved into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.study.analysis_plan import short
from odyssey.study.compatibility import differences
from odyssey.study.edit import (
    alone,
    command_with,
    free_path,
    move,
    move_run,
    name_run,
    named,
    read,
    row_with,
)
from odyssey.study.formatting import words
from odyssey.study.state import (
    DROPPED,
    RunState,
    StudyState,
    read_study,
)
from odyssey.study.store import (
    StudyRecord,
    locked,
    write_study_record,
    write_trials,
)
from odyssey.training.record import DONE

NOTHING = object()  # in place of the value of a setting that there is not


@dataclass
class Merged:
    """What came of a merge.

    taken: how many runs have come. twice: runs that both had, of which the first study's stays.
    better: runs that both had, of which the other's was further. conflicts: runs that are done in
    both with other results. aside: where the rest of the others is. in_wandb: how many of the runs
    that have come W&B has.
    """

    taken: int = 0
    twice: list[str] = field(default_factory=list)
    better: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    in_wandb: int = 0


def merge(folder: Path, others: Sequence[Path], *, mixed: bool = False) -> Merged:
    """Move the runs of other studies into a study.

    A run that both have is there once. mixed: whether runs of other code or data may come too.
    Raises UserError where the studies have other settings, or other code or data.
    """
    every = [folder, *others]
    if len({path.resolve() for path in every}) < len(every):
        raise UserError("a study cannot be merged with itself: type each study once")
    for path in every:
        read(path)
    with alone(*every) as (state, *rest):
        for other in rest:
            _check_merge(state, other, mixed)
        found = Merged()
        for other in rest:
            _merge_one(folder, other, found)
        return found


def _check_merge(state: StudyState, other: StudyState, mixed: bool) -> None:
    """Raises UserError where the two are no parts of one study."""
    if state.record is None or other.record is None:
        lacking = state if state.record is None else other
        raise UserError(f"{lacking.folder} has no study.json, which says what its runs share")
    way_out = "a report of both, report.py A B, holds them apart"
    names = f"in {state.folder}", f"in {other.folder}"
    if found := differences(state.record, other.record, *names):
        raise UserError(f"{other.folder} is another study than {state.folder}: {found}; {way_out}")
    if mixed:
        return
    what = [
        f"{name} ({named(sorted(a))} there, {named(sorted(b))} in {other.folder})"
        for name, a, b in zip(("code", "torch"), _versions(state), _versions(other), strict=True)
        if a and b and a != b
    ]
    both = state.record.data.keys() & other.record.data.keys()
    data = [key for key in both if state.record.data[key] != other.record.data[key]]
    if data:
        what.append(f"data of {named(sorted(data))}")
    if what:
        raise UserError(
            f"{other.folder} has runs of other {' and other '.join(what)}: type --mixed to have "
            f"both in one study, or leave it; {way_out}"
        )


def _versions(state: StudyState) -> tuple[set[str], set[str]]:
    """The hashes of the code, and the versions of torch, that a study's runs were made by."""
    codes = [run.record.code for run in state.runs.values() if run.record and run.record.code]
    return {code.sha256[:12] for code in codes}, {code.torch for code in codes}


def _merge_one(folder: Path, other: StudyState, found: Merged) -> None:
    state = read_study(folder)
    record, theirs = state.record, other.record
    assert record is not None and theirs is not None
    settings = _settings_of(state, other)
    if theirs.plan is not None and record.plan is not None:
        pairs = [
            (key, getattr(record.plan, key), getattr(theirs.plan, key))
            for key in ("baseline", "metric", "margin", "alpha", "looks")
        ]
        if odd := [f"{key} {short(str(b))}" for key, a, b in pairs if a != b]:
            found.notes.append(
                f"the plan of the analysis is that of {folder}; {other.folder} had {', '.join(odd)}"
            )
    # First what is planned: a run that has not come yet is then one that has not begun.
    with locked(folder):
        joined, first = _joined(record, theirs, settings)
        rows = [
            replace(
                row_with(row, settings),
                command=None if row.command is None else row.command + first,
            )
            for row in other.trials
        ]
        old = {(row.trial, row.variant, row.run) for row in state.trials}
        new = [row for row in rows if (row.trial, row.variant, row.run) not in old]
        every = [*state.trials, *new]
        joined.variants = len({row.variant for row in every}) or None
        write_study_record(folder, joined)
        write_trials(folder, every)
    for run in other.runs.values():
        if run.state != "missing":
            _take(folder, run, state.runs.get(run.name), settings, found)
    aside = free_path(folder / DROPPED / other.folder.absolute().name)
    move(other.folder, aside)
    found.aside.append(aside)


def _settings_of(state: StudyState, other: StudyState) -> dict[str, str]:
    """What the words of the other study's trials have to say in the first one."""
    here, there = state.folder.absolute().parent, other.folder.absolute().parent
    settings = {"study": state.folder.absolute().name}
    if here != there:
        typed = [w for row in state.trials[:1] for w in words(row.overrides)]
        given = dict(word.partition("=")[::2] for word in typed)
        settings["output_dir"] = given.get("output_dir", str(here))
    return settings


def _joined(
    record: StudyRecord, theirs: StudyRecord, settings: Mapping[str, str]
) -> tuple[StudyRecord, int]:
    """study.json of both, and the number of the other's first command in it."""
    compare = {key: list(values) for key, values in record.compare.items()}
    for key, values in theirs.compare.items():
        compare[key] = [
            *compare.get(key, []),
            *(v for v in values if v not in compare.get(key, [])),
        ]
    commands = [replace(c, command=command_with(c.command, settings)) for c in theirs.commands]
    known_commands = [(c.time, c.command) for c in record.commands]
    if commands and (commands[0].time, commands[0].command) in known_commands:  # the second time
        first = known_commands.index((commands[0].time, commands[0].command))
    else:
        first = len(record.commands)
    fixed = {k: v for k, v in record.fixed.items() if theirs.fixed.get(k, NOTHING) == v}
    trials = max(record.trials or 0, theirs.trials or 0) or None
    return (
        replace(
            record,
            compare=compare,
            fixed=fixed,
            trials=trials,
            commands=[
                *record.commands[:first],
                *commands,
                *record.commands[first + len(commands) :],
            ],
            data=theirs.data | record.data,
            dropped=[*record.dropped, *(d for d in theirs.dropped if d not in record.dropped)],
        ),
        first,
    )


RANK = {"finished": 4, "diverged": 4, "interrupted": 3, "failed": 2, "damaged": 1, "missing": 0}


def _take(
    folder: Path,
    run: RunState,
    mine: RunState | None,
    settings: Mapping[str, str],
    found: Merged,
) -> None:
    """Move a run of another study here, unless there is one that is as far."""
    if mine is not None and mine.state != "missing":
        if RANK[run.state] <= RANK[mine.state]:
            found.twice.append(run.name)
            if run.state in DONE and _results(run) != _results(mine):
                found.conflicts.append(run.name)
            return
        move_run(folder, run.name, folder / DROPPED)
        found.better.append(run.name)
    move_run(run.path.parent, run.name, folder)
    name_run(folder / run.name, settings)
    found.taken += 1
    found.in_wandb += bool(run.record and run.record.wandb)


def _results(run: RunState) -> Any:
    return (run.state, run.record.metrics) if run.record else run.state
