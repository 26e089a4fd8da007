"""Files and folders that may not be read or written, and places that go away: one sentence each."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import odyssey
from odyssey.confirm import main as confirm
from odyssey.errors import UserError
from odyssey.report.main import main as report
from odyssey.study.status import main as status
from odyssey.training.sampling import main as sample
from run_kit import folder, record, train
from test_run_damage import OPTIONS, Runs, one_sentence


class Header(ctypes.Structure):
    """As capset(2) takes it."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


Data = ctypes.c_uint32 * 6  # effective, permitted, inheritable: of capabilities 0 to 31, and more
VERSION = 0x20080522
READ_ALL = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root may read all


@contextlib.contextmanager
def bound() -> Iterator[None]:
    """Permissions bind in this thread, though it be root's."""
    if os.geteuid() != 0:
        yield
        return
    libc, header, before = ctypes.CDLL(None, use_errno=True), Header(VERSION, 0), Data()
    if sys.platform != "linux" or libc.capget(ctypes.byref(header), ctypes.byref(before)):
        pytest.skip("root may read all here")
    now = Data(*before)
    now[0] &= ~READ_ALL
    assert libc.capset(ctypes.byref(header), ctypes.byref(now)) == 0
    try:
        yield
    finally:
        assert libc.capset(ctypes.byref(header), ctypes.byref(before)) == 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "out"
    for path, *_ in os.walk(tmp_path):
        Path(path).chmod(0o755)


CLOSED: dict[str, tuple[str, int]] = {
    "run.json": ("run.json", 0),
    "the run folder": (".", 0),
    "the run folder, but for its names": (".", 0o444),
    "the study": ("..", 0),
}


@pytest.mark.parametrize(("what", "mode"), CLOSED.values(), ids=CLOSED.keys())
def test_what_may_not_be_read_is_one_sentence_of_train(
    what: str, mode: int, runs: Runs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, out)
    (path / what).chmod(mode)
    capsys.readouterr()
    with bound():
        assert runs.train(out) == 2
    assert "Permission denied" in one_sentence(capsys)
    (path / what).resolve().chmod(0o755)
    with bound():
        assert runs.train(out) == 0


@pytest.mark.parametrize("what", [".", "checkpoints"])
def test_a_run_that_may_not_be_written_is_one_sentence_and_lost_nothing(
    what: str, runs: Runs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.cut, out)
    (path / what).chmod(0o555)
    capsys.readouterr()
    with bound():
        assert runs.train(out) == 2
    assert f"{path}" in (said := one_sentence(capsys)) and "Permission denied" in said
    (path / what).chmod(0o755)
    with bound():
        assert runs.train(out) == 0
    assert "going on after update 3" in capsys.readouterr().out
    assert record(path)["metrics"] == record(runs.whole)["metrics"]


@pytest.mark.parametrize("what", ["config.yaml", "checkpoints/best.ckpt", "checkpoints", "."])
def test_what_may_not_be_read_is_one_sentence_of_sample(
    what: str, runs: Runs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.whole, out)
    (path / what).chmod(0)
    capsys.readouterr()
    with bound():
        assert sample([str(path), "--length", "2"]) == 2
        assert "Permission denied" in one_sentence(capsys)
        with pytest.raises(UserError, match="Permission denied"):
            odyssey.load(path).sample(length=2)


READERS: dict[str, Callable[[Path], int]] = {
    "status": lambda study: status([str(study)]),
    "report": lambda study: report([str(study), "--no-figures", "--draws", "100"]),
    "confirm": lambda study: confirm([str(study)]),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@pytest.mark.parametrize("what", [".", ".."])
def test_a_study_that_may_not_be_read(
    what: str,
    reader: Callable[[Path], int],
    runs: Runs,
    out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs.copy(runs.whole, out)
    (out / "s" / what).chmod(0)
    capsys.readouterr()
    with bound():
        assert reader(out / "s") == 2
        said = one_sentence(capsys)
        assert "Permission denied" in said
        for look in (odyssey.study, odyssey.compare):
            with pytest.raises(UserError, match="Permission denied"):
                look(out / "s")
    (out / "s" / what).chmod(0o755)


def test_a_study_folder_that_may_not_be_listed_is_not_taken_for_an_empty_one(
    runs: Runs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.copy(runs.whole, out)
    (out / "s" / "study.json").write_text('{"study": "s"}')
    (out / "s").chmod(0o311)
    capsys.readouterr()
    with bound():
        assert status([str(out / "s")]) == 0
        assert "cannot be listed (Permission denied)" in " ".join(capsys.readouterr().out.split())
        assert train(out, "-m", "seed=0,1", *runs.options) == 2
        assert "cannot be listed (Permission denied)" in one_sentence(capsys)


def test_a_record_that_may_not_be_read_leaves_the_rest_of_the_study(
    runs: Runs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs.copy(runs.whole, out)
    other = runs.copy(runs.other, out)
    (path / "run.json").chmod(0)
    with bound():
        found = odyssey.study(out / "s").counts
        with pytest.raises(UserError, match=r"run\.json cannot be read \(Permission denied\)"):
            odyssey.load(path)
        assert odyssey.load(other).status == "finished"
    assert found == {"finished": 1, "damaged": 1}


# -- names ----------------------------------------------------------------------------------------

LONG = "x" * 300


def test_names_that_the_file_system_has_not(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    hello = [*OPTIONS, "task.path=null", "task.data=hello"]
    for command in (
        lambda: sample([str(tmp_path / LONG)]),
        lambda: sample([LONG]),
        lambda: status([LONG]),
        lambda: report([LONG]),
        lambda: confirm([LONG]),
        lambda: report([str(runs.whole.parent), "--out", str(tmp_path / LONG)]),
        lambda: train(tmp_path / LONG, *hello),
        lambda: train(tmp_path, *OPTIONS, f"task.path={LONG}"),
        lambda: train(tmp_path, *hello, f"study={LONG}"),
    ):
        assert command() == 2
        one_sentence(capsys)
    for look in (odyssey.load, odyssey.study, odyssey.compare):
        with pytest.raises(UserError):
            look(LONG)


# -- places that go away --------------------------------------------------------------------------


def test_a_current_folder_that_is_gone(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    capsys.readouterr()
    hello = [*OPTIONS, "task.path=null", "task.data=hello"]
    for command in (
        lambda: train(Path("outputs"), *hello),
        lambda: train(Path("outputs"), "-m", *hello),
        lambda: sample(["outputs/s/lstm"]),
        lambda: status(["outputs/s"]),
        lambda: report(["outputs/s"]),
        lambda: confirm(["outputs/s"]),
    ):
        assert command() == 2
        one_sentence(capsys)
    with pytest.raises(UserError):
        odyssey.train(["task=charlm"])
    with pytest.raises(UserError):
        odyssey.load("outputs/s/lstm")
    # What is given whole is still there.
    assert sample([str(runs.whole), "--length", "2", "--seed", "1"]) in (0, 2)
    err = capsys.readouterr().err
    assert err.count("\n") <= 1


def test_a_study_folder_that_goes_away_in_training(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from odyssey.training.callbacks import Metrics

    real = Metrics.on_train_batch_end

    def gone(self: Any, trainer: Any, module: Any, *rest: Any) -> None:
        if module.updates == 3:
            shutil.rmtree(tmp_path / "s", ignore_errors=True)
        real(self, trainer, module, *rest)

    monkeypatch.setattr(Metrics, "on_train_batch_end", gone)
    capsys.readouterr()
    assert runs.train(tmp_path) == 2
    assert str(tmp_path / "s") in one_sentence(capsys)
    monkeypatch.undo()
    assert runs.train(tmp_path) == 0
    assert record(folder(tmp_path))["metrics"] == record(runs.whole)["metrics"]
