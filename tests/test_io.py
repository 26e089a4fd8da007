"""Files are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from odyssey.io import atomic_path, write_bytes, write_text

ENDLESS = """
import sys
from pathlib import Path
from odyssey.io import write_text
print("on", flush=True)
while True:
    for letter in "ab":
        write_text(Path(sys.argv[1]), letter * 3_000_000, sync=False)
"""


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old\r\nlines ü\n")
    assert file.read_bytes() == "old\r\nlines ü\n".encode()
    write_bytes(file, b"new")
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_the_old_file(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(error), atomic_path(file) as part:
        part.write_text("half")
        raise error
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "a.txt", "x")


def test_a_reader_never_sees_a_part_while_the_writer_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(file)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert writer.stdout is not None and writer.stdout.readline() == "on\n"
            while not file.exists():
                pass
            for _ in range(20):
                content = file.read_bytes()
                assert content in (b"a" * 3_000_000, b"b" * 3_000_000)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert file.read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)


def test_threads_that_write_the_same_file_do_not_share_a_part(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    texts = [str(i) * 200_000 for i in range(8)]
    threads = [threading.Thread(target=write_text, args=(file, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_text() in texts
    assert os.listdir(tmp_path) == ["a.txt"]
