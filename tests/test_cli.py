"""`python train.py` as a process: exit status, what is printed, what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from odyssey.cli import main

ROOT = Path(__file__).parents[1]


def _train(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["cell=lstmm"], ["error: cell=lstmm is unknown (did you mean 'lstm'?): type one of cifg"]),
        (
            ["model.hidden_sise=3", "seed=x", "device=tpu"],
            [
                "error: model.hidden_sise=3 is not an option (did you mean",
                "error: seed=x is not a whole number: type a whole number, as in seed=0",
                "error: device=tpu is unknown",
            ],
        ),
        (["-m", "cell=lstmm,nope", "seed=0,1"], ["error: cell=lstmm is", "error: cell=nope is"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_in_a_process_of_its_own(words, lines, tmp_path):
    done = _train(*words, folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    got = done.stderr.splitlines()
    assert len(got) == len(lines), done.stderr
    assert all(any(g.startswith(line) for g in got) for line in lines), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cell_beside_the_user_is_found_and_judged(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from odyssey.cells import Cell\n\n\nclass Mine(Cell):\n    gates = ('h',)\n"
    )
    done = _train("cell=rnn", "cell._target_=mine.Mine", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: cell._target_=mine.Mine is not usable: Mine must define step(self, x, R, p, s)\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "torch"),
    [
        (["optimizer.lr=abc", "task=nope", "foo", "clip=none", "clip.threshold=3"], False),
        (["cell=rnn", "cell.forget_bias=1"], False),
        (["cell=rnn", "cell.options.k=1"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_torch_is_imported_only_to_look_at_a_cell(words, torch, tmp_path):
    code = (
        "import sys; from odyssey.cli import main; assert main(sys.argv[1:]) == 2;"
        "print('torch' in sys.modules, 'pytorch_lightning' in sys.modules, 'wandb' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(torch), "False", "False"]


def test_a_right_configuration_is_composed_and_planned_without_torch(tmp_path):
    code = (
        "import sys; from odyssey.config.compose import compose; from odyssey.study.plan import "
        "prepare; cfg = compose(['cell=lstm_peephole', 'cell.forget_bias=2', 'task.data=hello']);"
        "from odyssey.config.identity import run_name; assert run_name(cfg);"
        "assert len(prepare(['cell=rnn,gru', 'task.data=hello', 'seed=0,1']).trials) == 4;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_help_may_be_cut_off_by_its_reader():
    done = subprocess.run(
        f"{sys.executable} {ROOT / 'train.py'} --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "Train a recurrent cell on a task, or many as a study.\n"
    assert done.stderr == ""


def test_cfg_job_shows_the_checked_configuration(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--cfg", "job", "model.hidden_size=37"]) == 0
    assert "hidden_size: 37" in capsys.readouterr().out
    assert main(["--cfg", "job", "model.hidden_size=0"]) == 2
    assert main(["--cfg", "jobs"]) == 2
    err = capsys.readouterr().err
    assert "model.hidden_size=0 is out of range" in err
    assert "--cfg jobs is not a question: type --cfg job or hydra or all" in err
    assert list(tmp_path.iterdir()) == []


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rnn-odyssey ")
