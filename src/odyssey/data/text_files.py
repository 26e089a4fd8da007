"""The files of a text that comes in parts, and the hash of a list of files.

Only names are read here: a run's name takes the list.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from odyssey.data.download import sha256
from odyssey.data.folders import PARTS
from odyssey.errors import UserError

ENDINGS = {"file": (".txt",), "bytes": None}  # task.data -> those of its files; None: any


def text_files(data: str, path: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of a folder by part: `train`, `valid` and, where there is one, `test`.

    data: `file`, whose files end in .txt, or `bytes`, whose files end in anything. Names and
    endings may be in capitals.

    Raises UserError where a part is missing or there twice.
    """
    folder = Path(path).expanduser()
    try:
        there = sorted(f for f in folder.iterdir() if not f.name.startswith(".") and f.is_file())
    except OSError as error:
        raise UserError(
            f"task.path={path} is a folder that cannot be read ({error.strerror}): name another"
        ) from None
    endings = ENDINGS[data]
    found: dict[str, Path] = {}
    for part, names in PARTS.items():
        files = [
            file
            for file in there
            if file.stem.lower() in names and (endings is None or file.suffix.lower() in endings)
        ]
        if len(files) > 1:
            raise UserError(
                f"task.path={path} has both {files[0].name} and {files[1].name}, and one file is "
                f"the {part} part: move one of them away"
            )
        if files:
            found[part] = files[0]
    missing = [f"{part}.txt" for part in ("train", "valid") if part not in found]
    if missing:
        names_there = ", ".join(file.name for file in there[:8]) + (" …" if len(there) > 8 else "")
        raise UserError(
            f"task.path={path} is a folder without {' and '.join(missing)}; it has "
            f"{names_there or 'no files'}: name a single file, or a folder of train.txt, valid.txt "
            "and test.txt (which may be missing)"
        )
    return found


def table_hash(hashes: Mapping[Path, str]) -> str:
    """SHA-256 (hex) of data of one or more files, from their hashes.

    One file has its own. That of several is the hash of their list with names, as sha256sum prints
    it, so that a row that moves from one part to another counts.
    """
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return sha256([f"{digest}  {file.name}\n".encode() for file, digest in hashes.items()])
