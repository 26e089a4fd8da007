"""MusicXML files: which key sounds when.

The few elements that determine it are read here, as music21 takes many times as long for the same
notes. (MusicXML 4.0, W3C.)
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, zip_longest
from typing import NamedTuple
from xml.etree.ElementTree import Element

from odyssey.data.pianoroll import Note

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ROOTS = ("score-partwise", "score-timewise")
LARGEST = 1 << 28  # bytes of a score in an archive: more is no score, or made to fill the memory


def read_score(content: bytes) -> Element:
    """The root element of a MusicXML file, plain or zipped (.mxl). Raises ValueError."""
    try:
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                index = ElementTree.fromstring(_member(packed, "META-INF/container.xml"))
                place = index.find(".//{*}rootfile")
                if place is None:
                    raise ValueError("the archive names no score")
                content = _member(packed, place.attrib["full-path"])
        score = ElementTree.fromstring(content)
    except KeyError as error:
        raise ValueError(f"the archive lacks {error.args[0]}") from None
    except (
        # The last four: a wrong compressed stream, encryption, an unknown method, an encoding.
        *(zipfile.BadZipFile, ElementTree.ParseError, OSError, EOFError),
        *(zlib.error, RuntimeError, NotImplementedError, LookupError),
    ) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    if score.tag not in ROOTS:
        raise ValueError(f"it is no MusicXML: its outermost element is <{score.tag[:40]}>")
    return score


def _member(packed: zipfile.ZipFile, name: str) -> bytes:
    if packed.getinfo(name).file_size > LARGEST:
        raise ValueError(f"{name} in it takes more than {LARGEST >> 20} MiB")
    return packed.read(name)


def notes(score: Element) -> list[Note]:
    """All sounding notes of a score, part by part; repeats are played once.

    Grace notes, cues and unpitched percussion do not count. A part is a sequence of measures; a
    position moves through each measure: <note> moves it by <duration>, unless it is a <chord> with
    the note before it, <backup> and <forward> move it without sound. <divisions> is the number of
    units of <duration> in a quarter note, <transpose> the semitones from the written to the
    sounding key. A measure ends at the furthest position that any part reached in it, so that
    parts whose durations were rounded stay together.

    Raises ValueError where a number is none.
    """
    try:
        parts = [list(_measures(part)) for part in _parts(score)]
    except (OverflowError, KeyError) as error:
        raise ValueError(f"a note has the pitch or duration {error}") from None
    lengths = [
        max((measure.length for measure in together if measure), default=Fraction(0))
        for together in zip_longest(*parts)
    ]
    starts = list(accumulate(lengths, initial=Fraction(0)))
    return [
        Note(note.key, start + note.start, start + note.stop)
        for part in parts
        for start, measure in zip(starts, part, strict=False)
        for note in measure.notes
    ]


def unpitched(score: Element) -> int:
    """How many notes of unpitched percussion there are."""
    return sum(1 for note in score.iter("note") if note.find("unpitched") is not None)


def _parts(score: Element) -> list[list[Element]]:
    """The measures of each part."""
    if score.tag == "score-partwise":
        return [part.findall("measure") for part in score.findall("part")]
    parts: dict[str, list[Element]] = {}
    for measure in score.findall("measure"):
        for part in measure.findall("part"):
            parts.setdefault(part.get("id", ""), []).append(part)
    return list(parts.values())


class Measure(NamedTuple):
    """The notes of a measure, from its beginning, and its length in quarter notes."""

    notes: list[Note]
    length: Fraction


def _measures(part: list[Element]) -> Iterator[Measure]:
    quarter = Fraction(1)  # how many units of <duration> make a quarter note
    shift = 0  # from the written to the sounding key
    for measure in part:
        found = []
        now = onset = end = Fraction(0)
        for element in measure:
            if element.tag == "attributes":
                quarter = _number(element.findtext("divisions")) or quarter
                transpose = element.find("transpose")
                if transpose is not None:
                    octaves = int(transpose.findtext("octave-change") or 0)
                    shift = int(transpose.findtext("chromatic") or 0) + 12 * octaves
            elif element.tag in ("backup", "forward"):
                step = _number(element.findtext("duration")) / quarter
                now += step if element.tag == "forward" else -step
            elif element.tag == "note":
                if element.find("grace") is not None or element.find("cue") is not None:
                    continue
                length = _number(element.findtext("duration")) / quarter
                if element.find("chord") is None:  # else it starts with the note before it
                    onset = now
                    now += length
                pitch = element.find("pitch")
                if pitch is not None:
                    found.append(Note(_midi(pitch) + shift, onset, onset + length))
            end = max(end, now)
        yield Measure(found, end)


def _number(text: str | None) -> Fraction:
    """A decimal number; 0 without any. Raises ValueError."""
    text = (text or "0").strip()
    # Not with an exponent: 1e999999999 would take for ever.
    if len(text) > 20 or not text.replace(".", "", 1).isdecimal():
        raise ValueError(f"a duration of {text[:20]!r}")
    return Fraction(text)


def _midi(pitch: Element) -> int:
    octave = int(pitch.findtext("octave", "0"))
    alter = int(float(pitch.findtext("alter") or 0))
    return 12 * (octave + 1) + SEMITONES[pitch.findtext("step", "C").strip()] + alter
