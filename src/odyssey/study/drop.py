"""Leaving runs out of a study."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from odyssey.config.compose import compose
from odyssey.config.keys import hint, known
from odyssey.config.schema import flat
from odyssey.errors import UserError, did_you_mean
from odyssey.registry import cell_name, plain
from odyssey.study.analysis_plan import choose_baseline, matches, updated
from odyssey.study.edit import (
    alone,
    move_run,
    named,
)
from odyssey.study.formatting import several, words
from odyssey.study.overrides import listed, parse
from odyssey.study.state import (
    DROPPED,
    RunState,
    StudyState,
)
from odyssey.study.store import (
    Dropped,
    StudyRecord,
    TrialRow,
    locked,
    write_study_record,
    write_trials,
)
from odyssey.training.record import DONE
from odyssey.yaml_text import read_values

# Settings that say what a group is.
CHOICES = {"optimizer": "optimizer.kind", "decay": "decay.kind", "clip": "clip.kind"}
CHOICES |= {"task": "task.name"}


@dataclass(frozen=True)
class Drop:
    """What is to be left out of a study.

    rows: of trials.csv that go, kept: that stay. runs: that go, in the study's order.
    """

    state: StudyState
    rows: list[TrialRow]
    kept: list[TrialRow]
    runs: list[RunState]

    def in_words(self) -> str:
        """`6 runs (4 finished, 2 missing), of 12`."""
        states = [run.state for run in self.runs]
        counted = [f"{states.count(s):,} {_state(s)}" for s in dict.fromkeys(states)]
        return f"{several(len(self.runs), 'run')} ({', '.join(counted)}) of {len(self.state.runs)}"


def _state(state: str) -> str:
    return "not begun" if state == "missing" else state


def to_drop(state: StudyState, settings: Sequence[str]) -> Drop:
    """The runs of a study that have all these settings, `key=value`, or one of these names.

    A value may be several, `cell=rnn,gru`. Raises UserError where none has them, or all have.
    """
    names = [word for word in settings if "=" not in word]
    if unknown := [name for name in names if name not in state.runs]:
        raise UserError(
            f"{unknown[0]} is no run of {state.folder}{did_you_mean(unknown[0], state.runs)}: type "
            "settings, as in cell=rnn, or the name of a run's folder"
        )
    pairs = [word.lstrip("+").partition("=") for word in settings if "=" in word]
    wanted = {key: _values(key, text) for key, _, text in pairs}
    rows: dict[str, list[TrialRow]] = {}
    for row in state.trials:
        rows.setdefault(row.run, []).append(row)
    out: list[TrialRow] = []
    runs: list[RunState] = []
    seen: dict[str, list[str]] = {key: [] for key in wanted}
    for run in state.runs.values():
        if names and run.name not in names:
            continue
        here = [None, *rows[run.name]][1:] if run.name in rows else [None]
        gone = [row for row in here if _has(run, row, wanted, seen)]
        out += [row for row in gone if row is not None]
        if len(gone) == len(here):
            runs.append(run)
    if not out and not runs:
        raise UserError(_none_has(state, settings, seen))
    dropped = set(out)
    kept = [row for row in state.trials if row not in dropped]
    if len(runs) == len(state.runs):
        raise UserError(
            f"{' '.join(settings)} is all of {state.folder}: delete the folder, or type "
            "settings of some of its runs"
        )
    return Drop(state, out, kept, runs)


def _none_has(state: StudyState, settings: Sequence[str], seen: Mapping[str, list[str]]) -> str:
    start = f"no run of {state.folder} has {' '.join(settings)}"
    for key, values in seen.items():
        if not values and not known(key):
            return f"{start}: {key} is not a setting{hint(key)}"
    there = {key: list(dict.fromkeys(values)) for key, values in seen.items()}
    shown = "; ".join(f"{key} is {named(values)}" for key, values in there.items() if values)
    return f"{start}{': there ' * bool(shown)}{shown}"


def _values(key: str, text: str) -> list[Any]:
    """The values that a word asks for."""
    value = parse(key, text)
    found = listed(key, value)
    return [value] if found is None else found


def _has(
    run: RunState,
    row: TrialRow | None,
    wanted: Mapping[str, Sequence[Any]],
    seen: dict[str, list[str]],
) -> bool:
    """Whether a trial has all the settings; what it has of them is added to `seen`."""
    config: Mapping[str, Any] | None = None
    typed = {}
    for word in words(f"{row.overrides} {row.variant}") if row else []:
        key, _, text = word.lstrip("+").partition("=")
        typed[key] = text
    for key, values in wanted.items():
        if key in typed:
            with suppress(UserError):
                value = parse(key, typed[key])
                seen[key].append(str(value))
                if not any(_same(value, other) for other in values):
                    return False
                continue
        if config is None:
            config = _config(run, row)
        value = config.get(key, _Nothing)
        if value is not _Nothing:
            seen[key].append(str(value))
        if not any(_same(value, other) for other in values):
            return False
    return True


class _Nothing:
    """In place of the value of a setting that a run does not have."""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return float(a) == float(b)
    return str(a) == str(b) if a is not None and b is not None else a is b


def _config(run: RunState, row: TrialRow | None) -> dict[str, Any]:
    """All settings of a run, those of groups too: as its folder has them, or as its words do."""
    found = read_values(run.path / "config.yaml")
    if not isinstance(found, dict):
        try:
            found = plain(compose(words(row.overrides))) if row else {}
        except UserError:  # a cell of the user's own that is gone
            found = {}
    config = flat(found)
    config |= {group: config[key] for group, key in CHOICES.items() if key in config}
    target = config.get("cell._target_")
    config["cell"] = cell_name(target) if isinstance(target, str) else run.cell
    return config


def drop(
    folder: Path,
    settings: Sequence[str],
    *,
    delete: bool = False,
    ask: Callable[[Drop], bool] = lambda found: True,
) -> Drop | None:
    """Leave runs out of a study; None where `ask` says no.

    Their folders and logs go to `dropped/` in the study's folder, which nothing reads, or are
    deleted. Raises UserError, as where the study is running.
    """
    with alone(folder) as (state,):
        found = to_drop(state, settings)
        if not ask(found):
            return None
        aside = folder / DROPPED
        if state.record is not None:  # it is noted before anything goes
            with locked(folder):
                _note(state.record, found, settings)
                write_study_record(folder, state.record)
        for run in found.runs:
            move_run(folder, run.name, aside)
        with locked(folder):
            if state.record is not None:
                write_study_record(folder, _without(state.record, found))
            write_trials(folder, found.kept)
        if delete:  # from where no half of a run is taken for one
            for run in found.runs:
                shutil.rmtree(aside / run.name, ignore_errors=True)
                with suppress(OSError):
                    (aside / "logs" / f"{run.name}.log").unlink()
            for empty in (aside / "logs", aside):
                with suppress(OSError):
                    empty.rmdir()
    return found


def _note(record: StudyRecord, found: Drop, settings: Sequence[str]) -> None:
    """Add to study.json what goes, unless it is there from a process that was killed at it."""
    names = [run.name for run in found.runs]
    typed = " ".join(settings)
    last = record.dropped[-1] if record.dropped else Dropped()
    trained_since = any(command.time > last.time for command in record.commands)
    if (last.settings, last.runs) != (typed, names) or trained_since:
        record.dropped.append(Dropped(_now(), typed, names, _ended(found.runs)))


def _without(record: StudyRecord, found: Drop) -> StudyRecord:
    """study.json less the values that no trial has any more."""
    there = [set(words(row.variant)) for row in found.kept]
    compare = {}
    for entry, values in record.compare.items():
        keys = entry.split(",")
        kept = []
        for value in values:
            texts = [f"{keys[0]}={value}"] if len(keys) == 1 else [str(word) for word in value]
            wanted = {word for text in texts for word in words(text)}
            if not there or any(_set_in(wanted, own, keys) for own in there):
                kept.append(value)
        compare[entry] = kept
    labels = dict.fromkeys(row.variant for row in found.kept)
    plan = record.plan
    if plan is not None and plan.baseline and labels:
        variants = [
            dict(w.lstrip("+").partition("=")[::2] for w in words(label)) for label in labels
        ]
        by_label = {row.variant: row.run for row in found.kept}
        cells = [found.state.runs[by_label[label]].cell for label in labels]
        own = [{"cell": cell, **v} for cell, v in zip(cells, variants, strict=True)]
        if not any(matches(plan.baseline, one) for one in own):
            other = choose_baseline(None, variants, cells)
            results = _ended(found.state.runs.values())
            plan = updated(plan, {"baseline": other}, other, _now(), results)
    return replace(record, compare=compare, variants=len(labels) or None, plan=plan)


def _set_in(wanted: set[str], own: set[str], keys: Sequence[str]) -> bool:
    """Whether a variant has the words; those of keys that do not apply to it are passed over."""
    there = {word.partition("=")[0] for word in own}
    asked = {w for w in wanted if w.partition("=")[0] in there}
    return bool(asked) and asked <= own


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _ended(runs: Iterable[RunState]) -> int:
    return sum(run.state in (*DONE, "failed") for run in runs)
