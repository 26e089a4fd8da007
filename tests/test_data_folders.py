"""Folders of many files: what is found in them, their parts, and the hash of all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import random_kit
from odyssey.data import folders, identity
from odyssey.data.folders import MUSIC, files_below, layout, tree_hash
from odyssey.data.identity import content_hash
from odyssey.errors import UserError


def make(top: Path, *names: str) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_files_below_in_any_case_and_in_order(tmp_path: Path) -> None:
    make(tmp_path, "b/2.MID", "b/10.mid", "a.Midi", "B.mxl", "c/d/e/f.musicxml", "x.txt", "mid")
    make(tmp_path, ".hidden.mid", "._a.mid", "__MACOSX/a.mid", ".git/a.mid")
    (tmp_path / "folder.mid").mkdir()
    found = files_below(tmp_path, MUSIC)
    assert list(found) == ["B.mxl", "a.Midi", "b/10.mid", "b/2.MID", "c/d/e/f.musicxml"]
    assert all(Path(path).read_bytes() == name.encode() for name, path in found.items())


def test_links_pipes_and_circles(tmp_path: Path) -> None:
    make(tmp_path, "data/a.mid", "other/b.mid")
    os.symlink(tmp_path / "other", tmp_path / "data/linked")
    os.symlink(tmp_path / "data", tmp_path / "data/circle")
    os.symlink(tmp_path / "data", tmp_path / "other/circle")
    os.symlink("itself.mid", tmp_path / "data/itself.mid")
    os.symlink("nowhere", tmp_path / "data/gone.mid")
    os.symlink("a.mid", tmp_path / "data/file.mid")
    os.mkfifo(tmp_path / "data/pipe.mid")
    os.symlink("/dev/zero", tmp_path / "data/zero.mid")
    assert list(files_below(tmp_path / "data", MUSIC)) == ["a.mid", "file.mid", "linked/b.mid"]


def test_deep_folders(tmp_path: Path) -> None:
    """Deeper than Python calls functions, and then deeper than the system opens by one path."""
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("a.mid").touch()
        assert [name.count("/") for name in files_below(tmp_path, MUSIC)] == [1200]
        for _ in range(10):
            os.mkdir("x" * 240)
            os.chdir("x" * 240)
        with pytest.raises(UserError, match="cannot be read .* move it away") as caught:
            files_below(tmp_path, MUSIC)
        assert len(str(caught.value)) < 800
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_name_is_one_on_every_system(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    make(tmp_path / "one", "cafe\u0301.mid")
    (tmp_path / "two" / "caf\u00e9.mid").write_bytes((tmp_path / "one/cafe\u0301.mid").read_bytes())
    assert content_hash("midi", tmp_path / "one") == content_hash("midi", tmp_path / "two")
    (tmp_path / "three").mkdir()
    (Path(os.fsdecode(os.fsencode(tmp_path / "three") + b"/\xff.mid"))).touch()
    (name,) = files_below(tmp_path / "three", MUSIC)
    assert name == "\ufffd.mid" and name.encode()


def test_the_hash_is_of_contents_and_names(tmp_path: Path, monkeypatch) -> None:
    seen = set()
    make(tmp_path / "a", "x.mid", "train/y.mid")
    first = content_hash("midi", tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    make(tmp_path / "b", "notes.txt", ".hidden.mid")  # which are not read
    assert content_hash("midi", tmp_path / "b") == first
    monkeypatch.chdir(tmp_path / "b")
    assert content_hash("midi", ".") == first
    for change in (
        lambda: (tmp_path / "b/x.mid").write_bytes(b""),
        lambda: (tmp_path / "b/x.mid").rename(tmp_path / "b/z.mid"),
        lambda: (tmp_path / "b/train").rename(tmp_path / "b/test"),
        lambda: make(tmp_path / "b", "new.mid"),
    ):
        seen.add(content_hash("midi", tmp_path / "b"))
        change()
    seen.add(content_hash("midi", tmp_path / "b"))
    assert len(seen) == 5
    assert tree_hash({"b": "1", "a": "2"}) == tree_hash({"a": "2", "b": "1"})


def test_a_file_alone_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    make(tmp_path, "x.mid")
    for data in ("midi", "folder"):
        assert content_hash(data, tmp_path / "x.mid") == identity.file_hash(tmp_path / "x.mid")


def test_a_folder_that_does_not_change_is_looked_at_once(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, "m/x.mid", "n/x.mid")
    looked = []
    real = identity.files_below
    monkeypatch.setattr(identity, "files_below", lambda *a: looked.append(a) or real(*a))
    with identity.unchanging():
        first = content_hash("midi", tmp_path / "m")
        monkeypatch.chdir(tmp_path / "m")
        assert content_hash("midi", ".") == first and len(looked) == 1
        content_hash("midi", tmp_path / "n")
        assert len(looked) == 2
    make(tmp_path, "m/y.mid")
    assert content_hash("midi", tmp_path / "m") != first and len(looked) == 3


@pytest.mark.parametrize("data", ["midi", "folder"])
def test_what_cannot_be_read_is_a_sentence(data: str, tmp_path: Path, monkeypatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, says in (
        ("nothing", "does not exist"),
        ("pipe", "is a pipe or a device"),
        (".", "without files ending in"),
    ):
        path = str(tmp_path / place)
        with pytest.raises(UserError, match=says) as caught:
            content_hash(data, path)
        assert str(caught.value).startswith(f"task.path={path}")
    make(tmp_path, "a/b.mid", "a/c.mid")
    monkeypatch.setattr(folders, "MOST_ENTRIES", 2)
    with pytest.raises(UserError, match="more than 2 files and folders"):
        files_below(tmp_path, MUSIC)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a/b.mid")
    (tmp_path / "a/b.mid").chmod(0)
    with pytest.raises(UserError, match="a/b.mid cannot be read"):
        content_hash("midi", tmp_path)


@pytest.mark.parametrize(
    ("names", "parts", "beside"),
    [
        ("a b c/d", {"all": "a b c/d"}, ""),
        ("w/a w/b", {"all": "w/a w/b"}, ""),
        ("train/a valid/b test/c", {"train": "train/a", "valid": "valid/b", "test": "test/c"}, ""),
        (
            "Train/a Val/b/b TEST/c d e/f",
            {"train": "Train/a", "valid": "Val/b/b", "test": "TEST/c"},
            "d e/f",
        ),
        ("w/v/train/a w/v/dev/b", {"train": "w/v/train/a", "valid": "w/v/dev/b"}, ""),
        ("train/a training", {"train": "train/a"}, "training"),
        ("train/a bus/b", {"all": "train/a bus/b"}, ""),  # two classes of vehicles
        ("test/a valid/b", {"all": "test/a valid/b"}, ""),
        ("train/train/a", {"train": "train/train/a"}, ""),
    ],
)
def test_parts_are_folders(names: str, parts: dict[str, str], beside: str) -> None:
    plan = layout("x", names.split())
    assert {part: " ".join(own) for part, own in plan.parts.items()} == parts
    assert plan.beside == beside.split()
    assert plan.whole == (set(parts) == {"train", "valid", "test"})


def test_two_names_of_a_part_are_refused() -> None:
    with pytest.raises(UserError, match="both dev and val, which are two names of the valid part"):
        layout("x", ["train/a", "val/b", "dev/c"])


def test_each_file_is_in_one_part_or_beside() -> None:
    dice = random_kit.dice()
    words = ["train", "val", "test", "a", "b", "Train"]
    for _ in range(200):
        names = {
            "/".join(dice.choices(words, k=dice.randint(0, 3)) + [f"{i}.mid"])
            for i in range(dice.randint(1, 8))
        }
        try:
            plan = layout("x", sorted(names))
        except UserError:
            continue
        found = [name for own in plan.parts.values() for name in own] + list(plan.beside)
        assert sorted(found) == sorted(names)
        assert all(name.startswith(plan.inner) for name in found)
