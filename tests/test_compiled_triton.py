"""Generated Triton without a GPU: in its interpreter, and compiled for GPUs that are not here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
TESTS = Path(__file__).parent


def version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in metadata.version(package).split(".")[:2])


def script(tmp_path: Path, name: str, *words: str, **environment: str) -> str:
    """What a script beside this file printed; interpreted and compiled kernels cannot be mixed."""
    done = subprocess.run(
        [sys.executable, str(TESTS / name), *words],
        env=os.environ | {"TRITON_CACHE_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "checked"),
    [
        (("cells", "0", "2"), 12),
        (("cells", "1", "2"), 11),
        (("drawn", "0", "12"), 12),  # random cells
        (("others",), 16),  # precisions, models in one launch, functions, NaN, no steps
    ],
    ids=str,
)
def test_numbers_in_the_interpreter(words, checked, tmp_path, seed):
    if version("triton") < (3, 7) and version("numpy") >= (2, 4):
        pytest.skip(
            "the interpreter of Triton 3.6 makes numbers of arrays, which NumPy 2.4 refuses"
        )
    out = script(tmp_path, "triton_kit.py", str(seed), *words, TRITON_INTERPRET="1")
    assert out.splitlines()[-1] == f"{checked} checked"


def test_kernels_compile_for_gpus(tmp_path):
    """Both forms down to machine code for an A100 and an H100, with the shared memory they have."""
    out = script(tmp_path, "triton_compile.py", "lstm_peephole,gru", TRITON_DEFAULT_FP_FUSION="1")
    assert out.splitlines()[-1] == "19 kernels compiled"
