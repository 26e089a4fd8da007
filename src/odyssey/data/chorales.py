"""Bach's chorales as piano rolls, from the scores in the package music21.

odyssey.data.musicxml reads the scores in a few seconds: music21 itself takes half a minute, for the
same rolls.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from odyssey.data.cache import cached
from odyssey.data.download import package_folder, sha256
from odyssey.data.musicxml import notes
from odyssey.data.musicxml import read_score as parse
from odyssey.data.pianoroll import KEYS, Note, roll, span
from odyssey.data.types import Dataset, Rolls
from odyssey.errors import UserError

VOICES = 4
RESOLUTION = 2  # frames a quarter note
PHRASE = 8  # frames: a bar of four quarters; pieces that share many bars are copies
# Part of the key of the cached rolls. Raise it with every change here that changes a roll.
READER = 1


def chorales(folder: Path, split_seed: int = 0) -> Dataset[Rolls]:
    """The four-part chorales, without copies, as rolls (frames, 88), an eighth note a frame.

    A key is on in a frame if it sounds at the frame's beginning; repeats are played once. A piece
    of which half the bars are in others too, in the same key or another, is left out, so that test
    pieces are new; tunes do come back, harmonised anew. In the order of the SHA-256 of their names,
    the first 80% are train, the next 10% valid, the rest test. The hash is that of the rolls.

    folder: the data directory, which caches the rolls
    split_seed: 0 for that order of the pieces, else of an order drawn at random

    Raises UserError.
    """
    files = score_files()
    read = [part for file in files for part in (file.name.encode(), file.read_bytes())]
    key = sha256([f"reader {READER}".encode(), *read])
    arrays = cached(folder, "music21", key, lambda: _packed(_distinct(_scores(files))))
    ends = np.cumsum(arrays["lengths"])
    all_rolls = np.split(np.unpackbits(arrays["frames"], axis=1, count=KEYS), ends[:-1])
    first, second = len(ends) * 8 // 10, len(ends) * 9 // 10
    digest = sha256([part for r in all_rolls for part in (str(len(r)).encode(), r)])
    if split_seed:
        drawn = np.random.RandomState(split_seed).permutation(len(all_rolls))
        all_rolls = [all_rolls[i] for i in drawn]
    parts = all_rolls[:first], all_rolls[first:second], all_rolls[second:]
    return Dataset("music21", digest, *parts)


def _packed(pieces: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """`frames`: all rolls, one after another, a bit a key, in the order of the SHA-256 of their
    names; `lengths`: the frames of each."""
    order = sorted(pieces, key=lambda name: hashlib.sha256(name.encode()).digest())
    frames = np.concatenate([pieces[name] for name in order])
    lengths = np.array([len(pieces[name]) for name in order])
    return {"frames": np.packbits(frames, axis=1), "lengths": lengths}


def score_files() -> list[Path]:
    """The paths of the scores, sorted by name."""
    package = package_folder("music21")
    if package is None:
        raise UserError("task.data=music21 needs the package music21; `pip install music21`")
    folder = package / "corpus" / "bach"
    found = [path for path in sorted(folder.glob("bwv*")) if path.suffix in (".mxl", ".xml")]
    if not found:
        raise UserError(
            f"task.data=music21 finds no scores in {folder}: this music21 was installed without "
            "its corpus; `pip install --force-reinstall music21`"
        )
    return found


def _scores(files: list[Path]) -> dict[str, NDArray[np.uint8]]:
    """The rolls of the scores that have four parts, by file name such as bwv253."""
    found = {}
    for path in files:
        score = read_score(path)
        if len(score.findall("part")) == VOICES:
            found[path.stem] = keys(notes(score))
    return found


def read_score(path: Path) -> Element:
    """The root element of a score. Raises UserError."""
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as a score ({error}); `pip install --force-reinstall music21`"
        ) from None


def keys(score: list[Note]) -> NDArray[np.uint8]:
    """The keys that sound at the beginning of each frame: (frames, 88)."""
    return roll([(note.key, *span(note, RESOLUTION)) for note in score])


def _distinct(pieces: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """The pieces without copies: going backwards, one is left out if half of its phrases are in
    others that are still there."""
    phrases = {name: _phrases(keys) for name, keys in pieces.items()}
    count = Counter(phrase for own in phrases.values() for phrase in own)
    for name, own in reversed(list(phrases.items())):
        if 2 * sum(count[phrase] > 1 for phrase in own) >= len(own):
            count.subtract(phrases.pop(name))
    return {name: keys for name, keys in pieces.items() if name in phrases}


def _phrases(keys: NDArray[np.uint8]) -> set[bytes]:
    """Every stretch of eight frames, each transposed down to begin at the lowest key."""
    stretches = set()
    for start in range(max(1, len(keys) - PHRASE + 1)):
        stretch = keys[start : start + PHRASE]
        used = np.flatnonzero(stretch.any(axis=0))
        low = used[0] if len(used) else 0
        stretches.add(np.packbits(np.roll(stretch, -low, axis=1)).tobytes())
    return stretches
