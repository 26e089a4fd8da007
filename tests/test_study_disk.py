"""A study on a disk that is full: it says so, and goes on once there is room."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from odyssey.cli import main
from odyssey.errors import UserError
from odyssey.io import no_room

ROOT = Path(__file__).parents[1]
ROOM = 24_000  # bytes: the plan and a little of a run


def words(folder: Path, *more: str, units: int = 8) -> list[str]:
    """What is typed after `train.py`."""
    typed = "-m cell=rnn,gru task=charlm task.data=hello trainer.max_steps=20 trainer.sample=false"
    typed += " logger.mode=disabled trainer.progress_bar=false study=s"
    return [*typed.split(), f"model.hidden_size={units}", f"output_dir={folder}", *more]


def study(*words: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """limit: of the size of each file, in bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=240, preexec_fn=limited
    )


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_tried_again(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = small_disk / "full"
    subprocess.run(["dd", "if=/dev/zero", f"of={full}"], capture_output=True)  # until it is full
    os.truncate(full, full.stat().st_size - ROOM)
    said = study(*words(small_disk))
    assert said.returncode == 1, said.stderr
    assert "No space left on device" in said.stderr
    assert "Traceback" not in said.stderr
    full.unlink()
    assert main(words(small_disk)) == 0  # the same command, in this process
    assert "2/2 finished" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "local_pool"])
def test_the_same_command_goes_on_after_a_limit_on_files(
    launcher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = words(tmp_path, f"hydra/launcher={launcher}", units=64)
    said = study(*typed, limit=20_000)
    assert said.returncode == 1, said.stderr
    assert "File too large" in said.stderr and "the same command goes on" in said.stderr
    assert "Traceback" not in said.stderr
    records = [json.loads(file.read_text()) for file in (tmp_path / "s").glob("*/run.json")]
    assert [record["status"] for record in records] == ["interrupted"] * 2
    assert all("File too large" in record["error"] for record in records)
    assert main(typed) == 0
    assert "2/2 finished" in capsys.readouterr().out
    records = [json.loads(file.read_text()) for file in (tmp_path / "s").glob("*/run.json")]
    assert [(r["status"], r["error"]) for r in records] == [("finished", None)] * 2


def test_what_counts_as_no_room(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        why = OSError(number, os.strerror(number))
        assert no_room(why, tmp_path) is why
        try:
            try:
                raise why
            except OSError:
                raise UserError("cannot be written") from None
        except UserError as error:
            assert no_room(error) is why
    inside = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "run" / "x"))
    assert no_room(inside, tmp_path) is inside
    assert no_room(PermissionError(errno.EACCES, "Permission denied", "/data"), tmp_path) is None
    assert no_room(OSError(errno.EIO, "Input/output error")) is None
    assert no_room(ValueError("no number"), tmp_path) is None
