"""The record of a run that failed before `train`, or whose process died."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from odyssey.errors import UserError
from odyssey.io import FORBIDDEN, no_room
from odyssey.training.provenance import new_record
from odyssey.training.run_dir import RunFolder, run_path


class NoRoom(UserError):
    """Nothing more can be written; the same command goes on once there is room."""

    @classmethod
    def of(cls, error: BaseException, folder: Path) -> NoRoom | None:
        """The sentence for an error in the run of that folder; None for errors of other kinds."""
        why = no_room(error, folder.parent)
        if why is None:
            return None
        place = str(why.filename or folder)
        if place.endswith(".tmp"):  # of a file that is written whole or not at all
            place = str(Path(place).parent)
        way = f"({why.strerror}); mend that, then the same command goes on"
        if why.errno in FORBIDDEN:
            return cls(f"{place} cannot be used {way}")
        return cls(f"{place}: nothing more can be written there {way}")


LINES = 12  # that run.json keeps of an error


def last_lines(error: BaseException) -> str:
    """What run.json says of an error: a user's sentence, or the end of a traceback."""
    if isinstance(error, UserError):
        return str(error)
    return "\n".join("".join(traceback.format_exception(error)).rstrip().split("\n")[-LINES:])


def record_failure(
    cfg: DictConfig, overrides: Sequence[str], error: str, path: Path | None = None
) -> bool:
    """Let run.json say that the run failed, and why. Returns whether it does.

    path: the run's folder, where it is known; otherwise it follows from `cfg`.

    A record of the run is kept but for status and error; one that says finished or diverged is
    left alone. Raises UserError where another process has the run, where its record is damaged,
    or where nothing can be written.
    """
    folder = RunFolder(path or run_path(cfg))
    with folder.locked():
        record = folder.read_record()
        if record is not None and record.done:
            return False
        if record is None:
            record = new_record(cfg)
            if not record.is_of(folder.path.name):  # of data or a cell that have changed meanwhile
                record.config_hash = ""
            folder.set_aside_leftovers()
            folder.write_configuration(cfg, list(overrides))
        folder.write_record(replace(record, status="failed", error=error))
        return True
