"""From a folder of one's own images or music to a trained model in use, on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from mido import MidiFile
from PIL import Image

import odyssey
from odyssey.data.identity import content_hash
from odyssey.tasks.midi import write_midi
from odyssey.training.sampling import main as sample
from run_kit import folder, train
from test_run_damage import one_sentence

STEPS = ["cell=gru", "model.hidden_size=4", "trainer.max_epochs=2", "task.batch_size=8"]


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    top = tmp_path / "images"
    for name in ("cat", "dog"):
        for i in range(12):
            (top / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(top / name / f"{i}.png")
    return top


@pytest.fixture
def music(tmp_path: Path, rng: np.random.Generator) -> Path:
    top = tmp_path / "music"
    top.mkdir()
    for i in range(12):
        write_midi((rng.random((20, 88)) < 0.1).astype(np.uint8), top / f"{i}.mid", resolution=4)
    (top / "damaged.mid").write_bytes(b"MThd")
    return top


def test_a_folder_of_images(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["task=mnist", "task.data=folder", f"task.path={images}", *STEPS]
    assert train(tmp_path / "out", *words) == 0
    said = capsys.readouterr().out
    assert "24 images of 6×5 pixels in colour, 2 classes: cat 50.0%, dog 50.0%; train 20," in said
    assert "parts train/valid/test 80/10/10 drawn at random from the whole" in said
    run = odyssey.load(folder(tmp_path / "out"))
    found = run.predict(np.array(Image.open(images / "dog/3.png")))
    assert found.names == ("cat", "dog") and found.labels[0] in found.names
    assert run.record.data.sha256 == content_hash("folder", images)
    (images / "cat").rename(images / "bird")  # another content: another run
    assert train(tmp_path / "out", *words, "seeds.split=3") == 0
    assert "2 classes: bird" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "default").glob("gru-mnist-*"))) == 2


def test_a_folder_of_music(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task=music", "task.data=midi", f"task.path={music}", "task.resolution=4", *STEPS]
    assert train(tmp_path / "out", *words, f"data_dir={tmp_path / 'data'}") == 0
    said = capsys.readouterr().out
    assert "music of 13 files, a frame is a sixteenth note; pieces: train 10" in said
    assert "1 of 13 files left out (damaged.mid: it ends within its header)" in said
    run = odyssey.load(folder(tmp_path / "out"))
    assert run.sample(length=9).resolution == 4
    assert sample([str(run.path), "--length", "8"]) == 0
    path = Path(capsys.readouterr().out.split()[0])
    file = MidiFile(path)
    ticks = sum(message.time for message in file.tracks[0])
    assert ticks == 2 * file.ticks_per_beat


@pytest.mark.parametrize(
    ("task", "data", "says"),
    [
        ("mnist", "folder", "is a folder without files ending in .png"),
        ("music", "midi", "is a folder without files ending in .mid"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    task: str, data: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    words = [f"task={task}", f"task.data={data}", *STEPS]
    for place, expected in (
        ("empty", says),
        ("none", "is not there: type the path"),
        ("pipe", "it is a pipe or a device"),
    ):
        for more in ([], ["seeds.split=1"]):
            given = [*words, f"task.path={tmp_path / place}", *more]
            if place != "pipe" or not more:
                assert train(tmp_path / "out", *given) == 2
                assert expected in one_sentence(capsys)
    assert train(tmp_path / "out", *words) == 2
    assert f"task.data={data} needs a file or folder to read" in one_sentence(capsys)
    for place in ("train/a", "valid/a", "test/a"):
        (tmp_path / "parts" / place).mkdir(parents=True)
        ending = "png" if task == "mnist" else "mid"
        (tmp_path / "parts" / place / f"x.{ending}").touch()
    given = [*words, f"task.path={tmp_path / 'parts'}"]
    assert train(tmp_path / "out", *given, "seeds.split=1") == 2
    assert "which has the folders train, valid and test: leave it out" in one_sentence(capsys)
    assert train(tmp_path / "out", *given) == 2
    assert "it is empty" in one_sentence(capsys)
