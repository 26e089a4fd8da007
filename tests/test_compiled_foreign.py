"""A compiler that leaves something else than the library that was asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
# What stands for cc, with the file to write in $out.
COMPILERS = {
    "nothing": "exit 0",
    "empty": ': > "$out"',
    "text": 'echo "no library" > "$out"',
    "foreign": f'echo "int other(void) {{ return 1; }}" | {shutil.which("cc")} -shared -fPIC -xc '
    '- -o "$out"',
    "killed": "kill -9 $$",
}


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("backend", ["auto", "compiled"])
def test_torch_takes_its_place(kind: str, backend: str, tmp_path: Path) -> None:
    cc = tmp_path / "cc"
    cc.write_text(
        '#!/bin/bash\nif [ "$1" = --version ]; then echo odd 1.0; exit; fi\n'
        'while [ $# -gt 0 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done\n'
        f"{COMPILERS[kind]}\n"
    )
    cc.chmod(0o755)
    words = "cell=mgu task=charlm task.data=hello trainer.max_steps=3 logger.mode=disabled"
    words += f" model.hidden_size=8 model.backend={backend} output_dir=o model.num_layers=2"
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words.split()],
        cwd=tmp_path,
        env=os.environ | {"CC": str(cc), "ODYSSEY_KERNELS": str(tmp_path / "kernels")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("several times slower") == 1, done.stderr
    (file,) = tmp_path.glob("o/*/*/run.json")
    ran = {"auto": "reference", "compiled": "compiled, by torch operations"}[backend]
    record = json.loads(file.read_text())
    assert (record["status"], record["backend"]) == ("finished", ran)
