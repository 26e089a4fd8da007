"""What was read of a study's runs, so that only changed files are read again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odyssey.report.reading import read_bytes
from odyssey.report.runs import Series
from odyssey.study.files import Stamp
from odyssey.study.records import RunState

FORMAT = "odyssey-report-cache-1"  # another number whenever the content below is another
FILE = Path("report", "cache.json")


@dataclass
class Kept:
    """A run's files as they were read, each with its stamp at that moment."""

    state: RunState
    config_stamp: Stamp | None = None
    config: dict[str, Any] | None = None  # None: no file, or none that can be read
    curves_stamp: Stamp | None = None
    curves: dict[str, Series] = field(default_factory=dict)
    damaged_lines: int = 0  # of metrics.csv


def load(study: Path) -> dict[str, Kept]:
    """What was kept of a study's runs, by name; nothing where the file is absent or damaged."""
    try:
        head, _, body = read_bytes(study / FILE).partition(b"\n")
        if head.decode() != _head(body):
            return {}
        return {name: _kept(study / name, entry) for name, entry in json.loads(body).items()}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return {}


def save(study: Path, runs: dict[str, Kept]) -> None:
    """Keep what was read; a folder that cannot be written to is read again the next time."""
    body = json.dumps({name: _entry(kept) for name, kept in runs.items()}).encode()
    file = study / FILE
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(exist_ok=True)
        temporary.write_bytes(_head(body).encode() + b"\n" + body)
        os.replace(temporary, file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _head(body: bytes) -> str:
    return f"{FORMAT} {hashlib.sha256(body).hexdigest()}"


def _entry(kept: Kept) -> list[Any]:
    state = kept.state
    return [
        [state.state, state.record, state.changed, state.stamp],
        [kept.config_stamp, kept.config],
        [kept.curves_stamp, kept.curves, kept.damaged_lines],
    ]


def _kept(path: Path, entry: list[Any]) -> Kept:
    (state, record, changed, stamp), (config_stamp, config), (at, curves, damaged) = entry
    run = RunState(path.name, path, state, record, changed, _stamp(stamp))
    series = {name: (steps, values) for name, (steps, values) in curves.items()}
    return Kept(run, _stamp(config_stamp), config, _stamp(at), series, damaged)


def _stamp(found: list[int] | None) -> Stamp | None:
    return (found[0], found[1], found[2]) if found else None
