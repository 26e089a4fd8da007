"""Which folders are studies, and what the others are."""

from __future__ import annotations

import os
from pathlib import Path

from odyssey.errors import did_you_mean, options
from odyssey.study.records import NOT_RUNS


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
