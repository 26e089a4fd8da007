"""A pipe or a device in place of any file that is read or written: nothing waits for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from odyssey.confirm import main as confirm
from odyssey.data.cache import cached
from odyssey.data.download import found
from odyssey.errors import UserError
from odyssey.io import open_regular, read_bytes, write_text
from odyssey.study.edit_main import main as edit
from odyssey.study.status import main as status
from odyssey.study.trial import console_into
from odyssey.tasks.midi import draw_roll, write_midi
from records_kit import write_plan, write_run
from run_kit import train
from test_run_damage import OPTIONS, one_sentence

HELLO = [*OPTIONS, "task.path=null", "task.data=hello"]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.yaml")
    return tmp_path / "pipe.yaml"


def _log(pipe: Path) -> None:
    with console_into(pipe):
        pass


@pytest.mark.parametrize(
    "use",
    [
        read_bytes,
        lambda pipe: open_regular(pipe, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
        _log,
    ],
)
def test_opening_one_is_an_error(use: Callable[[Path], Any], pipe: Path) -> None:
    with pytest.raises(OSError):
        use(pipe)
    with pytest.raises(OSError, match="it is a pipe or a device and no file"):
        use(Path("/dev/zero"))


def test_what_can_be_made_anew_takes_its_place(tmp_path: Path) -> None:
    roll = np.zeros((3, 88), np.uint8)
    for number, write in enumerate(
        (lambda p: write_text(p, "x"), lambda p: write_midi(roll, p), lambda p: draw_roll(roll, p))
    ):
        file = tmp_path / str(number)
        os.mkfifo(file)
        write(file)
        assert file.is_file()
    made = cached(tmp_path, "a", "key", lambda: {"x": np.arange(3)})
    (file,) = (p for p in tmp_path.rglob("a*") if p.is_file())
    file.unlink()
    os.mkfifo(file)
    again = cached(tmp_path, "a", "key", lambda: {"x": np.arange(3)})
    assert again["x"].tolist() == made["x"].tolist() == [0, 1, 2] and file.is_file()


def test_data_are_files(pipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="it is a pipe or a device"):
        found(pipe, "sha256:0")
    for path in (pipe, "/dev/zero"):
        assert train(pipe.parent / "out", *OPTIONS, f"task.path={path}") == 2
        assert f"task.path={path} is a pipe or a device" in one_sentence(capsys)


@pytest.mark.parametrize("state", ["running", "interrupted", "finished"])
def test_a_pipe_in_a_run_folder_holds_up_no_command_on_its_study(
    state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, names = tmp_path / "s", ["gru-charlm-00000000", "lstm-charlm-00000001"]
    for name in names:
        run = write_run(study, name, status=state)
        for file in ("config.yaml", "metrics.csv", "overrides.yaml"):
            (run / file).unlink()
            os.mkfifo(run / file)
    rows = []
    for name in names:
        word = f"cell={name.partition('-')[0]}"
        rows.append({"trial": "0", "run": name, "variant": word, "overrides": word})
    write_plan(study, rows)
    (tmp_path / "s-confirmed").mkdir()
    os.mkfifo(tmp_path / "s-confirmed" / "confirms.json")
    assert status([str(study)]) == 0
    assert edit(["drop", str(study), "cell=gru", "--yes"]) == 0
    assert edit(["rename", str(study), "t"]) == 0
    assert confirm([str(tmp_path / "t")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_configurations_are_files(pipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pipe.parent / "cell").mkdir()
    os.mkfifo(pipe.parent / "cell" / "mine.yaml")
    for words in (["--config-name", "pipe"], ["cell=mine"]):
        given = [*HELLO, f"hydra.searchpath=[{pipe.parent}]"]
        given += ["--config-name=pipe"] if words[0].startswith("--") else words
        assert train(pipe.parent / "out", *given) == 2
        one_sentence(capsys)
