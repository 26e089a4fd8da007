"""From notes with their times to a piano roll: an array (frames, 88) of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KEYS = 88
A0 = 21  # the MIDI number of key 0


class Note(NamedTuple):
    """A MIDI key number, and when it sounds, in quarter notes from the beginning."""

    key: int
    start: Fraction
    stop: Fraction


def span(note: Note, resolution: int, late: Fraction = Fraction(0)) -> tuple[int, int]:
    """The first frame that a note is on in, and the one after its last; equal where in none.

    resolution: frames a quarter note. late: how long after its beginning, as a share of the frame,
    a key must sound to be on in it.
    """
    a, b = late.numerator, late.denominator
    first, last = (  # ceil(time * resolution - late), in integers, which are ten times as fast
        -((a * time.denominator - time.numerator * resolution * b) // (time.denominator * b))
        for time in (note.start, note.stop)
    )
    return max(first, 0), max(last, 0)


def roll(spans: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """The roll of keys, each a MIDI number with the first frame and the one after its last.

    At least one, and none outside the 88 keys. It ends with the last of them.
    """
    keys = np.zeros((max(last for _, _, last in spans), KEYS), np.uint8)
    for key, first, last in spans:
        keys[first:last, key - A0] = 1
    return keys
