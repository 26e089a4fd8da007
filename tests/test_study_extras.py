"""A launcher that comes with an extra, where the extra is not installed: a sentence says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from launchers_kit import skip_without_extra
from odyssey.errors import UserError
from odyssey.study.spec import EXTRAS, hydras_part
from run_kit import ROOT

# Hydra's plugins are then our own alone, whatever is installed.
WITHOUT = """
import sys, hydra_plugins
hydra_plugins.__path__ = [sys.argv.pop(1)]
from odyssey.cli import main
sys.exit(main())
"""


def without_extras(*words: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", WITHOUT, str(ROOT / "src" / "hydra_plugins"), *words]
    return subprocess.run(start, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray_cluster", "slurm", "slurm_local", "ray"])
def test_a_sentence_says_what_to_install(launcher: str) -> None:
    done = without_extras("-m", f"hydra/launcher={launcher}", "seed=0,1")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        f"error: hydra/launcher={launcher} needs a package that is not here: type pip install "
        f"-e '.[{EXTRAS[launcher]}]'\n"
    )


def test_so_does_a_question_about_the_configuration() -> None:
    done = without_extras("-m", "hydra/launcher=slurm", "--cfg", "hydra")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "type pip install -e '.[slurm]'" in done.stderr


@pytest.mark.slow
def test_help_and_other_launchers_need_no_extra() -> None:
    done = without_extras("-m", "hydra/launcher=slurm", "--help")
    assert done.returncode == 0 and "cell" in done.stdout and done.stderr == ""
    done = without_extras("--cfg", "hydra")
    assert done.returncode == 0 and "launcher" in done.stdout and done.stderr == "", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ["hydra.launcher.mem_bg=4", "hydra/launcher=slurm"],
            "did you mean 'hydra.launcher.mem_gb'",
        ),
        (["hydra/launcher=slurm", "hydra.launcher.mem_gb=x"], "type a value such as"),
        (["hydra/launcher=ray_cluster", "hydra.launcher.ray.remote.num_cpu=2"], "remote.num_cpus'"),
        (["hydra/launcher=slurm_local", "hydra.launcher.partition=long"], "is not an option"),
    ],
)
def test_wrong_options_of_a_launcher(words: list[str], sentence: str) -> None:
    skip_without_extra(words)
    with pytest.raises(UserError) as raised:
        hydras_part(words)
    (mistake,) = raised.value.messages
    assert sentence in mistake
