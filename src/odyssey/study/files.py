"""Reading a study's files while others write them, whatever is in them."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int]  # a file's time of change (ns), size and inode: equal if unchanged


def stamp_of(file: Path) -> Stamp | None:
    """What changes whenever the file does; None where there is no such file."""
    try:
        return _stamp(os.stat(file))
    except (OSError, ValueError):
        return None


def read_text(file: Path) -> tuple[str, Stamp]:
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
