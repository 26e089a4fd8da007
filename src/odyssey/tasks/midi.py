"""Piano rolls as MIDI files and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.io import atomic_path

LOWEST = 21  # MIDI number of key 0, A0
BEAT = 480  # ticks in a quarter note, or the next multiple of its frames


def write_midi(
    roll: NDArray[np.uint8], path: Path, *, tempo: float = 90.0, resolution: int = 2
) -> Path:
    """Write a roll (T, 88) of 0 and 1 to `path` as one piano track; the path.

    tempo: in quarter notes a minute. resolution: frames a quarter note. A key that is on in
    consecutive frames is one held note.
    """
    from mido import Message, MetaMessage, MidiFile, MidiTrack, bpm2tempo

    ticks = -(-BEAT // resolution)  # of a frame
    silence = np.zeros((1, roll.shape[1]), np.int8)
    change = np.diff(np.concatenate([silence, roll.astype(np.int8), silence]), axis=0)
    track = MidiTrack([MetaMessage("set_tempo", tempo=bpm2tempo(tempo), time=0)])
    last = 0
    for frame, keys in enumerate(change):
        for sign, kind in ((-1, "note_off"), (1, "note_on")):  # ends before beginnings
            for key in np.flatnonzero(keys == sign):
                wait = frame * ticks - last
                track.append(Message(kind, note=LOWEST + int(key), velocity=64, time=wait))
                last = frame * ticks
    track.append(MetaMessage("end_of_track", time=len(roll) * ticks - last))
    with atomic_path(path, sync=False) as part:
        MidiFile(ticks_per_beat=ticks * resolution, tracks=[track]).save(part)
    return path


def draw_roll(roll: NDArray[np.uint8], path: Path) -> Path:
    """Draw a roll (T, 88) to `path` as PNG: time to the right, pitch upwards; the path."""
    from matplotlib.figure import Figure  # not pyplot, which keeps figures alive in a process

    width, height = min(3 + len(roll) / 16, 24), 4
    figure = Figure(figsize=(width, height))
    axes = figure.subplots()
    # Margins in inches, as a layout that measures everything would double the time.
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.2 / width, bottom=0.5 / height, top=1 - 0.1 / height
    )
    edges = (0, len(roll), LOWEST - 0.5, LOWEST + roll.shape[1] - 0.5)
    axes.imshow(
        roll.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="Greys",
        vmin=0,
        vmax=1,
        extent=edges,
    )
    axes.set_xlabel("frame")
    axes.set_ylabel("MIDI note")
    with atomic_path(path, sync=False) as part:
        figure.savefig(part, format="png", dpi=100)
    return path
