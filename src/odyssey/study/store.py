"""Reading a study's files while others write them, whatever is in them."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int]  # a file's time of change (ns), size and inode: equal if unchanged


def stamp_of(file: str | Path) -> Stamp | None:
    """What changes whenever the file does; None where there is no such file."""
    try:
        return _stamp(os.stat(file))
    except (OSError, ValueError):
        return None


def read_text(file: str | Path) -> tuple[str, Stamp]:
    """The text of a plain file, with its stamp at that moment.

    Raises OSError where there is none, ValueError where it is no text.
    """
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe must not hold us
    with open(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{file} is not a plain file")
        return stream.read().decode("utf-8-sig"), _stamp(found)


def read_definition(file: Path) -> tuple[dict[str, Any], str]:
    """study.json, or {}; and a sentence if it is there but not readable."""
    try:
        found = json.loads(read_text(file)[0])
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found, ""
    return {}, f"{file} is not readable JSON, so what is compared and searched is not shown"


def read_trials(file: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of trials.csv that can be read, and a sentence on those that cannot."""
    try:
        text = read_text(file)[0]
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError):
        return [], f"{file} is not readable, so runs that have not begun are not shown"
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows: list[dict[str, Any]] = []
    lost = 0
    try:
        if text and "run" not in (reader.fieldnames or ()):
            return [], f"{file} has no column 'run', so runs that have not begun are not shown"
        for row in reader:
            name, number = row.get("run") or "", row.get("trial") or ""
            if not _is_name(name) or row.get("overrides") is None:
                lost += 1
                continue
            trial = int(number) if number.isascii() and number.isdigit() else None
            arm, overrides = row.get("arm") or "", row["overrides"]
            rows.append({"trial": trial, "run": name, "arm": arm, "overrides": overrides})
    except (csv.Error, ValueError):  # a field or a number beyond all bounds
        lost += 1
    left_out = "a row cannot be read and is" if lost == 1 else f"{lost} rows cannot be read and are"
    return rows, f"{file}: {left_out} left out" if lost else ""


def _is_name(name: str) -> bool:
    """Whether a run folder may be called so."""
    return bool(name) and name[0] != "." and not set(name) & set("/\\\0~") and len(name) < 200


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


KEPT = ("sweeper", "compare", "space", "trials", "sampler", "draws", "seed")  # of study.json


def search_of(run: Path) -> dict[str, Any] | None:
    """The search that a run belongs to: what is compared and searched, its trial and its arm.

    None where its study's folder has no plan, or not this run in it. A run that is several trials
    has the others' numbers as `also_trials`.
    """
    rows = _rows(run.parent / "trials.csv", run.name)
    definition, _ = read_definition(run.parent / "study.json")
    if not rows or not definition:
        return None
    (number, arm), *others = rows
    also = {"also_trials": [n for n, _ in others]} if others else {}
    return described(definition) | {"trial": number, "arm": arm} | also


def described(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The part of study.json that all its runs share and that is not in their configurations."""
    return {"name": definition.get("study"), **{key: definition.get(key) for key in KEPT}}


def _rows(plan: Path, name: str) -> list[tuple[int, str]]:
    """(trial, arm) of each row of trials.csv that names the run.

    Only these are parsed, since each of thousands of trials asks.
    """
    try:
        text, _ = read_text(plan)
    except (OSError, ValueError):
        return []
    found = []
    at = text.find(f",{name},")
    while at >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        line = text[start : end if end >= 0 else None]
        number, run, arm, *_ = [*next(csv.reader([line])), "", ""]
        if run == name and number.isascii() and number.isdigit():
            found.append((int(number), arm))
        at = text.find(f",{name},", start + len(line))
    return found
