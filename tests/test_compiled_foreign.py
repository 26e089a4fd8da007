"""A compiler that leaves something else than the library that was asked for."""

from __future__ import annotations

import json
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


BACKENDS = {"auto": "reference", "compiled": "compiled, by torch operations"}  # -> what runs

# A fork for each case, of a process that has loaded all that a run takes, and has run nothing.
FORKS = """
import os, runpy, sys
import odyssey.training.train

for folder, variables, command in CASES:
    if not os.fork():
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
        os.environ.update(variables)
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
        os._exit(9)  # train.py ends with its own exit status
    status = os.waitstatus_to_exitcode(os.wait()[1])
    open(os.path.join(folder, "status"), "w").write(str(status))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the runs, `KIND-BACKEND`, each with `out`, `err` and `status`."""
    home, cases = tmp_path_factory.mktemp("foreign"), []
    for kind, code in COMPILERS.items():
        cc = home / f"cc-{kind}"
        cc.write_text(
            '#!/bin/bash\nif [ "$1" = --version ]; then echo odd 1.0; exit; fi\n'
            'while [ $# -gt 0 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done\n'
            f"{code}\n"
        )
        cc.chmod(0o755)
        for backend in BACKENDS:
            folder = home / f"{kind}-{backend}"
            folder.mkdir()
            words = "cell=mgu task=charlm task.data=hello trainer.max_steps=3 logger.mode=disabled"
            words += f" model.hidden_size=8 model.backend={backend} output_dir=o model.num_layers=2"
            variables = {"CC": str(cc), "ODYSSEY_KERNELS": str(folder / "kernels")}
            cases.append((str(folder), variables, [str(ROOT / "train.py"), *words.split()]))
    code = f"CASES = {cases!r}\n{FORKS}"
    subprocess.run([sys.executable, "-c", code], cwd=home, check=True, timeout=240)
    return home


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("kind", COMPILERS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_torch_takes_its_place(kind: str, backend: str, trained: Path) -> None:
    folder = trained / f"{kind}-{backend}"
    err = (folder / "err").read_text()
    assert (folder / "status").read_text() == "0" and "Traceback" not in err, err
    assert err.count("several times slower") == 1, err
    (file,) = folder.glob("o/*/*/run.json")
    ran = BACKENDS[backend]
    record = json.loads(file.read_text())
    assert (record["status"], record["backend"]) == ("finished", ran)
