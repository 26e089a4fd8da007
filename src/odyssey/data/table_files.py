"""Which files make up the user's labelled texts: one table, a table for each part, or folders.

Without NumPy: what identifies the data asks it before anything is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from odyssey.data import folders
from odyssey.errors import UserError

ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".jsonl", ".ndjson")
PACKED = ".gz"  # after one of them
# Names of files and folders, in small letters -> the part.
PARTS = {name: part for part, names in folders.PARTS.items() for name in names}
NO_CLASS = "unsup"  # the folder of the IMDB archive whose texts have no label
FORMS = (
    "name one file, a folder with the files train, valid and test, or a folder with one folder of "
    "text files for each class"
)


@dataclass(frozen=True)
class TableFile:
    """A file to read.

    part: `train`, `valid` or `test`; empty where the parts are to be drawn.
    label: the class of the one text in the file; empty for a table.
    """

    path: Path
    part: str = ""
    label: str = ""

    @property
    def key(self) -> str:
        """What it is within the data: `train`, `train/pos/1.txt`, `pos/1.txt`; empty if alone."""
        return "/".join(s for s in (self.part, self.label, self.label and self.path.name) if s)


def table_files(path: str | os.PathLike[str]) -> list[TableFile]:
    """The files at `path`, those of the training part first. Raises UserError for other folders."""
    where = Path(path).expanduser()
    if not where.is_dir():
        return [TableFile(where)]
    try:
        entries = sorted(e for e in where.iterdir() if not _hidden(e))
        found = _tables(where, entries) or _class_folders(where, entries)
    except OSError as error:
        raise UserError(f"task.path={path} cannot be read ({error.strerror}): {FORMS}") from None
    if found:
        return found
    there = ", ".join(e.name + "/" * e.is_dir() for e in entries[:8])[:120]
    more = ", …" if len(entries) > 8 else ""
    raise UserError(
        f"task.path={path} is a folder without labelled texts (it holds {there or 'nothing'}"
        f"{more}): {FORMS}"
    )


def draws_parts(path: str | os.PathLike[str]) -> bool:
    """Whether some of the three parts at `path` are drawn at random. Raises as `table_files`."""
    return {file.part for file in table_files(path)} != {"train", "valid", "test"}


def _tables(where: Path, entries: list[Path]) -> list[TableFile]:
    """A table for each part; empty where there are none."""
    parts: dict[str, Path] = {}
    for entry in entries:
        stem, _, ending = entry.name.lower().removesuffix(PACKED).partition(".")
        if stem not in PARTS or f".{ending}" not in ENDINGS or not entry.is_file():
            continue
        if (other := parts.setdefault(PARTS[stem], entry)) != entry:
            raise UserError(
                f"task.path={where} holds both {other.name} and {entry.name} for the part "
                f"{PARTS[stem]}: move one of them away, or name a single file"
            )
    if not parts:
        return []
    _need_parts(where, parts, "file", f"{next(iter(parts.values())).suffix}")
    return [TableFile(parts[part], part) for part in ("train", "valid", "test") if part in parts]


def _class_folders(where: Path, entries: list[Path]) -> list[TableFile]:
    """The texts in folders of classes, perhaps within folders of parts; empty for neither."""
    folders = [e for e in entries if e.is_dir()]
    parts: dict[str, Path] = {}
    for folder in folders:
        part = PARTS.get(folder.name.lower())
        if part and any(_classes(folder)):
            if part in parts:
                raise UserError(
                    f"task.path={where} holds both {parts[part].name} and {folder.name} for the "
                    f"part {part}: move one of them away"
                )
            parts[part] = folder
    if not parts:
        return list(_texts(folders, ""))
    _need_parts(where, parts, "folder", "")
    order = [part for part in ("train", "valid", "test") if part in parts]
    return [file for part in order for file in _texts(_classes(parts[part]), part)]


def _need_parts(where: Path, parts: dict[str, Path], kind: str, ending: str) -> None:
    for part in ("train", "test"):
        if part not in parts:
            there = ", ".join(p.name for p in parts.values())
            raise UserError(
                f"task.path={where} has the {kind} {there} and none for the part {part}: add "
                f"{part}{ending}, or name a single file, which is then split"
            )


def _classes(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if e.is_dir() and not _hidden(e))


def _texts(folders: list[Path], part: str) -> Iterator[TableFile]:
    for folder in folders:
        if part and folder.name == NO_CLASS:
            continue
        for file in sorted(folder.iterdir()):
            if file.is_file() and not _hidden(file):
                yield TableFile(file, part, folder.name)


def _hidden(path: Path) -> bool:
    """Whether it is there for a file manager, and not for a reader."""
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db")
