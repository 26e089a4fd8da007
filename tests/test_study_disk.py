"""A study on a disk that is full: it says so, and goes on once there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOM = 24_000  # bytes: the plan and a little of a run


def study(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = "cell=rnn,gru task=charlm task.data=hello trainer.max_steps=20 trainer.sample=false"
    words += " logger.mode=disabled trainer.progress_bar=false study=s model.hidden_size=8"
    words += f" output_dir={folder}"
    command = [sys.executable, str(ROOT / "train.py"), "-m", *words.split(), *more]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_tried_again(small_disk: Path) -> None:
    full = small_disk / "full"
    subprocess.run(["dd", "if=/dev/zero", f"of={full}"], capture_output=True)  # until it is full
    os.truncate(full, full.stat().st_size - ROOM)
    said = study(small_disk)
    assert said.returncode == 1, said.stderr
    assert "No space left on device" in said.stderr
    assert "Traceback" not in said.stderr
    full.unlink()
    again = study(small_disk, "resume.failed=true")
    assert again.returncode == 0, again.stderr
    assert "2/2 finished" in again.stdout
