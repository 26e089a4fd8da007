"""Which folders are studies, and what the others are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from odyssey.errors import UserError, did_you_mean, options
from odyssey.study.records import NOT_RUNS

EXAMPLE = "type a study's folder, as in python scripts/report.py outputs/truncation"


def study_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """The name of each study -> its folder; a folder that is given twice is there once.

    Two studies of one name are told apart by the folders that hold them.
    Raises UserError with a sentence for each folder that is no study's.
    """
    if not folders:
        raise UserError(f"no study is given: {EXAMPLE}")
    wrong = [said for folder in folders if (said := _not_a_study(Path(folder)))]
    if wrong:
        raise UserError(*dict.fromkeys(wrong))
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(Path(folder).resolve(), Path(folder))
    paths = list(unique.items())
    for depth in range(1, max(len(path.parts) for path, _ in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path, _ in paths]
        if len(set(names)) == len(names):
            break
    return {name: typed for name, (_, typed) in zip(names, paths, strict=True)}


def _not_a_study(path: Path) -> str:
    """What a folder is instead of a study's; empty if it is one."""
    try:
        if path.is_dir():
            return _no_study_in(path)
        if path.exists():
            return f"{path} is a file: {EXAMPLE}"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({error}): {EXAMPLE}"
    there = _studies(path.parent)
    if not there:
        return f"{path}: there is no such folder, and no study beside it: {EXAMPLE}"
    return (
        f"{path}: there is no such folder{did_you_mean(path.name, there)}; the studies in "
        f"{path.parent} are {options(there)}"
    )


def _no_study_in(path: Path) -> str:
    if (path / "run.json").exists():
        return f"{path} is one run's folder: type its study's, {path.resolve().parent}"
    if not _is_study(path):
        there = _studies(path)
        if there:
            names = options(str(path / name) for name in there)
            return f"{path} holds studies and is none: type one or several of {names}"
        return f"{path} holds no runs and no plan: {EXAMPLE}"
    return ""


def _is_study(path: Path) -> bool:
    if (path / "study.json").exists() or (path / "trials.csv").exists():
        return True
    try:
        with os.scandir(path) as entries:
            return any(
                e.is_dir() and e.name not in NOT_RUNS and os.path.exists(f"{e.path}/run.json")
                for e in entries
            )
    except OSError:
        return False


def _studies(parent: Path) -> list[str]:
    try:
        return sorted(p.name for p in parent.iterdir() if p.is_dir() and _is_study(p))
    except OSError:
        return []
