"""Bach's chorales from the scores that the package music21 ships, as piano rolls.

The scores are read here, with the few elements of MusicXML that say which key sounds when: music21
itself takes half a minute for them, this a few seconds, once, and the rolls are the same.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from odyssey.data.cache import kept
from odyssey.data.download import sha256
from odyssey.data.types import Dataset, Rolls
from odyssey.errors import UserError

KEYS = 88
A0 = 21  # the MIDI number of key 0
VOICES = 4
FRAME = Fraction(1, 2)  # a frame in quarter notes
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
PHRASE = 8  # frames by which copies of a piece are known: a bar of four quarters


class Note(NamedTuple):
    """A key by its MIDI number, and when it sounds, in quarter notes from the beginning."""

    key: int
    start: Fraction
    stop: Fraction


def chorales(folder: Path) -> Dataset[Rolls]:
    """The four-part chorales, without copies, as rolls of 88 keys with an eighth note a frame.

    A key is on in a frame if it sounds at the frame's beginning; repeats are played once. A piece
    of which half the bars are in others too, in the same key or another, is left out, so that test
    pieces are new; tunes do come back, harmonised anew. In the order of the SHA-256 of their names,
    the first 80% are train, the next 10% valid, the rest test. The hash is that of the rolls.

    The rolls are kept in the data directory `folder`, for these scores as this code reads them.
    """
    files = score_files()
    read = [part for file in files for part in (file.name.encode(), file.read_bytes())]
    key = sha256([Path(__file__).read_bytes(), *read])
    arrays = kept(folder, "music21", key, lambda: _packed(_distinct(_scores(files))))
    ends = np.cumsum(arrays["lengths"])
    all_rolls = np.split(np.unpackbits(arrays["frames"], axis=1, count=KEYS), ends[:-1])
    first, second = len(ends) * 8 // 10, len(ends) * 9 // 10
    digest = sha256([part for r in all_rolls for part in (str(len(r)).encode(), r)])
    parts = all_rolls[:first], all_rolls[first:second], all_rolls[second:]
    return Dataset("music21", digest, *parts)


def _packed(pieces: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    """All rolls, one after another, a bit a key, in the order of the SHA-256 of their names."""
    order = sorted(pieces, key=lambda name: hashlib.sha256(name.encode()).digest())
    frames = np.concatenate([pieces[name] for name in order])
    lengths = np.array([len(pieces[name]) for name in order])
    return {"frames": np.packbits(frames, axis=1), "lengths": lengths}


def score_files() -> list[Path]:
    """The scores, in the order of their names."""
    spec = find_spec("music21")  # the package's files are wanted, not its code: no import
    if spec is None or not spec.submodule_search_locations:
        raise UserError("task.data=music21 needs the package music21; `pip install music21`")
    folder = Path(spec.submodule_search_locations[0], "corpus", "bach")
    found = [path for path in sorted(folder.glob("bwv*")) if path.suffix in (".mxl", ".xml")]
    if not found:
        raise UserError(
            f"task.data=music21 finds no scores in {folder}: this music21 was installed without "
            "its corpus; `pip install --force-reinstall music21`"
        )
    return found


def _scores(files: list[Path]) -> dict[str, NDArray[np.uint8]]:
    """The rolls of the scores in four parts, by BWV number."""
    found = {}
    for path in files:
        score = read_score(path)
        if len(score.findall("part")) == VOICES:
            found[path.stem] = roll(notes(score))
    return found


def read_score(path: Path) -> Element:
    """The root of a MusicXML file, plain (.xml) or packed (.mxl)."""
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
    """All sounding notes of a score with unbroken parts; grace notes and cues do not count."""
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
    """The pieces without those, from the last on, of which half is in others that stay."""
    phrases = {name: _phrases(keys) for name, keys in pieces.items()}
    count = Counter(phrase for own in phrases.values() for phrase in own)
    for name, own in reversed(list(phrases.items())):
        if 2 * sum(count[phrase] > 1 for phrase in own) >= len(own):
            count.subtract(phrases.pop(name))
    return {name: keys for name, keys in pieces.items() if name in phrases}


def _phrases(keys: NDArray[np.uint8]) -> set[bytes]:
    """Every stretch of eight frames, each moved down to begin at the lowest key."""
    stretches = set()
    for start in range(max(1, len(keys) - PHRASE + 1)):
        stretch = keys[start : start + PHRASE]
        used = np.flatnonzero(stretch.any(axis=0))
        low = used[0] if len(used) else 0
        stretches.add(np.packbits(np.roll(stretch, -low, axis=1)).tobytes())
    return stretches
