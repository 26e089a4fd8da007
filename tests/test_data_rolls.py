"""Piano rolls: the real files, their known gate, and the chorales against music21's own reading."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from odyssey import data
from odyssey.data import chorales
from odyssey.data.musicxml import notes
from odyssey.data.pianoroll import Note
from odyssey.data.rolls import read_matlab
from odyssey.errors import UserError

SIZES = {
    "jsb": (229, 76, 77),
    "nottingham": (694, 173, 170),
    "musedata": (524, 135, 124),
    "piano": (87, 12, 25),
}


def parts(d: data.Dataset[data.Rolls]) -> tuple[data.Rolls, data.Rolls, data.Rolls]:
    return d.train, d.valid, d.test


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files(name: str, shared_data: Path) -> None:
    d = data.rolls(name, shared_data)
    assert tuple(len(part) for part in parts(d)) == SIZES[name]
    for part in parts(d):
        for roll in part:
            assert roll.dtype == np.uint8 and roll.shape[1] == 88 and roll.max() == 1
    train, valid, test = ({roll.tobytes() for roll in part} for part in parts(d))
    copies = len(train & valid), len(train & test), len(valid & test)
    assert copies == ((1, 1, 0) if name == "nottingham" else (0, 0, 0))  # as published


def test_jsb_scores_what_it_must(shared_data: Path) -> None:
    """Each key's training frequency alone gives 11.06 nats a frame on test.

    That counts all frames, the first of each piece too, and is the mean over frames; over frames
    2..T, which a model predicting the next frame is scored on, it is 11.09.
    """
    d = data.rolls("jsb", shared_data)
    assert d.sha256 == "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
    p = np.clip(np.concatenate(list(d.train)).mean(0), 1e-9, 1 - 1e-9)

    def nats(frames: list[np.ndarray]) -> float:
        x = np.concatenate(frames).astype(float)
        return float(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean())

    assert abs(nats(list(d.test)) - 11.06) < 0.005
    assert abs(nats([roll[1:] for roll in d.test]) - 11.09) < 0.005
    assert abs(np.mean([len(roll) for roll in d.train]) - 60) < 1


@pytest.mark.slow
def test_music21_has_chorales_in_three_parts_without_copies() -> None:
    d = data.rolls("music21")
    sizes = [len(part) for part in parts(d)]
    assert (
        sum(sizes) > 340 and abs(sizes[1] - sum(sizes) / 10) <= 1 and abs(sizes[2] - sizes[1]) <= 1
    )
    assert d.sha256.startswith("878839ce")  # of music21 9.1.0 and 10.5.1: the rule has not changed
    bars = [[_bars(roll) for roll in part] for part in parts(d)]
    for i, part in enumerate(parts(d)):
        others = set().union(*(own for j in {0, 1, 2} - {i} for own in bars[j]))
        for roll, own in zip(part, bars[i], strict=True):
            assert roll.dtype == np.uint8 and roll.shape[1] == 88
            assert set(np.unique(roll)) <= {0, 1} and roll.sum(1).max() <= 4
            assert len(own & others) < len(own) / 2
    keys = np.flatnonzero(np.concatenate([r for part in parts(d) for r in part]).any(0)) + 21
    assert keys.min() >= 36 and keys.max() <= 81  # C2, the basses' lowest, to A5


def _bars(roll: np.ndarray) -> set[tuple[tuple[int, ...], ...]]:
    """Every eight frames in a row as the heights of their keys above the lowest."""
    frames = [np.flatnonzero(frame).tolist() for frame in roll]
    bars = set()
    for start in range(len(frames) - 7):
        eight = frames[start : start + 8]
        low = min((key for frame in eight for key in frame), default=0)
        bars.add(tuple(tuple(key - low for key in frame) for frame in eight))
    return bars


def test_music21_does_not_import_music21() -> None:
    code = "import sys; from odyssey import data; data.rolls('music21'); "
    code += "assert 'music21' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def _scores() -> list[Path]:
    spec = importlib.util.find_spec("music21")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "corpus", "bach")
    return sorted(path for path in folder.glob("bwv*") if path.suffix in (".mxl", ".xml"))


def _music21_reading(path: Path) -> np.ndarray:
    from music21 import converter

    score = converter.parse(path, forceSource=True, storePickle=False).toSoundingPitch()
    found = []
    for note in score.flatten().notes:
        if not note.duration.isGrace:
            start = Fraction(note.offset).limit_denominator(960)
            stop = start + Fraction(note.quarterLength).limit_denominator(960)
            found += [Note(pitch.midi, start, stop) for pitch in note.pitches]
    frames = int(np.ceil(2 * float(max(note.stop for note in found))))
    roll = np.zeros((frames, 88), np.uint8)
    for frame in range(frames):
        for key, start, stop in found:
            if start <= Fraction(frame, 2) < stop:
                roll[frame, key - 21] = 1
    return roll


@pytest.mark.slow
@pytest.mark.parametrize("path", _scores()[::41], ids=lambda path: path.stem)
def test_scores_are_read_as_music21_reads_them(path: Path) -> None:
    ours = chorales.keys(notes(chorales.read_score(path)))
    assert np.array_equal(ours, _music21_reading(path))


MADE_UP = """<score-partwise version="3.1"><part-list><score-part id="P1"><part-name/></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>4</divisions>
<time><beats>4</beats><beat-type>4</beat-type></time>
<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>
<note><pitch><step>B</step><alter>-1</alter><octave>4</octave></pitch><duration>6</duration></note>
<note><chord/><pitch><step>D</step><octave>5</octave></pitch><duration>6</duration></note>
<note><grace/><pitch><step>C</step><octave>7</octave></pitch></note>
<note><rest/><duration>2</duration></note>
<note><pitch><step>F</step><alter>1</alter><octave>3</octave></pitch><duration>1</duration></note>
<note><pitch><step>G</step><octave>3</octave></pitch><duration>7</duration></note>
<backup><duration>16</duration></backup><forward><duration>8</duration></forward>
<note><pitch><step>C</step><octave>2</octave></pitch><duration>8</duration><voice>2</voice></note>
</measure></part></score-partwise>"""


def test_chords_voices_rests_and_transposition(tmp_path: Path) -> None:
    path = tmp_path / "made_up.xml"
    path.write_text(MADE_UP)
    ours = chorales.keys(notes(chorales.read_score(path)))
    on = [[int(key) + 21 for key in np.flatnonzero(frame)] for frame in ours]
    assert on == [[68, 72], [68, 72], [68, 72], [], [34, 52], [34, 53], [34, 53], [34, 53]]
    assert np.array_equal(ours, _music21_reading(path))


def test_foreign_files_get_a_sentence(tmp_path: Path) -> None:
    from scipy.io import savemat

    path = tmp_path / "x.mat"
    for content in (b"", b"no matlab", b"MATLAB 5.0 MAT-file" + b"\0" * 200):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is no file of piano rolls"):
            read_matlab(path)
    savemat(path, {"traindata": [1]})
    with pytest.raises(UserError, match="is no file of piano rolls"):
        read_matlab(path)
    cells = np.empty((1, 1), object)
    cells[0, 0] = np.zeros((5, 87), np.uint8)
    savemat(path, {"traindata": cells, "validdata": cells, "testdata": cells})
    with pytest.raises(UserError, match=r"not \(frames, 88\)"):
        read_matlab(path)
    broken = tmp_path / "bwv1.mxl"
    broken.write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="cannot be read as a score"):
        chorales.read_score(broken)


def test_an_unknown_name_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match="did you mean 'jsb'.*jsb, midi, musedata, music21, nottingham"
    ):
        data.rolls("jbs")
    with pytest.raises(UserError, match="by hand.*task.data=music21"):
        data.rolls("jsb", tmp_path)
