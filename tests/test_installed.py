"""The package as it is installed: a wheel, used in another folder, without the clone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from site import getsitepackages

import pytest

from odyssey.__main__ import COMMANDS, main
from odyssey.cli_utils import SCRIPTS

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what that needs is found where this environment has it.

    A path file leads there. Those that are found there are not read, so that the clone, which one
    of them names, is out of reach.
    """
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join([*getsitepackages(), ""]))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "-q"]
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", *options, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`odyssey …` of that environment."""
    return subprocess.run(
        [installed / "bin" / "odyssey", *words],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_study_and_its_report_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = "import odyssey, odyssey.config.sources as s; print(odyssey.__file__, s.CONF)"
    python = installed / "bin" / "python"
    found = subprocess.check_output([python, "-c", where], cwd=tmp_path, text=True)
    assert all(Path(p).is_relative_to(installed) for p in found.split()), found

    words = ["cell=rnn,lstm", "task.data=hello", "trainer.max_steps=3", "logger.mode=disabled"]
    done = run(installed, "train", "-m", *words, "seed=0,1,2", "study=first", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6/6 finished" in done.stdout
    record = (tmp_path / "outputs" / "first" / "study.json").read_text()
    assert '"command": "odyssey train -m cell=rnn,lstm' in record
    done = run(installed, "status", "outputs/first", cwd=tmp_path)
    assert done.returncode == 0 and "all done" in done.stdout, done.stderr
    done = run(installed, "report", "outputs/first", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "outputs" / "first" / "report"
    assert (report / "index.html").exists()
    runs = (report / "runs.csv").read_text()
    assert "odyssey train task.data=hello" in runs and "python train.py" not in runs


def test_all_of_conf_is_in_the_wheel(installed: Path) -> None:
    (package,) = installed.glob("lib/python*/site-packages/odyssey")
    files = {p.relative_to(ROOT / "conf") for p in (ROOT / "conf").rglob("*.yaml")}
    assert files == {p.relative_to(package / "conf") for p in (package / "conf").rglob("*.yaml")}
    assert (package / "report" / "page" / "template.html").exists() and (
        package / "py.typed"
    ).exists()


def test_every_script_is_a_command(installed: Path, tmp_path: Path) -> None:
    scripts = {p.stem for p in (ROOT / "scripts").glob("*.py")} | {"train"}
    assert set(COMMANDS) == set(SCRIPTS) == scripts
    done = run(installed, cwd=tmp_path)
    assert done.returncode == 0 and all(f"  {name} " in done.stdout for name in COMMANDS)
    for name in COMMANDS:
        done = run(installed, name, "--help", cwd=tmp_path)
        assert done.returncode == 0 and f"odyssey {name}" in done.stdout, done.stdout
        assert "python " not in done.stdout, name


def test_what_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    from odyssey import cli_utils

    before = cli_utils._installed
    try:
        assert main(["trian"]) == 2 and main(["cell=lstm"]) == 2
    finally:
        cli_utils._installed = before
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: odyssey trian is not a command (did you mean 'train'?): type")
    assert second == "error: odyssey cell=lstm is not a command: type odyssey train cell=lstm …"
