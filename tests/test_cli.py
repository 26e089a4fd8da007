"""`python train.py` as a process: exit status, what is printed, what is imported."""

from __future__ import annotations

import contextlib
import io
import os
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


@pytest.mark.slow
def test_a_pipe_is_closed_as_soon_as_a_study_is_refused(tmp_path):
    """The process that trials are forked from, which is started early, ends too."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "-m", "seed=0,-1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    _, err = process.communicate(timeout=120)  # until all that hold its output have ended
    assert b"seed=-1 is out of range" in err and process.returncode == 2
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    running = subprocess.run(["pgrep", "-f", "study.launchers.server"], capture_output=True)
    mine = [p for p in running.stdout.split() if _parent(int(p)) == process.pid]
    assert mine == []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--resolve"], "--resolve is how --cfg shows: type --cfg job too"),
        (["--package", "model"], "--package is the section that --cfg shows: type --cfg job too"),
        (["--cfg", "job", "--package", "nope"], "--package nope is no section of the config"),
        (["--cfg", "job", "--package", "a..b["], "--package a..b[ is no section of the config"),
        (["-m", "hydra.callbacks.x._target_=a.B"], "type +hydra.callbacks.x._target_=a.B, or call"),
        (["-m", "hydra.callbacks=3"], "hydra.callbacks=3 is not a callback of Hydra's"),
        (
            ["-m", "+hydra.callbacks.x._target_=nowhere.B", "task.data=hello"],
            "hydra.callbacks.x._target_ is not usable (Error locating target 'nowhere.B'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_questions_and_settings_of_hydra_have_sentences(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        assert main(words) == 2
    (line,) = out.getvalue().splitlines()
    assert sentence in line


def test_hydras_own_help_may_have_settings_beside_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:  # by Hydra
        main(["cell=rnn", "--hydra-help"])
    assert ended.value.code == 0
    assert "Configuration groups" in capsys.readouterr().out
