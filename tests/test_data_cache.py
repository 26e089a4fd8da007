"""Arrays cached in the data directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odyssey import data
from odyssey.data import chorales
from odyssey.data.cache import cached

KEY, OTHER = "0123456789abcdef" * 4, "0123456789abcdef" + "f" * 48


class Maker:
    """Makes arrays, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        return {"a": np.arange(1000), "b": np.eye(3, dtype=np.uint8)}


def same(found: object, made: dict[str, np.ndarray]) -> bool:
    assert isinstance(found, dict) and list(found) == list(made)
    return all(np.array_equal(found[n], made[n]) and found[n].dtype == made[n].dtype for n in made)


def test_made_once_for_a_key(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(3):
        assert same(cached(tmp_path, "x", KEY, make), Maker()())
    assert make.times == 1
    # Keys that begin alike share a file, of which each takes only its own.
    assert same(cached(tmp_path, "x", OTHER, make), Maker()())
    assert make.times == 2
    cached(tmp_path, "x", OTHER, make)
    assert make.times == 2
    (file,) = (tmp_path / "cache").iterdir()
    assert file.suffix == ".npz"


@pytest.mark.parametrize("spoil", ["empty", "cut", "changed", "foreign", "folder"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, spoil: str) -> None:
    cached(tmp_path, "x", KEY, Maker())
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    at = whole.index(np.arange(1000).tobytes()[:64])
    if spoil == "empty":
        file.write_bytes(b"")
    elif spoil == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif spoil == "changed":
        file.write_bytes(whole[: at + 8] + b"\7" + whole[at + 9 :])
    elif spoil == "foreign":
        np.save(file.open("wb"), np.array([{"no": "array"}], dtype=object))
    else:
        file.unlink()
        file.mkdir()
    make = Maker()
    assert same(cached(tmp_path, "x", KEY, make), Maker()())
    assert make.times == 1
    cached(tmp_path, "x", KEY, make)
    assert make.times == (2 if spoil == "folder" else 1)  # a folder in its place is left alone


def test_without_a_place_to_keep_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    make = Maker()
    assert same(cached(file, "x", KEY, make), Maker()())
    assert same(cached(file, "x", KEY, make), Maker()())
    assert make.times == 2


def test_kept_chorales_are_the_chorales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every score in four parts, but fewer of them: the whole reading is tested elsewhere.
    files = chorales.score_files()[::12]
    monkeypatch.setattr(chorales, "score_files", lambda: files)
    made = data.rolls("music21", tmp_path)
    (file,) = (tmp_path / "cache").iterdir()
    before = file.stat().st_mtime_ns
    again = data.rolls("music21", tmp_path)
    assert file.stat().st_mtime_ns == before
    assert again.sha256 == made.sha256
    for one, other in zip(
        (made.train, made.valid, made.test), (again.train, again.valid, again.test), strict=True
    ):
        assert len(one) == len(other) > 0
        for a, b in zip(one, other, strict=True):
            assert a.dtype == b.dtype == np.uint8 and np.array_equal(a, b)
    monkeypatch.setattr(chorales, "score_files", lambda: files[::2])
    other_scores = data.rolls("music21", tmp_path)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert other_scores.sha256 != made.sha256
