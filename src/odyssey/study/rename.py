"""Giving a study another name."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from odyssey.config.validate import is_study_name
from odyssey.errors import UserError
from odyssey.io import read_text, write_text
from odyssey.study.edit import (
    alone,
    command_with,
    name_run,
    read,
    row_with,
)
from odyssey.study.state import (
    CONFIRMS,
    StudyState,
)
from odyssey.study.store import (
    locked,
    read_study_record,
    write_study_record,
    write_trials,
)


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
    typed_bare = not set(name) & set("\\~,=${}'\"") and name[:1] not in (".", "-")
    if not is_study_name(name) or not typed_bare or name != name.strip():
        raise UserError(
            f"{name or repr(name)} is not a name for a study: type letters, digits, _ and -"
        )
    half_done = not folder.exists() and _is_half_renamed(new, old)
    if not half_done:
        read(folder)
        if new.exists():
            raise UserError(f"{new} is there already: type another name, or merge the two")
        with alone(folder), locked(folder):
            folder.rename(new)
    with alone(new) as (state,):
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
        name_run(run.path, {"study": name})
    with locked(state.folder):
        settings = {"study": name}
        write_trials(state.folder, [row_with(row, settings) for row in state.trials])
        if state.record is not None:
            commands = [
                replace(c, command=command_with(c.command, settings)) for c in state.record.commands
            ]
            write_study_record(state.folder, replace(state.record, study=name, commands=commands))


def _confirm_as(file: Path, old: str, name: str) -> None:
    """Let the study that confirms a search name it anew."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(read_text(file)[0])
        if isinstance(found, dict) and found.get("study") == old:
            found["study"] = name
            write_text(file, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
