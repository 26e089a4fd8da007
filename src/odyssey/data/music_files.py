"""Music of the user's own as piano rolls: MIDI and MusicXML files, one or a folder of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from odyssey.data import midi_files, musicxml
from odyssey.data.cache import cached
from odyssey.data.download import sha256
from odyssey.data.folders import (
    MUSIC,
    PathLike,
    counted,
    files_below,
    is_folder,
    layout,
    left_out,
    of_part,
    tree_hash,
)
from odyssey.data.identity import file_hashes
from odyssey.data.pianoroll import A0, KEYS, roll, span
from odyssey.data.splits import drawn
from odyssey.data.types import Dataset, Rolls
from odyssey.errors import UserError
from odyssey.io import read_bytes

Roll = NDArray[np.uint8]

# Part of the key of the cached rolls. Raise it with every change that changes a roll.
READER = 1
LATE = Fraction(1, 8)  # of a frame: how late in a frame a key of a MIDI file may be struck
LARGEST = 1 << 26  # bytes of a file
MOST_FRAMES = 1_000_000  # of a piece: more is a damaged file
SHORTEST = 20  # frames of a single piece, of which 2 are for validation and 2 for test


class Piece(NamedTuple):
    """A file's roll, and how many of its notes are not in it, by the reason."""

    frames: Roll
    notes: int
    lost: Mapping[str, int]


def own_rolls(
    path: PathLike | None, folder: Path, *, resolution: int = 2, split_seed: int = 0
) -> Dataset[Rolls]:
    """Piano rolls of the MIDI and MusicXML files at `path`, a file or a folder with more below it.

    Which of the two a file is, its first bytes say. A key is on in a frame if it sounds at the
    frame's beginning, in a MIDI file an eighth of a frame later, as people strike keys late; a key
    that is struck again goes on. Drums and notes outside the 88 keys are left out.

    Parts are the subfolders train, valid and test; one that is missing is drawn from train, a tenth
    of the pieces. Without them 80% of the pieces are train, 10% valid, 10% test, at random. Pieces
    of the same roll are drawn together. A single piece is cut into stretches of these shares.

    folder: the data directory, which caches the rolls
    resolution: frames a quarter note
    split_seed: another one draws another split

    Raises UserError.
    """
    if path is None:
        raise UserError(
            "task.data=midi needs task.path=… to name a folder of MIDI or MusicXML files, or one"
        )
    many = is_folder(path)
    hashes = file_hashes("midi", path)
    where = Path(path).expanduser()
    digest = tree_hash({n: h for n, (_, h) in hashes.items()}) if many else _only(hashes)
    key = sha256([f"reader {READER} resolution {resolution} {digest}".encode()])
    arrays = cached(folder, "midi", key, lambda: _packed(where, hashes, resolution))
    pieces, unusable, lost, notes = _unpacked(arrays)
    if not pieces:
        raise _unusable(path, unusable, many)
    if many:
        parts, told = _by_folders(path, list(hashes), pieces, split_seed)
    else:
        parts, told = _stretches(path, next(iter(pieces.values())))
    said = [_sizes(parts, len(hashes), resolution), *told, *left_out(unusable, len(hashes))]
    said += _lost(lost, notes)
    return Dataset("midi", digest, *parts, notes=tuple(said))


def other_rolls(
    path: PathLike, part: str, *, resolution: int = 2
) -> tuple[dict[str, Roll], str, tuple[str, ...]]:
    """The piano rolls of all music at `path`, or of one part of a folder with parts, uncut.

    Returns the rolls by the names of their files, the SHA-256 of the files as a data set's, and
    notes. They are read as by `own_rolls`. Raises UserError.
    """
    many, hashes = is_folder(path), file_hashes("midi", path)
    chosen = hashes
    if many:
        plan = layout(path, hashes, trained=False)
        chosen = {name: hashes[name] for name in plan.parts[of_part(path, plan, part)]}
    arrays = _packed(Path(path).expanduser(), chosen, resolution)
    pieces, unusable, lost, notes = _unpacked(arrays)
    if not pieces:
        raise _unusable(path, unusable, many)
    digest = tree_hash({n: h for n, (_, h) in hashes.items()}) if many else _only(hashes)
    size = sum(map(len, pieces.values()))
    said = f"music of {counted(len(pieces), 'file')}, {size:,} frames, each {_frame(resolution)}"
    return pieces, digest, (said, *left_out(unusable, len(chosen)), *_lost(lost, notes))


def own_parts(path: PathLike) -> str:
    """Why nothing of what lies at `path` is drawn at random; else empty. Raises UserError."""
    if not os.path.exists(os.path.expanduser(path)):
        return ""  # which is said elsewhere
    if not is_folder(path):
        return "whose one piece is cut into stretches"
    whole = layout(path, files_below(path, MUSIC)).whole
    return "which has the folders train, valid and test" if whole else ""


# -- files ----------------------------------------------------------------------------------------


def _unusable(path: PathLike, unusable: Mapping[str, str], many: bool) -> UserError:
    """That no file can be used. many: whether the path is a folder's."""
    name, why = next(iter(unusable.items()))
    return UserError(
        f"task.path={path}: "
        + (f"none of {len(unusable):,} files can be used; " if len(unusable) > 1 else "")
        + (f"{name}: {why}; " if many else f"{why}; ")
        + "name a MIDI file (.mid) or MusicXML (.musicxml, .mxl, .xml) with notes in it"
    )


def _only(hashes: Mapping[str, tuple[str, str]]) -> str:
    return next(iter(hashes.values()))[1]


def read_piece(content: bytes, resolution: int) -> Piece:
    """The roll of a MIDI or MusicXML file. Raises ValueError with what is wrong with it."""
    lost: Counter[str] = Counter()
    late = Fraction(0)
    if not content:
        raise ValueError("it is empty")
    if content[:4] in (b"MThd", b"RIFF"):
        found, lost["drums"], lost["endless"] = midi_files.read_midi(content)
        late = LATE
    elif content[:2] == b"PK" or b"<" in content[:1024].replace(b"\0", b""):
        score = musicxml.read_score(content)
        found, lost["drums"] = musicxml.notes(score), musicxml.unpitched(score)
    else:
        raise ValueError("it is neither MIDI nor MusicXML")
    spans = []
    for note in found:
        if not A0 <= note.key < A0 + KEYS:
            lost["outside"] += 1
            continue
        first, last = span(note, resolution, late)
        if last > MOST_FRAMES:
            raise ValueError(f"a note in it ends after more than {MOST_FRAMES:,} frames")
        if first == last:
            lost["between"] += 1
        else:
            spans.append((note.key, first, last))
    if not spans:
        raise ValueError("no note in it sounds on one of the 88 keys")
    return Piece(roll(spans), len(found), lost)


def _packed(
    where: Path, hashes: Mapping[str, tuple[str, str]], resolution: int
) -> dict[str, NDArray[Any]]:
    """`frames`: all rolls, one after another, a bit a key; `lengths`: the frames of each; `facts`:
    the rest, as JSON."""
    rolls: list[Roll] = []
    names, unusable, notes, lost = [], {}, 0, Counter[str]()
    for name, (file, digest) in hashes.items():
        try:
            if os.path.getsize(file) > LARGEST:
                raise ValueError(f"it has more than {LARGEST >> 20} MiB")
            content = read_bytes(file)[0]
        except OSError as error:
            raise UserError(
                f"task.path={where}: {name} cannot be read ({error.strerror or error}); "
                "mend that or move it away"
            ) from None
        except ValueError as error:
            unusable[name] = str(error)
            continue
        if sha256([content]) != digest:
            raise UserError(
                f"task.path={where}: {name} changed while it was read; type the same command again"
            )
        try:
            piece = read_piece(content, resolution)
        except ValueError as error:
            unusable[name] = str(error)
            continue
        names.append(name)
        rolls.append(np.packbits(piece.frames, axis=1))
        notes += piece.notes
        lost.update(piece.lost)
    facts = {"names": names, "unusable": unusable, "notes": notes, "lost": lost}
    empty = np.zeros((0, KEYS // 8), np.uint8)
    return {
        "frames": np.concatenate([empty, *rolls]),
        "lengths": np.array([len(r) for r in rolls], np.int64),
        "facts": np.array(json.dumps(facts)),
    }


def _unpacked(
    arrays: Mapping[str, Any],
) -> tuple[dict[str, Roll], dict[str, str], dict[str, int], int]:
    """Pieces by name, unusable files with the reason, notes left out, and notes in all."""
    facts = json.loads(arrays["facts"].item())
    ends = np.cumsum(arrays["lengths"])[:-1]
    frames = np.unpackbits(arrays["frames"], axis=1, count=KEYS)
    rolls = np.split(frames, ends) if facts["names"] else []
    pieces = dict(zip(facts["names"], rolls, strict=True))
    return pieces, facts["unusable"], facts["lost"], facts["notes"]


# -- parts ----------------------------------------------------------------------------------------


def _by_folders(
    path: PathLike, names: Sequence[str], pieces: Mapping[str, Roll], seed: int
) -> tuple[list[list[Roll]], list[str]]:
    """Train, valid and test, and notes on how they came about. names: of all files."""
    plan = layout(path, names)
    parts = {part: [pieces[n] for n in own if n in pieces] for part, own in plan.parts.items()}
    notes = []
    if plan.beside:
        notes.append(f"{counted(len(plan.beside), 'file')} beside the parts' folders left out")
    wanted = plan.missing
    if wanted:
        source = parts.pop(plan.source)
        same = [sha256([piece]) for piece in source]
        if len(set(same)) <= len(wanted):
            raise UserError(
                f"task.path={path} has {len(set(same))} different usable pieces to draw "
                f"{', '.join(('train', *wanted))} from, which takes {len(wanted) + 1}: add some, "
                "or name a single file, which is cut"
            )
        rows = drawn(np.zeros(len(source), np.int64), wanted, seed, same)
        parts |= {part: [source[i] for i in own] for part, own in rows.items()}
    notes.append(plan.told)
    for part in ("train", "valid", "test"):
        if not parts[part]:
            raise UserError(
                f"task.path={path} has no usable piece of the {part} part: add some, or remove "
                "its folder so that it is drawn"
            )
    train = {sha256([piece]) for piece in parts["train"]}
    for part in ("valid", "test"):
        if copies := sum(sha256([piece]) in train for piece in parts[part]):
            notes.append(f"{counted(copies, 'piece')} of {part} also in train")
    return [parts["train"], parts["valid"], parts["test"]], notes


def _stretches(path: PathLike, piece: Roll) -> tuple[list[list[Roll]], list[str]]:
    if len(piece) < SHORTEST:
        raise UserError(
            f"task.path={path} is one piece of {len(piece)} frames, too short to be cut into "
            f"train, valid and test ({SHORTEST} at least): name a folder with more pieces"
        )
    first, second = len(piece) * 8 // 10, len(piece) * 9 // 10
    parts = [[piece[:first]], [piece[first:second]], [piece[second:]]]
    return parts, ["one piece, cut: its first 80% train, the next 10% valid, the rest test"]


# -- what is said ---------------------------------------------------------------------------------


def _sizes(parts: list[list[Roll]], files: int, resolution: int) -> str:
    told = ", ".join(
        f"{part} {len(rolls):,} ({sum(map(len, rolls)):,} frames)"
        for part, rolls in zip(("train", "valid", "test"), parts, strict=True)
    )
    frame = _frame(resolution)
    return f"music of {counted(files, 'file')}, a frame is {frame}; pieces: {told}"


def _frame(resolution: int) -> str:
    """How long a frame is."""
    frame = {1: "a quarter note", 2: "an eighth note", 4: "a sixteenth note"}
    return frame.get(resolution, f"a quarter note / {resolution}")


_WHY: dict[str, Callable[[str], str]] = {
    "drums": lambda n: f"{n} of drums",
    "outside": lambda n: f"{n} outside the 88 keys",
    "endless": lambda n: f"{n} that never end",
    "between": lambda n: f"{n} too short for any frame (task.resolution=… larger keeps more)",
}


def _lost(lost: Mapping[str, int], notes: int) -> list[str]:
    """A note on the notes that are in no roll; empty without any."""
    told = [say(f"{lost[why]:,}") for why, say in _WHY.items() if lost.get(why)]
    total = notes + lost.get("drums", 0) + lost.get("endless", 0)
    return [f"of {total:,} notes left out: {', '.join(told)}"] if told else []
