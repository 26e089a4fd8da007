"""Editing a study: what dropping runs, renaming and merging have in common.

Folders move by renaming, one at a time, and files are replaced as a whole. What a process that is
killed in between leaves behind is a study like any other, and the same command goes on from there.
"""

from __future__ import annotations

import errno
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.study.formatting import words
from odyssey.study.session_lock import editing
from odyssey.study.state import (
    StudyState,
    not_a_study,
    read_study,
)
from odyssey.study.store import (
    TrialRow,
)
from odyssey.training.run_dir import Busy, RunFolder
from odyssey.yaml_text import read_values

MOST_NAMED = 4  # things of a kind in a sentence


@contextmanager
def alone(*folders: Path) -> Iterator[list[StudyState]]:
    """The studies, which no other process is at, nor comes to meanwhile. Raises UserError."""
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(editing(folder))
        states = [read(folder) for folder in folders]
        for state in states:
            if at_it := [run.name for run in state.runs.values() if run.state == "running"]:
                raise UserError(
                    f"{state.folder} is running ({named(at_it)}): wait for its runs, or stop them "
                    "with Ctrl-C where they were started"
                )
        yield states


def read(folder: Path) -> StudyState:
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


def named(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return ", ".join(found[:MOST_NAMED]) + more


def move(source: Path, target: Path) -> None:
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


def free_path(path: Path) -> Path:
    """The path, or NAME~1, NAME~2, … where there is something."""
    found, n = path, 0
    while found.exists():
        n += 1
        found = path.with_name(f"{path.name}~{n}")
    return found


def move_run(folder: Path, name: str, target: Path) -> None:
    """Move a run's folder and then its log. Raises UserError where a process has the run."""
    run = RunFolder(folder / name)
    try:
        run.acquire()
    except Busy:
        raise UserError(f"{folder / name} is being trained: wait for it") from None
    try:
        log = folder / "logs" / f"{name}.log"
        if run.path.exists():
            move(run.path, free_path(target / name))
        if log.exists():
            move(log, free_path(target / "logs" / log.name))
    finally:
        run.release()
        with suppress(OSError):
            (folder / f".{name}.lock").unlink()


def with_settings(line: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """The words of a command with these settings in place of its own."""
    found, left = [], dict(settings)
    for word in line:
        key = word.lstrip("+").partition("=")[0]
        found.append(f"{key}={left.pop(key)}" if key in left else word)
    return [*found, *(f"{key}={value}" for key, value in left.items())]


def command_with(command: str, settings: Mapping[str, str]) -> str:
    """A command of study.json with these settings, as it is typed."""
    try:
        line = shlex.split(command)
    except ValueError:
        return command
    if "-m" not in line and "--multirun" not in line:
        return command
    return shlex.join(with_settings(line, settings))


def row_with(row: TrialRow, settings: Mapping[str, str]) -> TrialRow:
    line = shlex.join(with_settings(words(row.overrides), settings))
    return replace(row, overrides=line)


def name_run(path: Path, settings: Mapping[str, str]) -> None:
    """Let the configuration and the words in a run's folder have these settings."""
    config, line = read_values(path / "config.yaml"), read_values(path / "overrides.yaml")
    if isinstance(config, dict) and any(config.get(k) != v for k, v in settings.items()):
        config |= settings
        _write_yaml(path / "config.yaml", config)
    if isinstance(line, list):
        given = with_settings([str(word) for word in line], settings)
        if given != line:
            _write_yaml(path / "overrides.yaml", given)


def _write_yaml(file: Path, content: Any) -> None:
    write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
