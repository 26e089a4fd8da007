"""Standard MIDI Files: which key sounds when.

The package mido writes MIDI here, but does not read it: it refuses a whole file for a key signature
that does not exist, and takes twice as long. (Standard MIDI Files 1.0, MIDI Association.)
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from odyssey.data.pianoroll import Note

DRUMS = 9  # channel 10, counted from 0
META, END_OF_TRACK = 0xFF, 0x2F
SYSEX = (0xF0, 0xF7)
NOTE_OFF, NOTE_ON, PROGRAM, PRESSURE = 0x80, 0x90, 0xC0, 0xD0


class Played(NamedTuple):
    """The notes of a file, and how many were left out.

    drums: notes of channel 10, whose keys are instruments. endless: those that never end.
    """

    notes: list[Note]
    drums: int
    endless: int


def read_midi(content: bytes) -> Played:
    """The notes of a file of type 0, 1 or 2 (whose tracks follow one another), in quarter notes.

    Times are in ticks of a quarter note, so that tempo does not matter. A key that is struck again
    while it sounds sounds until it was released as often. The pedal does not count. Raises
    ValueError with the reason where a file is damaged, or is in seconds (SMPTE).
    """
    if content[:4] == b"RIFF" and content[8:12] == b"RMID":
        content = content[max(content.find(b"MThd"), 0) :]
    if content[:4] != b"MThd":
        raise ValueError("it does not begin with MThd, as MIDI files do")
    if len(content) < 14:
        raise ValueError("it ends within its header")
    kind, tracks, quarter = (int.from_bytes(content[at : at + 2], "big") for at in (8, 10, 12))
    if kind > 2:
        raise ValueError(f"it is of type {kind}, and MIDI files are of type 0, 1 or 2")
    if quarter >= 0x8000:
        raise ValueError("its times are in seconds (SMPTE), not in quarter notes")
    if quarter == 0:
        raise ValueError("it has no ticks in a quarter note")
    at = 8 + int.from_bytes(content[4:8], "big")
    found, drums, endless, start, read = [], 0, 0, 0, 0
    while read < tracks:
        size = int.from_bytes(content[at + 4 : at + 8], "big")
        chunk = content[at + 8 : at + 8 + size]
        if at + 8 > len(content) or len(chunk) < size:
            raise ValueError(f"it ends within track {read + 1} of {tracks}")
        if content[at : at + 4] == b"MTrk":
            read += 1
            own, length = _track(chunk, read)
            for channel, key, first, last in own:
                if channel == DRUMS:
                    drums += 1
                elif last is None:
                    endless += 1
                elif last > first:
                    begin, end = (Fraction(start + tick, quarter) for tick in (first, last))
                    found.append(Note(key, begin, end))
            start += length if kind == 2 else 0
        at += 8 + size
    return Played(found, drums, endless)


def _track(data: bytes, number: int) -> tuple[list[tuple[int, int, int, int | None]], int]:
    """Channel, key, and the ticks of the beginning and end of each note; and the track's length."""
    sounding: dict[tuple[int, int], list[int]] = {}
    found: list[tuple[int, int, int, int | None]] = []
    at = tick = status = 0
    try:
        while at < len(data):
            step, at = _number(data, at)
            tick += step
            if data[at] >= 0x80:
                byte = data[at]
                at += 1
            else:
                byte = status  # running status: that of the event before
            if byte == META or byte in SYSEX:
                is_end = byte == META and data[at] == END_OF_TRACK
                size, at = _number(data, at + (byte == META))
                at += size
                if at > len(data):
                    raise IndexError
                if is_end:
                    break
                continue
            if not 0x80 <= byte < 0xF0:
                raise ValueError(f"track {number} is damaged at its byte {at}")
            status, event, channel = byte, byte & 0xF0, byte & 0x0F
            key = data[at]
            speed = 0 if event in (PROGRAM, PRESSURE) else data[at + 1]
            at += 1 if event in (PROGRAM, PRESSURE) else 2
            if key >= 0x80 or speed >= 0x80:
                raise ValueError(f"track {number} is damaged at its byte {at}")
            if event == NOTE_ON and speed:
                sounding.setdefault((channel, key), []).append(tick)
            elif event in (NOTE_ON, NOTE_OFF) and sounding.get((channel, key)):
                found.append((channel, key, sounding[channel, key].pop(0), tick))
    except IndexError:
        raise ValueError(f"track {number} ends within an event") from None
    for (channel, key), starts in sounding.items():
        found += [(channel, key, first, None) for first in starts]
    return found, tick


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length: seven bits a byte, the highest set in all but the last."""
    value = 0
    for place in range(at, at + 4):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    raise ValueError(f"a number at byte {at} of a track has more than four bytes")
