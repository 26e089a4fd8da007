"""Texts: what they hold, how they are cut, and what is said of a bad one."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from odyssey import data
from odyssey.data.encoding import CHUNK
from odyssey.errors import UserError

module = importlib.import_module("odyssey.data.text")  # `data.text` is the function

KJV_SHA256 = "5d80358d1ecb4473a7da97ba9ce83299d577247e29ea2615d3405d5ae2645425"
GREEK = "Ἄνδρα μοι ἔννεπε, Μοῦσα, πολύτροπον 😀 ὃς μάλα πολλὰ\n"


def whole(d: data.Dataset[data.Text]) -> bytes:
    return d.train.tobytes() + d.valid.tobytes() + d.test.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_kjv_is_the_same_text_everywhere() -> None:
    d = data.text("kjv")
    content = whole(d)
    assert d.sha256 == hashlib.sha256(content).hexdigest() == KJV_SHA256
    lines = content.decode().splitlines()
    verses = [line for line in lines if re.match(r"\d+:\d+ ", line)]
    titles = [line for line in lines if line and not re.match(r"\d+:\d+ ", line)]
    assert (len(verses), len(titles), len(set(titles))) == (31_102, 1_189, 1_189)
    assert len(lines) == len(verses) + 2 * len(titles)  # a blank line before each chapter
    assert "11:35 Jesus wept." in verses
    galeed = [verse for verse in verses if verse.startswith("31:48 And Laban")]  # two paragraphs
    assert len(galeed) == 1 and galeed[0].endswith("the name of it called Galeed;")
    assert len(set(content)) == 73
    for part in (d.train, d.valid, d.test):  # the chapters are mixed: parts are of one kind
        assert b"LORD" in part.tobytes() and b"Jesus" in part.tobytes()


def test_kjv_needs_sqlite3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    with pytest.raises(UserError, match="task.data=kjv needs the module sqlite3.*task.data=python"):
        data.text("kjv")


def test_python_is_the_library_beside_os() -> None:
    d = data.text("python")
    content = whole(d)
    folder = Path(os.__file__).parent
    files = [f for f in sorted(folder.glob("*.py")) if not f.name.startswith("_sysconfigdata")]
    for file in [folder / "os.py", *files[::40]]:
        assert content.count(file.read_bytes()) >= 1, file
    assert 0 <= len(content) - sum(f.stat().st_size for f in files) <= len(files)
    assert d.sha256 == hashlib.sha256(content).hexdigest() == data.text("python").sha256
    heads = [content.index(f.read_bytes()) for f in files if f.stat().st_size > 1000]
    assert heads != sorted(heads)  # mixed, so that the parts are of one kind
    for part in (d.train, d.valid, d.test):
        assert b"def " in part.tobytes()


def test_python_docs_holds_every_topic() -> None:
    from pydoc_data.topics import topics

    content = whole(data.text("python_docs")).decode()
    assert all(topic in content for topic in topics.values())


def test_hello_is_one_toy_text() -> None:
    d = data.text("hello")
    assert d.train.tobytes() == d.valid.tobytes() == d.test.tobytes() == b"hello" * 200


def test_shakespeare(shared_data: Path) -> None:
    d = data.text("shakespeare", shared_data)
    assert whole(d) == (shared_data / "shakespeare" / "input.txt").read_bytes()
    assert len(whole(d)) == 1_115_394
    assert d.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert d.train.tobytes().startswith(b"First Citizen:")


@pytest.mark.parametrize("split", [(0.9, 0.05, 0.05), (1 / 3, 1 / 3, 1 / 3), (0.01, 0.98, 0.01)])
@pytest.mark.parametrize("times", [7, 11, 101])
def test_parts_are_views_cut_between_characters(
    tmp_path: Path, split: tuple[float, ...], times: int
) -> None:
    content = (GREEK * times).encode()
    d = data.text("file", path=write(tmp_path / "t.txt", content), split=split)
    assert whole(d) == content and d.sha256 == hashlib.sha256(content).hexdigest()
    addresses = [part.__array_interface__["data"][0] for part in (d.train, d.valid, d.test)]
    assert addresses[1] == addresses[0] + len(d.train)  # one buffer, no overlap
    assert addresses[2] == addresses[1] + len(d.valid)
    for part, share in zip((d.train, d.valid, d.test), split, strict=True):
        part.tobytes().decode()
        assert abs(len(part) - share * len(content)) <= 8
        assert part.dtype == np.uint8 and not part.flags.writeable


def test_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", b"\xef\xbb\xbf" + GREEK.encode() * 3)
    assert whole(data.text("file", path=path)) == GREEK.encode() * 3
    assert data.text("file", path=path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_line_ends_are_made_one_kind_and_that_is_said(tmp_path: Path) -> None:
    content = (GREEK * 3).replace("\n", "\r\n").encode("utf-16")
    d = data.text("file", path=write(tmp_path / "t.txt", content))
    assert whole(d) == GREEK.encode() * 3
    assert d.sha256 == hashlib.sha256(content).hexdigest()  # of the file as it is
    assert d.notes == ("read as utf-16-le", "line ends CR LF read as LF")


@pytest.mark.parametrize("at", [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 2_500_000])
def test_the_place_of_a_wrong_byte_is_told(tmp_path: Path, at: int) -> None:
    content = bytearray(GREEK.encode() * 40_000)
    while content[at] & 0xC0 == 0x80:  # the first byte of a character
        at -= 1
    content[at] = 0xFF
    with pytest.raises(UnicodeDecodeError) as oracle:
        content.decode()
    with pytest.raises(UserError) as caught:
        data.text("file", path=write(tmp_path / "t.txt", bytes(content)))
    assert f"byte {oracle.value.start} (0xff)" in str(caught.value)


def test_a_character_that_lacks_its_end_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", b"abcdef" * 10 + "é".encode()[:1])
    with pytest.raises(UserError, match=r"byte 60 \(0xc3\)"):
        data.text("file", path=path)


def test_characters_may_cross_the_chunks_of_the_check(tmp_path: Path) -> None:
    for shift in range(4):
        content = b"a" * (CHUNK - shift) + "😀".encode() * 1000
        assert whole(data.text("file", path=write(tmp_path / "t.txt", content))) == content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "0 characters"),
        (b"a", "1 characters, too few"),
        ("ééééé".encode(), "5 characters, too few"),
        (b"x" * 41, "41 characters, too few"),
        ("Sing, goddess".encode("utf-16"), "13 characters, too few"),
        ("müde".encode("latin-1") * 50, r"byte 1 \(0xfc\)"),
    ],
)
def test_a_bad_file_gets_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        data.text("file", path=write(tmp_path / "t.txt", content))


def test_the_smallest_text(tmp_path: Path) -> None:
    d = data.text("file", path=write(tmp_path / "t.txt", b"abcdefghi"), split=(0.34, 0.33, 0.33))
    assert [p.tobytes() for p in (d.train, d.valid, d.test)] == [b"abc", b"def", b"ghi"]


def test_bad_places_and_options_get_a_sentence(tmp_path: Path) -> None:
    for name, options, words in [
        ("pyton", {}, "did you mean 'python'.*file, hello, kjv, ptb, python, python_docs, shakesp"),
        ("file", {}, "needs task.path="),
        ("file", {"path": tmp_path}, "is a folder"),
        ("file", {"path": tmp_path / "no.txt"}, "does not exist"),
        ("python", {"path": "mine.txt"}, "task.path=mine.txt is for task.data=file only"),
        ("python", {"split": (0.9, 0.1)}, "three numbers above 0 .*that sum to 1"),
        ("python", {"split": (0.9, 0.1, 0.1)}, "three numbers above 0 .*that sum to 1"),
        ("python", {"split": (1.1, -0.2, 0.1)}, "three numbers above 0 .*that sum to 1"),
        ("python", {"split": (0.9, 0.1, float("nan"))}, "three numbers above 0 .*that sum to 1"),
    ]:
        with pytest.raises(UserError, match=words):
            data.text(name, **options)


@pytest.mark.parametrize("name", ["shakespeare", "ptb", "text8"])
def test_without_a_network_the_way_out_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="not to be had.*by hand.*task.data=kjv"):
        data.text(name, tmp_path)


@pytest.mark.slow
def test_text8_is_unpacked_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real text8 is not here: one of its size, under its own hashes."""
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz ", np.uint8)
    content = letters[np.random.RandomState(0).randint(0, 27, 1000)].tobytes() * 100_000
    archive = tmp_path / "text8" / "text8.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("text8", content)
    digest = hashlib.sha256(content).hexdigest()
    zipped = module.RemoteFile(
        "text8/text8.zip", (), f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}", ""
    )
    monkeypatch.setattr(module, "TEXT8", zipped)
    monkeypatch.setattr(module, "TEXT8_SHA256", digest)
    d = data.text("text8", tmp_path)
    assert [len(p) for p in (d.train, d.valid, d.test)] == [90_000_000, 5_000_000, 5_000_000]
    assert d.sha256 == digest and d.valid.tobytes() == content[90_000_000:95_000_000]
    archive.unlink()  # the unpacked file is enough now
    assert data.text("text8", tmp_path).test.tobytes() == content[95_000_000:]
    (tmp_path / "text8" / "text8").write_bytes(b"mine")
    with pytest.raises(UserError, match="another file"):
        data.text("text8", tmp_path)


def test_ptb_has_its_own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files by the names and hashes of a small stand-in: the real ones are not here."""
    files = []
    for part in ("train", "valid", "test"):
        content = f" no it was n't {part} <unk> \n".encode() * 9
        path = tmp_path / "ptb" / f"ptb.{part}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        md5 = f"md5:{hashlib.md5(content).hexdigest()}"
        files.append(module.RemoteFile(f"ptb/ptb.{part}.txt", (), md5, ""))
    assert [f.name for f in files] == [f.name for f in module.PTB]
    monkeypatch.setattr(module, "PTB", tuple(files))
    d = data.text("ptb", tmp_path, split=(0.5, 0.25, 0.25))
    assert b"train" in d.train.tobytes() and b"valid" in d.valid.tobytes()
    assert d.test.tobytes() == (tmp_path / "ptb" / "ptb.test.txt").read_bytes()
    assert d.sha256 == hashlib.sha256(whole(d)).hexdigest()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UserError, match="is a pipe or a device; save it as a file"):
            data.text("file", path=place)
    with pytest.raises(UserError, match="is a pipe or a device"):
        data.labelled_texts("csv", path=tmp_path / "pipe")


def test_a_large_text_is_mapped_not_copied(tmp_path: Path) -> None:
    """Loading 40 MB adds less than a tenth of it to the memory of the process itself."""
    path = write(tmp_path / "t.txt", (GREEK * 10).encode() * (40_000_000 // len(GREEK * 10)))
    before = _own_memory()
    d = data.text("file", path=path)
    assert _own_memory() - before < path.stat().st_size / 10
    assert len(whole(d)) == path.stat().st_size


def _own_memory() -> int:
    """Bytes of this process that no file backs."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is read from /proc")
    line = next(s for s in status.read_text().splitlines() if s.startswith("RssAnon"))
    return 1024 * int(line.split()[1])
