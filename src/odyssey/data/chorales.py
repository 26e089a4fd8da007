"""Bach's chorales as piano rolls, from the scores in the package music21.

The scores are read here, with the few elements of MusicXML that determine which key sounds when:
music21 itself takes half a minute for them, this takes a few seconds, and the rolls are the same.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from odyssey.data.cache import cached
from odyssey.data.download import package_folder, sha256
from odyssey.data.types import Dataset, Rolls
from odyssey.errors import UserError

KEYS = 88
A0 = 21  # the MIDI number of key 0
VOICES = 4
FRAME = Fraction(1, 2)  # a frame in quarter notes
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
PHRASE = 8  # frames: a bar of four quarters; pieces that share many bars are copies
# Part of the key of the cached rolls. Raise it with every change here that changes a roll.
READER = 1


class Note(NamedTuple):
    """A MIDI key number, and when it sounds, in quarter notes from the beginning."""

    key: int
    start: Fraction
    stop: Fraction


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
            found[path.stem] = roll(notes(score))
    return found


def read_score(path: Path) -> Element:
    """The root element of a MusicXML file, plain (.xml) or zipped (.mxl). Raises UserError."""
    try:
        if path.suffix != ".mxl":
            return ElementTree.parse(path).getroot()
        with zipfile.ZipFile(path) as packed:
            index = ElementTree.fromstring(packed.read("META-INF/container.xml"))
            name = index.find(".//{*}rootfile")
            assert name is not None
            return ElementTree.fromstring(packed.read(name.attrib["full-path"]))
    except (OSError, KeyError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise UserError(
            f"{path} cannot be read as a score ({error}); `pip install --force-reinstall music21`"
        ) from None


def notes(score: Element) -> list[Note]:
    """All sounding notes of a score in the form `score-partwise`, part by part.

    Grace notes and cues do not count. A part is a sequence of measures; a position moves through
    each measure: <note> moves it by <duration>, unless it is a <chord> with the note before it,
    <backup> and <forward> move it without sound. <divisions> is the number of units of <duration>
    in a quarter note, <transpose> the semitones from the written to the sounding key. A measure
    ends at the furthest position that it reached. (MusicXML 4.0, W3C.)
    """
    found = []
    for part in score.findall("part"):
        start = Fraction(0)  # of the measure
        quarter = 1  # how many units of <duration> make a quarter note
        shift = 0  # from the written to the sounding key
        for measure in part.findall("measure"):
            now = onset = end = start
            for element in measure:
                if element.tag == "attributes":
                    quarter = int(element.findtext("divisions") or quarter)
                    transpose = element.find("transpose")
                    if transpose is not None:
                        octaves = int(transpose.findtext("octave-change") or 0)
                        shift = int(transpose.findtext("chromatic") or 0) + 12 * octaves
                elif element.tag in ("backup", "forward"):
                    step = Fraction(int(element.findtext("duration", "0")), quarter)
                    now += step if element.tag == "forward" else -step
                elif element.tag == "note":
                    if element.find("grace") is not None or element.find("cue") is not None:
                        continue
                    length = Fraction(int(element.findtext("duration", "0")), quarter)
                    if element.find("chord") is None:  # else it starts with the note before it
                        onset = now
                        now += length
                    pitch = element.find("pitch")
                    if pitch is not None:
                        found.append(Note(_midi(pitch) + shift, onset, onset + length))
                end = max(end, now)
            start = end
    return found


def _midi(pitch: Element) -> int:
    octave = int(pitch.findtext("octave", "0"))
    alter = int(float(pitch.findtext("alter") or 0))
    return 12 * (octave + 1) + SEMITONES[pitch.findtext("step", "C")] + alter


def roll(score: list[Note]) -> NDArray[np.uint8]:
    """The keys that sound at the beginning of each frame: (frames, 88)."""
    frames = int(-(-max(note.stop for note in score) // FRAME))
    keys = np.zeros((frames, KEYS), np.uint8)
    for key, start, stop in score:
        keys[int(-(-start // FRAME)) : int(-(-stop // FRAME)), key - A0] = 1
    return keys


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
