"""`study.json` (what a study is) and `trials.csv` (which trial is which run): read and written.

Both are read while others write them, whatever is in them, and are replaced as a whole. Which runs
are done is not kept here: their folders say so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from odyssey.errors import UserError
from odyssey.io import read_text, write_text
from odyssey.study.analysis_plan import AnalysisPlan
from odyssey.training.record import Code, Data
from odyssey.typed_json import LaterSchema, check_schema, from_values, to_text, to_values

STUDY_FILE = "study.json"
TRIALS_FILE = "trials.csv"
LOCK_FILE = ".study.lock"
LOCK_SECONDS = 60.0  # to wait for another process that writes the same two files

SCHEMA = 1  # of study.json: raise it when a key changes its meaning; a later one is refused
COLUMNS = ("trial", "run", "variant", "command", "overrides")  # of trials.csv


@dataclass
class Command:
    """A command that started or extended a study."""

    time: str = ""  # ISO 8601
    command: str = ""  # as it can be typed


@dataclass
class Dropped:
    """Runs that were left out of a study."""

    time: str = ""  # ISO 8601
    settings: str = ""  # what they had, as typed
    runs: list[str] = field(default_factory=list)  # their names
    results: int = 0  # how many of them had ended

    def in_words(self) -> str:
        """`2 runs of cell=rnn were dropped on 2026-11-30, 2 of them with results`."""
        many = len(self.runs) != 1
        were = f"{len(self.runs):,} run{'s were' if many else ' was'}"
        start, _, verb = were.rpartition(" ")
        had = f"{self.results:,} of them with results" if many else "with a result"
        return (
            f"{start} of {self.settings} {verb} dropped on {self.time[:10]}"
            f"{f', {had}' if self.results else ', none with results'}"
        )


@dataclass
class StudyRecord:
    """study.json."""

    study: str = ""  # its name
    schema: int = SCHEMA
    sweeper: str = ""  # grid or search
    compare: dict[str, list[Any]] = field(default_factory=dict)  # scientific: key -> values
    space: dict[str, dict[str, Any]] = field(default_factory=dict)  # nuisance: key -> distribution
    variants: int | None = None  # fewer than the product of the compared values where some do not
    # apply to all; None in studies of earlier versions
    trials: int | None = None  # of each variant; None for a grid
    sampler: str | None = None
    draws: str | None = None
    seed: int | None = None
    fixed: dict[str, Any] = field(default_factory=dict)  # what all its runs have in common
    plan: AnalysisPlan | None = None  # of the analysis, made before the first run
    commands: list[Command] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    code: Code | None = None  # of the last command
    data: dict[str, Data] = field(default_factory=dict)  # what chooses the data -> the data
    odd: list[str] = field(default_factory=list, compare=False)  # keys of values not understood

    def search(self) -> dict[str, Any]:
        """What all its runs share and what is not in their configurations, as plain values."""
        keys = ("sweeper", "compare", "space", "trials", "sampler", "draws", "seed", "plan")
        values = to_values(self)
        return {"name": self.study, **{key: values[key] for key in keys}}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A row of trials.csv."""

    trial: int | None  # its number within its variant; None where it is not readable
    run: str  # the name of its run folder
    variant: str  # the compared values, as in `cell=gru bptt.length=25`
    overrides: str  # `python train.py` with them is this trial alone
    command: int | None = None  # the last of study.json's commands that has it; None: not known


# -- reading -------------------------------------------------------------------------------------


def read_study_record(folder: Path) -> tuple[StudyRecord | None, str, bool]:
    """What study.json says, if it can be read; a sentence if it is there but cannot be.

    The last is whether that is since a later version of Odyssey wrote it.
    """
    file = folder / STUDY_FILE
    lost = "so what is compared and searched is not shown"
    try:
        values = json.loads(read_text(file)[0])
        if not isinstance(values, dict):
            raise ValueError("not an object")
        check_schema(values, SCHEMA)
    except FileNotFoundError:
        return None, "", False
    except LaterSchema:
        return None, f"{file} is of a later version of Odyssey, {lost}", True
    except (OSError, ValueError, RecursionError):
        return None, f"{file} is not readable JSON, {lost}", False
    record, odd = from_values(StudyRecord, values)
    record.odd = odd
    return record, "", False


def read_trials(folder: Path) -> tuple[list[TrialRow], str]:
    """The rows of trials.csv that can be read, and a sentence on those that cannot."""
    file = folder / TRIALS_FILE
    try:
        text = read_text(file)[0]
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError):
        return [], f"{file} is not readable, so runs that have not begun are not shown"
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows: list[TrialRow] = []
    lost = 0
    try:
        if text and "run" not in (reader.fieldnames or ()):
            return [], f"{file} has no column 'run', so runs that have not begun are not shown"
        for row in _readable(reader):
            if row is None:
                lost += 1
                continue
            name, number = row.get("run") or "", row.get("trial")
            variant, overrides = row.get("variant") or "", row.get("overrides")
            if _is_run_name(name) and overrides is not None:
                command = _trial_number(row.get("command"))
                rows.append(TrialRow(_trial_number(number), name, variant, overrides, command))
            else:
                lost += 1
    except (csv.Error, ValueError):  # the header
        lost += 1
    left_out = "a row cannot be read and is" if lost == 1 else f"{lost} rows cannot be read and are"
    return rows, f"{file}: {left_out} left out" if lost else ""


def _readable(reader: csv.DictReader[str]) -> Iterator[dict[str, str | None] | None]:
    """The rows; None for one that is not CSV, as one with an endless field."""
    while True:
        try:
            yield cast(dict[str, str | None], next(reader))
        except StopIteration:
            return
        except csv.Error:
            yield None


def search_of(run: Path) -> dict[str, Any] | None:
    """The search that a run belongs to: what is compared and searched, its trial and its variant.

    None where its study's folder has no plan, or not this run in it. A run that is several trials
    has the others' numbers as `also_trials`.
    """
    rows = _rows_of(run.parent / TRIALS_FILE, run.name)
    record, *_ = read_study_record(run.parent)
    if not rows or record is None:
        return None
    first, *others = rows
    also = {"also_trials": [row.trial for row in others]} if others else {}
    return record.search() | {"trial": first.trial, "variant": first.variant} | also


def _rows_of(file: Path, name: str) -> list[TrialRow]:
    """The numbered rows of trials.csv that name the run.

    Only these are parsed, since each of thousands of trials asks.
    """
    try:
        text, _ = read_text(file)
    except (OSError, ValueError):
        return []
    found = []
    at = text.find(f",{name},")
    while at >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[start : end if end >= 0 else None]
        with suppress(csv.Error):  # a damaged row, which `read_trials` speaks of
            number, run, variant, *_ = [*next(csv.reader([line])), "", ""]
            trial = _trial_number(number)
            if run == name and trial is not None:
                found.append(TrialRow(trial, run, variant, ""))
        at = text.find(f",{name},", start + len(line))
    return found


def _trial_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _is_run_name(name: str) -> bool:
    """Whether a run folder may be called so."""
    return bool(name) and name[0] != "." and not set(name) & set("/\\\0~") and len(name) < 200


# -- writing -------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the study's folder, and keep other processes from writing the two files meanwhile.

    Raises UserError where another process keeps it for a minute, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK_FILE, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise UserError(
            f"{folder / LOCK_FILE} is held by another process for more than a minute; wait "
            "for it or end it"
        ) from None
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error}): mend that, or type "
            "another study=… or output_dir=…"
        ) from None


def write_study_record(folder: Path, record: StudyRecord) -> None:
    """Replace study.json. To be called within `locked`."""
    write_text(folder / STUDY_FILE, to_text(record))


def write_trials(folder: Path, rows: Iterable[TrialRow]) -> None:
    """Replace trials.csv: each trial once, by number. To be called within `locked`."""
    unique = {(row.trial, row.variant, row.run): row for row in rows}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(unique.values(), key=lambda row: row.trial or 0):
        trial = "" if row.trial is None else row.trial
        command = "" if row.command is None else row.command
        writer.writerow((trial, row.run, row.variant, command, row.overrides))
    write_text(folder / TRIALS_FILE, out.getvalue())


def claim_data(folder: Path, key: str, data: Mapping[str, str], mixed: bool) -> None:
    """See that a run's data are those of the study's other runs.

    key: the settings that choose the data. The first run that has read them says what they are.
    Raises UserError where this run's are others and the study is not to be mixed.
    """
    mine = Data(data["name"], data["sha256"])
    record, *_ = read_study_record(folder)
    if record is not None and key not in record.data:
        with locked(folder):
            record, *_ = read_study_record(folder)
            if record is not None and not record.odd and key not in record.data:
                record.data[key] = mine
                write_study_record(folder, record)
    there = record.data.get(key, mine) if record is not None else mine
    if there != mine and not mixed:
        raise UserError(data_error(folder, key, there.sha256, mine.sha256))


def data_error(folder: Path, key: str, was: str, now: str) -> str:
    """The sentence for data that are others than those of the study's runs, by their hashes."""
    return (
        f"study={folder.name} has runs of {key} with sha256 {was[:12]}…, which is now {now[:12]}…; "
        "put the old data back, type another study=…, or resume.mixed=true resume.failed=true to "
        "have both in one study"
    )
