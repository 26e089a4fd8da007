"""The hash of the code that computes the numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import odyssey
from odyssey.code import code_version
from run_kit import folder, record, train

ASK = """
import json, sys
from odyssey.code import code_version
print(json.dumps(code_version()))
assert not {"torch", "hydra", "omegaconf"} & set(sys.modules)
"""


def said(root: Path) -> dict[str, str]:
    """What a copy of the package in `root` says of itself, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_changes_with_what_computes_numbers_and_with_nothing_else(tmp_path: Path) -> None:
    assert odyssey.__file__ is not None
    package = tmp_path / "odyssey"
    shutil.copytree(
        Path(odyssey.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    first = said(tmp_path)
    assert first["sha256"] == code_version()["sha256"]  # the same sources in another place
    assert first["torch"] == version("torch")

    (package / "report.py").write_text("x = 1\n")
    (package / "config" / "words.py").open("a").write("x = 1\n")
    assert said(tmp_path) == first

    seen = {first["sha256"]}
    gru, moved = package / "cells" / "gru.py", package / "cells" / "gated.py"
    gru.open("a").write("# no number changes, but who could tell\n")
    seen.add(said(tmp_path)["sha256"])
    gru.rename(moved)
    seen.add(said(tmp_path)["sha256"])
    (package / "training" / "more.py").touch()
    seen.add(said(tmp_path)["sha256"])
    assert len(seen) == 4


def test_a_run_records_it(tmp_path: Path) -> None:
    assert train(tmp_path, "trainer.max_steps=1", "task.data=hello") == 0
    assert record(folder(tmp_path))["code"] == code_version()
