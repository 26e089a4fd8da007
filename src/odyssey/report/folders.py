"""The studies that are asked for, each once and by a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from odyssey.errors import UserError
from odyssey.study.folders import not_a_study

EXAMPLE = "type a study's folder, as in python scripts/report.py outputs/truncation"


def study_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """The name of each study -> its folder; a folder that is given twice is there once.

    Two studies of one name are told apart by the folders that hold them.
    Raises UserError with a sentence for each folder that is no study's.
    """
    if not folders:
        raise UserError(f"no study is given: {EXAMPLE}")
    wrong = [
        said for folder in folders if (said := not_a_study(Path(folder), EXAMPLE, several=True))
    ]
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
