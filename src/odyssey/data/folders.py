"""Folders of the user's with many files: what lies in them, and in which part of the data.

Nothing is read here but names: a run's name takes the list.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from odyssey.data.download import sha256
from odyssey.errors import UserError

PathLike = str | os.PathLike[str]

MUSIC = (".mid", ".midi", ".kar", ".musicxml", ".mxl", ".xml")
PICTURES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)
ENDINGS = {"midi": MUSIC, "folder": PICTURES}  # task.data -> those of its files
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing"),
}
MOST_ENTRIES = 2_000_000  # names looked at: more is a slip such as task.path=/
SHOWN = 3  # files named in a note


def files_below(folder: PathLike, endings: tuple[str, ...]) -> dict[str, str]:
    """The files with these endings, in any case, in a folder and those below it.

    Their paths, by their names relative to the folder, with `/` between and in Unicode's form NFC,
    sorted: the same on every system. Names that begin with a dot, and `__MACOSX`, are left out, as
    is what is no regular file. A folder that links lead to more than once is read once.

    Raises UserError where there is none, or where a folder cannot be read.
    """
    top = os.path.abspath(os.path.expanduser(folder))
    found: dict[str, str] = {}
    seen: set[tuple[int, int]] = set()
    waiting, looked_at = [("", top)], 0
    while waiting:
        below, place = waiting.pop()
        try:
            here = os.stat(place)
            if (here.st_dev, here.st_ino) in seen:
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP) and below:
                continue  # it has gone meanwhile
            why = error.strerror or type(error).__name__
            where = place if len(place) < 200 else f"{place[:200]}…"
            raise UserError(
                f"task.path={folder}: the folder {where} cannot be read ({why}); "
                "move it away, or name another"
            ) from None
        looked_at += len(listed)
        if looked_at > MOST_ENTRIES:
            raise UserError(
                f"task.path={folder} has more than {MOST_ENTRIES:,} files and folders below it: "
                "name the folder of the data alone"
            )
        inner = []
        for entry in listed:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{below}{_name(entry.name)}"
            try:
                if entry.is_dir():
                    inner.append((f"{name}/", entry.path))
                elif entry.name.lower().endswith(endings) and entry.is_file():
                    found[name] = entry.path
            except OSError:  # a link that leads to itself
                continue
        waiting += reversed(inner)
    return dict(sorted(found.items()))


def is_folder(path: PathLike) -> bool:
    """Whether there is a folder at the path. A file or nothing is none."""
    try:
        return stat.S_ISDIR(os.stat(os.path.expanduser(path)).st_mode)
    except (OSError, ValueError):
        return False


def tree_hash(hashes: Mapping[str, str]) -> str:
    """SHA-256 (hex) of a folder, from the hashes of its files by their relative names.

    That of the list of both, sorted by name: a file that is renamed or moves to another part or
    class counts.
    """
    return sha256(f"{digest}  {name}\0".encode() for name, digest in sorted(hashes.items()))


@dataclass(frozen=True)
class Layout:
    """The names of a folder's files by part, and of what lies beside the parts.

    parts: `train` and those of `valid` and `test` that are there; `all` alone where the folder has
    no parts. inner: the path of the folder that was taken for the data's, empty or with `/` at its
    end, since a folder with nothing but one folder in it is only a wrapping.
    """

    parts: Mapping[str, list[str]]
    beside: list[str]
    inner: str

    @property
    def whole(self) -> bool:
        """Whether all parts are there, so that nothing is drawn."""
        return not self.missing

    @property
    def source(self) -> str:
        """What missing parts are drawn from: `all` or `train`."""
        return "all" if "all" in self.parts else "train"

    @property
    def missing(self) -> list[str]:
        """The parts that there is no folder of, `train` not among them."""
        return [part for part in PARTS if part != "train" and part not in self.parts]

    @property
    def told(self) -> str:
        """How the parts come about, for a note."""
        if self.whole:
            return "parts train, valid and test as they are given"
        shares = "/".join([str(100 - 10 * len(self.missing)), *["10"] * len(self.missing)])
        names = "/".join(["train", *self.missing])
        of = "train" if self.source == "train" else "the whole"
        return f"parts {names} {shares} drawn at random from {of}, copies together"


def layout(folder: PathLike, names: Iterable[str], *, trained: bool = True) -> Layout:
    """Which files are of which part: those of subfolders `train`, `valid` and `test`, if any.

    There are parts if there is `train`, and beside it `valid` or `test`, or nothing; with `trained`
    false, of data that no model is to be trained on, also if all subfolders are parts. Raises
    UserError where one of them is there by two names.
    """
    rest, inner = list(names), ""
    while True:
        tops = {name.partition("/")[0] for name in rest if "/" in name}
        part = {word: part for part, words in PARTS.items() for word in words}
        found: dict[str, list[str]] = {}
        for top in sorted(tops):
            if top.lower() in part:
                found.setdefault(part[top.lower()], []).append(top)
        if "train" in found and (len(found) > 1 or len(tops) == 1):
            break
        if not trained and tops and all(top.lower() in part for top in tops):
            break
        if len(tops) != 1 or any("/" not in name for name in rest):
            return Layout({"all": [inner + name for name in rest]}, [], inner)
        only = f"{tops.pop()}/"
        rest, inner = [name.removeprefix(only) for name in rest], inner + only
    for which, folders in found.items():
        if len(folders) > 1:
            raise UserError(
                f"task.path={folder} has both {folders[0]} and {folders[1]}, which are two names "
                f"of the {which} part: join them, or move one away"
            )
    by_top = {folders[0]: which for which, folders in found.items()}
    parts: dict[str, list[str]] = {which: [] for which in PARTS if which in found}
    beside = []
    for name in rest:
        top, slash, _ = name.partition("/")
        if slash and top in by_top:
            parts[by_top[top]].append(inner + name)
        else:
            beside.append(inner + name)
    return Layout(parts, beside, inner)


def of_part(folder: PathLike, plan: Layout, part: str) -> str:
    """The part of `plan.parts` to take where `part` is asked for: `all` of a folder without parts.

    Raises UserError where the folder has other parts alone.
    """
    if "all" in plan.parts:
        return "all"
    if part not in plan.parts:
        raise UserError(
            f"task.path={folder} has no {part} part: there is {', '.join(plan.parts)}; type "
            "another split"
        )
    return part


def left_out(unusable: Mapping[str, str], of: int) -> list[str]:
    """A note on the files that could not be used, by name with the reason; empty without any."""
    if not unusable:
        return []
    shown = "; ".join(f"{name}: {why}" for name, why in list(unusable.items())[:SHOWN])
    more = f"; and {len(unusable) - SHOWN:,} more" if len(unusable) > SHOWN else ""
    return [f"{len(unusable):,} of {counted(of, 'file')} left out ({shown}{more})"]


def counted(number: int, what: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def _name(name: str) -> str:
    """A file's name as text, also where it is no UTF-8."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
