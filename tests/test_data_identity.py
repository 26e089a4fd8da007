"""The hash of data's content: that of what is loaded, fast, and a sentence where there is none."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from odyssey.data import identity, labelled_texts, text
from odyssey.data.identity import content_hash, file_hash
from odyssey.errors import UserError

TABLE = "text,label\na,x\nb,x\nc,x\nd,y\ne,y\nf,y\n"


@pytest.mark.parametrize("name", ["python", "python_docs"])
def test_it_is_that_of_the_text_that_comes_with_python(name: str) -> None:
    assert content_hash(name) == text(name).sha256


def test_it_is_that_of_the_users_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf" + b"some text " * 100)
    found = content_hash("file", file)
    assert found == text("file", path=file).sha256
    assert found == hashlib.sha256(file.read_bytes()).hexdigest()


def test_it_is_that_of_the_users_table(tmp_path: Path) -> None:
    whole = tmp_path / "a.csv"
    whole.write_text(TABLE)
    found = {content_hash("csv", whole)}
    assert found == {labelled_texts("csv", path=whole).sha256, file_hash(whole)}

    tabbed = tmp_path / "a.tsv"
    tabbed.write_text(TABLE.replace(",", "\t"))
    found.add(content_hash("csv", tabbed))
    assert content_hash("csv", tabbed) == labelled_texts("csv", path=tabbed).sha256

    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.csv").write_text(TABLE)
    found.add(content_hash("csv", tmp_path))
    assert content_hash("csv", tmp_path) == labelled_texts("csv", path=tmp_path).sha256
    rows = TABLE.splitlines(keepends=True)
    (tmp_path / "valid.csv").write_text("".join(rows[:-1]))
    (tmp_path / "test.csv").write_text(rows[0] + rows[-1] + "".join(rows[1:]))
    found.add(content_hash("csv", tmp_path))
    assert len(found) == 4


def test_what_a_name_determines_has_none() -> None:
    """Files from the web are pinned in the code; nothing is fetched or looked for."""
    for name in (
        "shakespeare",
        "ptb",
        "text8",
        "hello",
        "kjv",
        "sst2",
        "imdb",
        "snippets",
        "mnist",
    ):
        assert content_hash(name) is None
    assert content_hash("generated") is None and content_hash("") is None


def test_a_file_is_read_once_as_long_as_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("some text")
    os.utime(file, ns=(1, time.time_ns() - 10**11))
    reads = []
    real = identity.read_bytes
    monkeypatch.setattr(identity, "read_bytes", lambda *args: reads.append(args) or real(*args))
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    first = file_hash(file)
    monkeypatch.chdir(tmp_path)
    assert file_hash(file) == file_hash("a.txt") == first and len(reads) == 1
    changed = file.stat()
    file.write_text("SOME TEXT")  # with the size and the time of change of before
    os.utime(file, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    assert file_hash(file) == hashlib.sha256(b"SOME TEXT").hexdigest() and len(reads) == 2


def test_a_young_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within a tick of the clock leave the same times."""
    monkeypatch.setattr(identity, "_stamp", lambda path: (0, 0, 0, time.time_ns(), 0))
    file = tmp_path / "a.txt"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert file_hash(file) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist; name a text file"),
        (lambda path: path.mkdir(), "is a folder without train.txt and valid.txt; it has no files"),
        (lambda path: path.touch(), "is empty; name a file with text in it"),
        (lambda path: os.mkfifo(path), "is a pipe or a device"),
    ],
    ids=["missing", "folder", "empty", "pipe"],
)
def test_what_cannot_be_read_is_a_sentence(make, says: str, tmp_path: Path) -> None:
    make(tmp_path / "a.txt")
    with pytest.raises(UserError) as caught:
        content_hash("file", tmp_path / "a.txt")
    assert len(caught.value.messages) == 1 and says in str(caught.value)
    assert str(caught.value).startswith(f"task.path={tmp_path / 'a.txt'} ")


def test_a_folder_without_a_part_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder without labelled texts"):
        content_hash("csv", tmp_path)


def test_options_of_ones_own_data_are_part_of_the_name(tmp_path: Path) -> None:
    from odyssey.config.compose import compose
    from odyssey.config.identity import run_name

    for name in ("x.mid", "x.png"):
        (tmp_path / name).touch()
    music = f"task=music task.data=midi task.path={tmp_path}"
    images = f"task=mnist task.data=folder task.path={tmp_path}"
    given = [music, f"{music} task.resolution=4", images, f"{images} task.size=9"]
    assert len({run_name(compose(words.split())) for words in given}) == 4
