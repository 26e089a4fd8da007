"""What a study folder holds: its plan, its runs and the state of each, from the files alone."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from odyssey.errors import did_you_mean, options
from odyssey.io import Stamp, read_text, reason, stamp_of
from odyssey.study.store import (
    STUDY_FILE,
    TRIALS_FILE,
    StudyRecord,
    TrialRow,
    read_study_record,
    read_trials,
)
from odyssey.training.record import NoRecord, RunRecord
from odyssey.typed_json import LaterSchema

STATES = ("finished", "diverged", "failed", "interrupted", "running", "missing", "damaged")
LEFT = ("missing", "interrupted")  # what the same command would train
DROPPED = "dropped"  # a folder in a study's, with what was left out of it
NOT_RUNS = ("logs", "report", "wandb", DROPPED)
UNPLANNED = "not in the plan"
# Words of notes that are about runs, and not about the plan.
UNLISTED, UNRECORDED = "cannot be listed", "has the files of a run and no run.json"
CONFIRMS = "confirms.json"  # in the folder of a study that confirms a search


@dataclass(frozen=True)
class RunState:
    """One run: what its run.json says, and whether a process is at it."""

    name: str
    path: Path
    state: str  # one of STATES
    record: RunRecord | None = None  # run.json; None where there is none that can be read
    changed: float | None = None  # when run.json was written, in seconds since 1970
    stamp: Stamp | None = field(default=None, repr=False)
    later: bool = False  # damaged only in so far as a later version of Odyssey wrote run.json

    @property
    def monitor(self) -> str:
        """The metric that says which checkpoint is best; empty where it is not known yet."""
        return self.record.monitor.name if self.record and self.record.monitor else ""

    @property
    def mode(self) -> Literal["min", "max"]:
        """`min` where a smaller value of the monitor is better, else `max`."""
        return self.record.monitor.mode if self.record and self.record.monitor else "min"

    @property
    def value(self) -> float:
        """The best validation value of the monitor; nan where there is none."""
        return self.record.value() if self.record else math.nan

    @property
    def test(self) -> float:
        """The test value of the same weights; nan where there is none."""
        return self.record.value("test") if self.record else math.nan

    @property
    def seconds(self) -> float:
        """Time in training, over all sessions; nan where it is not known."""
        seconds = self.record.seconds if self.record else None
        return math.nan if seconds is None else seconds

    @property
    def cell(self) -> str:
        """The cell's name, from the folder's where run.json does not say."""
        return (self.record.cell if self.record else "") or self.name.rsplit("-", 2)[0]

    @property
    def task(self) -> str:
        """The task's name, from the folder's where run.json does not say."""
        if self.record and self.record.task:
            return self.record.task
        parts = self.name.rsplit("-", 2)
        return parts[1] if len(parts) == 3 else ""

    @property
    def data(self) -> str:
        """The name of the data; empty where it is not known yet."""
        return self.record.data.name if self.record and self.record.data else ""

    @property
    def error(self) -> str:
        """The last line of what went wrong, or nothing."""
        lines = ((self.record.error if self.record else None) or "").strip().splitlines()
        return lines[-1].strip() if lines else ""


@dataclass
class StudyState:
    """A study as it is on the disk now."""

    folder: Path
    record: StudyRecord | None = None  # study.json; None where there is none that can be read
    trials: list[TrialRow] = field(default_factory=list)  # trials.csv
    runs: dict[str, RunState] = field(default_factory=dict)  # in the plan's order, then by name
    notes: list[str] = field(default_factory=list)  # a sentence for each file that cannot be read
    stamps: dict[str, Stamp | None] = field(default_factory=dict, repr=False)
    later: bool = False  # whether a later version of Odyssey wrote study.json
    to_come: int = 0  # trials of an adaptive search that are not in the plan yet

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def counts(self) -> dict[str, int]:
        """How many runs are in each state; every state is there."""
        found = Counter(run.state for run in self.runs.values())
        return {state: found[state] for state in STATES}

    def variants(self) -> dict[str, list[RunState]]:
        """The runs of each variant, by its label; by cell where nothing is planned or compared."""
        found: dict[str, dict[str, RunState]] = {}
        for trial in self.trials:
            if run := self.runs.get(trial.run):
                found.setdefault(trial.variant or f"cell={run.cell}", {})[run.name] = run
        planned = {trial.run for trial in self.trials}
        for run in self.runs.values():
            if run.name not in planned:
                label = UNPLANNED if planned else f"cell={run.cell}"
                found.setdefault(label, {})[run.name] = run
        return {label: list(runs.values()) for label, runs in found.items()}


def read_run(path: Path, *, lock: bool = True, before: RunState | None = None) -> RunState:
    """The state of a run folder. Never raises for what is in it.

    lock: whether to look if a process holds a run that is said to run; without, that is believed.
    before: an earlier look, which spares reading run.json again where it has not changed.
    """
    run = _parse(path, before)
    if not lock or run.state not in ("running", "missing"):
        return run
    if is_locked(path):
        return replace(run, state="running")
    if run.state == "missing":
        return run
    # It may have ended, or started, between the two looks.
    again = _parse(path, run)
    return again if again.stamp != run.stamp else replace(run, state="interrupted")


def is_locked(path: Path) -> bool:
    """Whether a process, here or on another machine, is training the run folder `path`.

    Asks without waiting, and leaves no lock file where there was none. A shared lock: two that ask
    at once do not take each other for a trainer.
    """
    path = path.absolute()  # `.` has no name
    file = path.with_name(f".{path.name}.lock")
    if sys.platform == "win32":  # no flock there; filelock's own way of asking
        from filelock import FileLock, Timeout

        if not file.exists():
            return False
        try:
            with FileLock(file, timeout=0):
                return False
        except Timeout:
            return True
    import fcntl

    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # there, but not for us to open: believe run.json
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def read_study(folder: Path, before: StudyState | None = None) -> StudyState:
    """All runs of a study, planned ones that are not there yet too. Never raises for its content.

    A folder that is not there is a study of nothing.

    before: an earlier look; only files that have changed since are read again.
    """
    study = StudyState(folder)
    _read_plan(study, before)
    earlier = before.runs if before else {}
    there, locks, unlisted = _entries(folder)
    notes = [unlisted] if unlisted else []
    planned = dict.fromkeys(trial.run for trial in study.trials)
    for name in [*planned, *sorted(there - planned.keys())]:
        path = folder / name
        if name not in there and f".{name}.lock" not in locks:
            study.runs[name] = RunState(name, path, "missing")
            continue
        run = read_run(path, before=earlier.get(name))
        if name in planned or run.state != "missing":  # else it is some other folder
            study.runs[name] = run
        if name in there and run.state == "missing" and _has_work(path):
            notes.append(
                f"{path} {UNRECORDED}: its command keeps what it holds beside it, and trains it "
                "anew"
            )
    study.notes = [*study.notes, *notes]
    return study


def _parse(path: Path, before: RunState | None) -> RunState:
    """What run.json says, whoever holds the lock."""
    file = os.path.join(path, "run.json")  # thousands of them: pathlib takes four times as long
    if before is not None and before.stamp is not None and before.stamp == stamp_of(file):
        state = before.record.status if before.record else "damaged"
        return before if before.state == state else replace(before, state=state)
    try:
        text, stamp = read_text(file)
    except FileNotFoundError:
        return RunState(path.name, path, "missing")
    except (OSError, ValueError):
        return RunState(path.name, path, "damaged")
    changed = stamp[0] / 1e9
    try:
        record = RunRecord.load(text)
    except NoRecord:
        return RunState(path.name, path, "missing")
    except ValueError as error:
        later = isinstance(error, LaterSchema)
        return RunState(path.name, path, "damaged", None, changed, stamp, later)
    if not record.is_of(path.name):
        return RunState(path.name, path, "damaged", None, changed, stamp)
    return RunState(path.name, path, record.status, record, changed, stamp)


def _entries(folder: Path) -> tuple[set[str], set[str], str]:
    """The names of the folders that may be runs, and of the lock files.

    The last is a sentence where the folder is there and cannot be listed.
    """
    there: set[str] = set()
    locks: set[str] = set()
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return there, locks, ""
    except OSError as error:
        return there, locks, f"{folder} {UNLISTED} ({reason(error)}), so no run in it is shown"
    with entries:
        for entry in entries:
            name = entry.name
            if name.endswith(".lock"):
                locks.add(name)
            elif name[0] != "." and "~" not in name and name not in NOT_RUNS and _is_dir(entry):
                there.add(name)
    return there, locks, ""


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; not where that cannot be told, as of a loop."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _has_work(path: Path) -> bool:
    """Whether a folder has what a run writes once it trains."""
    return any(os.path.exists(path / name) for name in ("checkpoints", "metrics.csv"))


def _read_plan(study: StudyState, before: StudyState | None) -> None:
    """study.json and trials.csv, or what is wrong with them."""
    study.stamps = {name: stamp_of(study.folder / name) for name in (STUDY_FILE, TRIALS_FILE)}
    if before is not None and before.stamps == study.stamps:
        study.record, study.trials = before.record, before.trials
        of_runs = (UNLISTED, UNRECORDED)
        study.notes = [n for n in before.notes if not any(words in n for words in of_runs)]
        study.to_come, study.later = before.to_come, before.later
        return
    study.record, unreadable, study.later = read_study_record(study.folder)
    study.trials, lost_rows = read_trials(study.folder)
    study.notes = [note for note in (unreadable, lost_rows) if note]
    study.to_come = _to_come(study)


def _to_come(study: StudyState) -> int:
    """How many trials an adaptive search has yet to propose."""
    record = study.record
    if record is None or record.sampler != "tpe" or record.trials is None:
        return 0
    variants = record.variants or math.prod(map(len, record.compare.values()))
    proposed = {(row.trial, row.variant) for row in study.trials}
    return max(variants * record.trials - len(proposed), 0)


def not_a_study(path: Path, example: str, several: bool = False) -> str:
    """What a folder is instead of a study's, as a sentence; empty if it is one.

    example: what to type, as the end of the sentence. several: whether more than one may be typed.
    """
    try:
        if path.is_dir():
            return _no_study_in(path, example, several)
        if path.exists():
            return f"{path} is a file: {example}"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({error}): {example}"
    there = _studies(path.parent)
    if not there:
        return f"{path}: there is no such folder, and no study beside it: {example}"
    return (
        f"{path}: there is no such folder{did_you_mean(path.name, there)}; the studies in "
        f"{path.parent} are {options(there)}"
    )


def _no_study_in(path: Path, example: str, several: bool) -> str:
    if (path / "run.json").exists():
        return f"{path} is one run's folder: type its study's, {path.resolve().parent}"
    if _is_study(path):
        return ""
    there = _studies(path)
    if there:
        names = options(str(path / name) for name in there)
        which = "one or several" if several else "one"
        return f"{path} holds studies and is none: type {which} of {names}"
    return f"{path} holds no runs and no plan: {example}"


def _is_study(path: Path) -> bool:
    if (path / "study.json").exists() or (path / "trials.csv").exists():
        return True
    try:
        with os.scandir(path) as entries:
            return any(
                _is_dir(e) and e.name not in NOT_RUNS and os.path.exists(f"{e.path}/run.json")
                for e in entries
            )
    except OSError:
        return False


def _studies(parent: Path) -> list[str]:
    try:
        return sorted(p.name for p in parent.iterdir() if p.is_dir() and _is_study(p))
    except OSError:
        return []
