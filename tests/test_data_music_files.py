"""Music of one's own: a folder of files, its parts, what is said and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from odyssey import data
from odyssey.data import chorales, music_files
from odyssey.data.identity import content_hash
from odyssey.data.music_files import own_rolls
from odyssey.errors import UserError
from odyssey.tasks.midi import write_midi


def write(path: Path, rng: np.random.Generator, frames: int = 30, resolution: int = 2):
    """A random piece as a MIDI file; its roll."""
    roll = (rng.random((frames, 88)) < 0.1).astype(np.uint8)
    roll[-1, 0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(roll, path, resolution=resolution)
    return roll


def rows(part) -> list[bytes]:
    return sorted(roll.tobytes() for roll in part)


def test_pieces_are_drawn_80_10_10(tmp_path: Path, rng) -> None:
    folder, cache = tmp_path / "music", tmp_path / "cache"
    made = [write(folder / f"{i % 3}/{i}.{'mid' if i % 2 else 'MIDI'}", rng) for i in range(30)]
    for i in range(5):
        shutil.copy(
            folder / f"0/{3 * i}.MIDI" if i % 2 == 0 else folder / "1/1.mid",
            folder / f"copy{i}.mid",
        )
    d = own_rolls(folder, cache)
    parts = [rows(part) for part in (d.train, d.valid, d.test)]
    assert [len(set(part)) for part in parts] == [24, 3, 3]
    assert set().union(*parts) == set(rows(made)) and sum(map(len, parts)) == 35
    assert not any(set(a) & set(b) for a, b in zip(parts, parts[1:] + parts[:1], strict=True))
    assert all(roll.dtype == np.uint8 for roll in d.train)
    assert d.name == "midi" and d.sha256 == content_hash("midi", folder)
    again = own_rolls(folder, cache)  # from the cache
    assert [rows(p) for p in (again.train, again.valid, again.test)] == parts
    assert again.notes == d.notes
    other = own_rolls(folder, cache, split_seed=1)
    assert rows(other.test) != parts[2] and other.sha256 == d.sha256
    assert "music of 35 files, a frame is an eighth note; pieces: train 2" in d.notes[0]
    assert "80/10/10 drawn at random" in d.notes[1] and len(d.notes) == 2


def test_a_resolution_is_another_roll(tmp_path: Path, rng) -> None:
    made = [write(tmp_path / f"m/{i}.mid", rng, resolution=4) for i in range(9)]
    fine = own_rolls(tmp_path / "m", tmp_path, resolution=4)
    assert rows([*fine.train, *fine.valid, *fine.test]) == rows(made)
    coarse = own_rolls(tmp_path / "m", tmp_path, resolution=2)
    wanted = [roll[::2] for roll in made]
    wanted = [roll[: 1 + np.flatnonzero(roll.any(1))[-1]] for roll in wanted]
    assert rows([*coarse.train, *coarse.valid, *coarse.test]) == rows(wanted)
    assert "too short for any frame (task.resolution=…" in coarse.notes[-1]
    assert coarse.sha256 == fine.sha256


def test_parts_of_folders(tmp_path: Path, rng) -> None:
    made = {
        part: [write(tmp_path / f"m/music/{part}/{i}.mid", rng) for i in range(size)]
        for part, size in (("Train", 6), ("validation", 2), ("test", 3))
    }
    shutil.copy(tmp_path / "m/music/Train/0.mid", tmp_path / "m/music/test/0.mid")
    write(tmp_path / "m/music/more/a.mid", rng)
    d = own_rolls(tmp_path / "m", tmp_path)
    assert rows(d.train) == rows(made["Train"]) and rows(d.valid) == rows(made["validation"])
    assert rows(d.test) == rows([made["Train"][0], *made["test"][1:]])
    assert d.notes[1:] == (
        "1 file beside the parts' folders left out",
        "parts train, valid and test as they are given",
        "1 piece of test also in train",
    )
    assert "whose" not in music_files.own_parts(tmp_path / "m")
    assert "has the folders" in music_files.own_parts(tmp_path / "m")

    shutil.rmtree(tmp_path / "m/music/validation")
    drawn = own_rolls(tmp_path / "m", tmp_path)
    assert len(drawn.valid) == 1 and rows([*drawn.train, *drawn.valid]) == rows(made["Train"])
    assert rows(drawn.test) == rows(d.test)
    assert "parts train/valid 90/10 drawn at random from train, copies together" in drawn.notes
    assert music_files.own_parts(tmp_path / "m") == ""
    for i in range(1, 6):
        (tmp_path / f"m/music/Train/{i}.mid").unlink()
    with pytest.raises(UserError, match="has 1 different usable pieces to draw train, valid from"):
        own_rolls(tmp_path / "m", tmp_path)
    for file in (tmp_path / "m/music/test").iterdir():
        file.write_bytes(b"")
    write(tmp_path / "m/music/Train/1.mid", rng)
    with pytest.raises(UserError, match="no usable piece of the test part"):
        own_rolls(tmp_path / "m", tmp_path)


def test_a_damaged_file_among_many_is_said(tmp_path: Path, rng) -> None:
    for i in range(20):
        write(tmp_path / f"m/{i}.mid", rng)
    whole = (tmp_path / "m/3.mid").read_bytes()
    for name, content in (
        ("cut.mid", whole[:40]),
        ("empty.mid", b""),
        ("page.xml", b"<html/>"),
        ("silent.mid", b"MThd\0\0\0\6\0\0\0\1\0\2MTrk\0\0\0\4\0\xff\x2f\0"),
    ):
        (tmp_path / "m" / name).write_bytes(content)
    for _ in range(2):  # the second time from the cache
        d = own_rolls(tmp_path / "m", tmp_path)
        assert len(d.train) + len(d.valid) + len(d.test) == 20
        assert d.sha256 == content_hash("midi", tmp_path / "m")
        assert d.notes[-1].startswith("4 of 24 files left out (cut.mid: it ends within track 1")
        assert d.notes[-1].endswith(
            "it is no MusicXML: its outermost element is <html>; and 1 more)"
        )


def test_nothing_usable_is_an_error(tmp_path: Path, rng) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a.mid").write_bytes(b"no music")
    with pytest.raises(UserError, match=r"m: a.mid: it is neither MIDI nor MusicXML; name a"):
        own_rolls(tmp_path / "m", tmp_path)
    (tmp_path / "m/b.mid").touch()
    with pytest.raises(UserError, match=r"none of 2 files can be used; a.mid: it is neither"):
        own_rolls(tmp_path / "m", tmp_path)
    with pytest.raises(UserError, match=r"a.mid: it is neither MIDI nor MusicXML; name a MIDI"):
        own_rolls(tmp_path / "m/a.mid", tmp_path)
    write(tmp_path / "m/c.mid", rng)
    shutil.copy(tmp_path / "m/c.mid", tmp_path / "m/d.mid")
    with pytest.raises(UserError, match="has 1 different usable pieces to draw train, valid, test"):
        own_rolls(tmp_path / "m", tmp_path)
    with pytest.raises(UserError, match="task.data=midi needs task.path=…"):
        data.rolls("midi", tmp_path)
    with pytest.raises(UserError, match="task.path=x is for task.data=midi only, not music21"):
        data.rolls("music21", path="x")


def test_one_file_is_cut(tmp_path: Path, rng) -> None:
    roll = write(tmp_path / "a.mid", rng, 105)
    d = own_rolls(tmp_path / "a.mid", tmp_path)
    parts = [d.train, d.valid, d.test]
    assert [[len(piece) for piece in part] for part in parts] == [[84], [10], [11]]
    assert np.array_equal(np.concatenate([part[0] for part in parts]), roll)
    assert "its first 80% train" in d.notes[1] and d.notes[0].startswith("music of 1 file,")
    assert "one piece is cut" in music_files.own_parts(tmp_path / "a.mid")
    write(tmp_path / "b.mid", rng, 19)
    with pytest.raises(UserError, match="one piece of 19 frames, too short to be cut"):
        own_rolls(tmp_path / "b.mid", tmp_path)


def test_a_folder_of_chorales_are_the_chorales(tmp_path: Path) -> None:
    files = chorales.score_files()[::25]
    (tmp_path / "m").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "m" / file.name)
    d = own_rolls(tmp_path / "m", tmp_path)
    wanted = [chorales.keys(chorales.notes(chorales.read_score(file))) for file in files]
    assert rows([*d.train, *d.valid, *d.test]) == rows(wanted)


def test_a_changed_file_is_not_taken_for_the_old_one(tmp_path: Path, rng, monkeypatch) -> None:
    for i in range(9):
        write(tmp_path / f"m/{i}.mid", rng)
    before = own_rolls(tmp_path / "m", tmp_path)
    made = write(tmp_path / "m/4.mid", rng)
    after = own_rolls(tmp_path / "m", tmp_path)
    assert after.sha256 != before.sha256
    assert made.tobytes() in rows([*after.train, *after.valid, *after.test])
    real = music_files.file_hashes

    def hashes(*given):
        found = real(*given)
        write(tmp_path / "m/5.mid", rng)
        return found

    monkeypatch.setattr(music_files, "file_hashes", hashes)
    write(tmp_path / "m/6.mid", rng)
    with pytest.raises(UserError, match="5.mid changed while it was read"):
        own_rolls(tmp_path / "m", tmp_path)
