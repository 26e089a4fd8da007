"""Editing a study: leaving runs out, giving it another name, joining it with others.

Folders move by renaming, one at a time, and files are replaced as a whole. What a process that is
killed in between leaves behind is a study like any other, and the same command goes on from there.
"""

from __future__ import annotations

import errno
import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from odyssey.config.compose import compose
from odyssey.config.keys import hint, known
from odyssey.config.schema import flat
from odyssey.errors import UserError, did_you_mean
from odyssey.io import write_text
from odyssey.registry import cell_name, plain
from odyssey.study.analysis_plan import choose_baseline, matches, short, updated
from odyssey.study.compatibility import differences
from odyssey.study.formatting import several, words
from odyssey.study.overrides import listed, parse
from odyssey.study.session_lock import editing
from odyssey.study.state import (
    CONFIRMS,
    DROPPED,
    RunState,
    StudyState,
    not_a_study,
    read_study,
)
from odyssey.study.store import (
    StudyRecord,
    TrialRow,
    locked,
    read_study_record,
    write_study_record,
    write_trials,
)
from odyssey.training.record import DONE
from odyssey.training.run_dir import Busy, RunFolder
from odyssey.yaml_text import safe_load

MOST_NAMED = 4  # things of a kind in a sentence
CHOICES = {"optimizer": "optimizer.kind", "decay": "decay.kind", "clip": "clip.kind"}
CHOICES |= {"task": "task.name"}


# -- what they have in common ---------------------------------------------------------------------


@contextmanager
def _alone(*folders: Path) -> Iterator[list[StudyState]]:
    """The studies, which no other process is at, nor comes to meanwhile. Raises UserError."""
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(editing(folder))
        states = [_read(folder) for folder in folders]
        for state in states:
            if at_it := [run.name for run in state.runs.values() if run.state == "running"]:
                raise UserError(
                    f"{state.folder} is running ({_named(at_it)}): wait for its runs, or stop them "
                    "with Ctrl-C where they were started"
                )
        yield states


def _read(folder: Path) -> StudyState:
    if wrong := not_a_study(folder, "type a study's folder, as in outputs/truncation"):
        raise UserError(wrong)
    state = read_study(folder)
    if state.notes:
        raise UserError(*(f"{note}: mend it first" for note in state.notes))
    if state.record is not None and state.record.odd:
        raise UserError(
            f"{folder}/study.json has a {state.record.odd[0]} that Odyssey has not written so: "
            "mend it first"
        )
    return state


def _named(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more


def _move(source: Path, target: Path) -> None:
    """Move a file or folder: at once, or by a whole copy where it goes to another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, part, symlinks=True)
        else:
            shutil.copy2(source, part)
        part.rename(target)
        shutil.rmtree(source) if source.is_dir() else source.unlink()


def _free(path: Path) -> Path:
    """The path, or NAME~1, NAME~2, … where there is something."""
    found, n = path, 0
    while found.exists():
        n += 1
        found = path.with_name(f"{path.name}~{n}")
    return found


def _move_run(folder: Path, name: str, target: Path) -> None:
    """Move a run's folder and then its log. Raises UserError where a process has the run."""
    run = RunFolder(folder / name)
    try:
        run.acquire()
    except Busy:
        raise UserError(f"{folder / name} is being trained: wait for it") from None
    try:
        log = folder / "logs" / f"{name}.log"
        if run.path.exists():
            _move(run.path, _free(target / name))
        if log.exists():
            _move(log, _free(target / "logs" / log.name))
    finally:
        run.release()
        with suppress(OSError):
            (folder / f".{name}.lock").unlink()


def _with_settings(line: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """The words of a command with these settings in place of its own."""
    found, left = [], dict(settings)
    for word in line:
        key = word.lstrip("+").partition("=")[0]
        found.append(f"{key}={left.pop(key)}" if key in left else word)
    return [*found, *(f"{key}={value}" for key, value in left.items())]


def _command_with(command: str, settings: Mapping[str, str]) -> str:
    """A command of study.json with these settings, as it is typed."""
    try:
        line = shlex.split(command)
    except ValueError:
        return command
    if "-m" not in line and "--multirun" not in line:
        return command
    return shlex.join(_with_settings(line, settings))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _ended(runs: Iterable[RunState]) -> int:
    return sum(run.state in (*DONE, "failed") for run in runs)


# -- drop -----------------------------------------------------------------------------------------


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
    shown = "; ".join(f"{key} is {_named(values)}" for key, values in there.items() if values)
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
    found = _read_yaml(run.path / "config.yaml")
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


def _read_yaml(file: Path) -> Any:
    try:
        return safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


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
    with _alone(folder) as (state,):
        found = to_drop(state, settings)
        if not ask(found):
            return None
        aside = folder / DROPPED
        for run in found.runs:
            _move_run(folder, run.name, aside)
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


# -- rename ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Renamed:
    """A study under its new name.

    in_wandb: how many of its runs W&B has under the old one. confirmed: the study that confirms it.
    """

    folder: Path
    old: str
    in_wandb: int
    confirmed: Path | None


def rename(folder: Path, name: str) -> Renamed:
    """Give a study another name, in its folder and in its files. Raises UserError.

    Where it was interrupted, the same call goes on.
    """
    old, new = folder.absolute().name, folder.absolute().parent / name
    if not name or set(name) & set("/\\\0~,=${}'\"") or name[0] in ".-" or name != name.strip():
        raise UserError(
            f"{name or repr(name)} is not a name for a study: type letters, digits, _ and -"
        )
    half_done = not folder.exists() and _is_half_renamed(new, old)
    if not half_done:
        _read(folder)
        if new.exists():
            raise UserError(f"{new} is there already: type another name, or merge the two")
        with _alone(folder), locked(folder):
            folder.rename(new)
    with _alone(new) as (state,):
        _write_name(state, name)
    confirmed = new.parent / f"{old}-confirmed"
    _confirm_as(confirmed / CONFIRMS, old, name)
    in_wandb = sum(bool(r.record and r.record.wandb) for r in state.runs.values())
    return Renamed(new, old, in_wandb, confirmed if (confirmed / CONFIRMS).exists() else None)


def _is_half_renamed(folder: Path, old: str) -> bool:
    """Whether a folder is that of a study which is still called `old` in its files."""
    record, *_ = read_study_record(folder)
    return record is not None and record.study == old


def _write_name(state: StudyState, name: str) -> None:
    """Let all files of a study say its name; study.json last, which says that it is done."""
    for run in state.runs.values():
        _name_run(run.path, {"study": name})
    with locked(state.folder):
        settings = {"study": name}
        write_trials(state.folder, [_row_with(row, settings) for row in state.trials])
        if state.record is not None:
            commands = [
                replace(c, command=_command_with(c.command, settings))
                for c in state.record.commands
            ]
            write_study_record(state.folder, replace(state.record, study=name, commands=commands))


def _row_with(row: TrialRow, settings: Mapping[str, str]) -> TrialRow:
    line = shlex.join(_with_settings(words(row.overrides), settings))
    return replace(row, overrides=line)


def _name_run(path: Path, settings: Mapping[str, str]) -> None:
    """Let the configuration and the words in a run's folder have these settings."""
    config, line = _read_yaml(path / "config.yaml"), _read_yaml(path / "overrides.yaml")
    if isinstance(config, dict) and any(config.get(k) != v for k, v in settings.items()):
        config |= settings
        _write_yaml(path / "config.yaml", config)
    if isinstance(line, list):
        given = _with_settings([str(word) for word in line], settings)
        if given != line:
            _write_yaml(path / "overrides.yaml", given)


def _write_yaml(file: Path, content: Any) -> None:
    write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _confirm_as(file: Path, old: str, name: str) -> None:
    """Let the study that confirms a search name it anew."""
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("study") == old:
            found["study"] = name
            write_text(file, json.dumps(found, indent=2, ensure_ascii=False) + "\n")


# -- merge ----------------------------------------------------------------------------------------


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
        _read(path)
    with _alone(*every) as (state, *rest):
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
        f"{name} ({_named(sorted(a))} there, {_named(sorted(b))} in {other.folder})"
        for name, a, b in zip(("code", "torch"), _versions(state), _versions(other), strict=True)
        if a and b and a != b
    ]
    both = state.record.data.keys() & other.record.data.keys()
    data = [key for key in both if state.record.data[key] != other.record.data[key]]
    if data:
        what.append(f"data of {_named(sorted(data))}")
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
                _row_with(row, settings),
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
    aside = _free(folder / DROPPED / other.folder.absolute().name)
    _move(other.folder, aside)
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
    commands = [replace(c, command=_command_with(c.command, settings)) for c in theirs.commands]
    known_commands = [(c.time, c.command) for c in record.commands]
    if commands and (commands[0].time, commands[0].command) in known_commands:  # the second time
        first = known_commands.index((commands[0].time, commands[0].command))
    else:
        first = len(record.commands)
    fixed = {k: v for k, v in record.fixed.items() if theirs.fixed.get(k, _Nothing) == v}
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
        _move_run(folder, run.name, folder / DROPPED)
        found.better.append(run.name)
    _move_run(run.path.parent, run.name, folder)
    _name_run(folder / run.name, settings)
    found.taken += 1
    found.in_wandb += bool(run.record and run.record.wandb)


def _results(run: RunState) -> Any:
    return (run.state, run.record.metrics) if run.record else run.state
