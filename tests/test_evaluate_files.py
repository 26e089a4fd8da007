"""`scripts/evaluate.py` on music and images of other files, of runs that were really trained."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import odyssey
from odyssey.api.evaluate_main import main
from odyssey.data.identity import content_hash
from odyssey.tasks.midi import write_midi
from run_kit import folder, train

FAST = ["model.hidden_size=8", "trainer.max_steps=3", "trainer.max_epochs=null"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def piece(path: Path, rng: np.random.Generator, frames: int, resolution: int) -> np.ndarray:
    roll = (rng.random((frames, 88)) < 0.1).astype(np.uint8)
    roll[-1, 0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(roll, path, resolution=resolution)
    return roll


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, rng = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    for part, size in (("train", 4), ("valid", 2), ("test", 3)):
        for i in range(size):
            piece(out / f"own/{part}/{i}.mid", rng, int(rng.integers(20, 40)), 4)
    words = ["task=music", "task.data=midi", f"task.path={out / 'own'}", f"data_dir={out}"]
    assert train(out / "runs", *words, "task.resolution=4", "task.sample_length=4", *FAST) == 0
    return folder(out / "runs")


def test_the_runs_own_music_has_the_runs_own_numbers(music: Path) -> None:
    run = odyssey.load(music, device="cpu")
    own = Path(run.config.task.path)
    found = run.evaluate("test", data=own)
    assert dict(found) == dict(run.evaluate("test"))
    assert found["nats_per_frame"] == run.result["test/nats_per_frame"]
    assert found.data["sha256"] == content_hash("midi", own) == run.task.data["sha256"]
    assert dict(run.evaluate("valid", data=own)) == dict(run.evaluate("valid"))
    only = own.parent / "only"
    shutil.copytree(own / "test", only / "test", dirs_exist_ok=True)  # a part alone
    assert dict(run.evaluate(data=only)) == dict(found)
    with pytest.raises(odyssey.UserError, match="has no valid part: there is test"):
        run.evaluate("valid", data=only)


def test_each_piece_has_a_row(music: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    names = ["b.mid", "a/c.mid", "z.MID"]
    rolls = {n: piece(tmp_path / "m" / n, rng, int(rng.integers(2, 30)), 4) for n in names}
    piece(tmp_path / "m/one.mid", rng, 1, 4)
    (tmp_path / "m/no.mid").write_text("no music")
    out = tmp_path / "out"
    assert main([str(music), "--data", str(tmp_path / "m"), "--output", str(out)]) == 0
    model, total, count = odyssey.load(music, device="cpu").model, 0.0, 0
    documents = rows(out / "documents.csv")
    assert [d["document"] for d in documents] == sorted(names)
    for row in documents:
        frames = torch.from_numpy(rolls[row["document"]]).float()
        with torch.inference_mode():
            logits = model(frames[:-1].unsqueeze(1))[0][:, 0].double()
        lost = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, frames[1:].double(), reduction="sum"
        )
        total, count = total + float(lost), count + len(frames) - 1
        assert float(row["targets"]) == len(frames) - 1
        assert float(row["nats_per_frame"]) == pytest.approx(float(lost) / (len(frames) - 1), 1e-5)
    saved = json.loads((out / "evaluation.json").read_text())
    assert saved["metrics"]["nats_per_frame"] == pytest.approx(total / count, rel=1e-5)
    notes = " ".join(saved["notes"])
    assert "each a sixteenth note" in notes and "1 of 5 files left out (no.mid" in notes
    assert "1 left out: a single frame" in notes
    one = odyssey.load(music, device="cpu").evaluate(data=tmp_path / "m/b.mid")
    assert one["nats_per_frame"] == pytest.approx(float(documents[1]["nats_per_frame"]), 1e-5)


def pictures(path: Path, rng: np.random.Generator, classes: str, size: int, colour: bool) -> None:
    """Twelve images of each class, in folders, of `size` rows and one column more."""
    for name in classes:
        (path / name).mkdir(parents=True)
        for i in range(12):
            shape = (size, size + 1, 3) if colour else (size, size + 1)
            image = rng.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(image).save(path / name / f"{i}.png")


@pytest.fixture(scope="module", params=["grey", "colour", "resized"])
def images(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    for part in ("train", "valid", "test"):
        pictures(out / "own" / part, rng, "abc", 5, request.param == "colour")
    words = ["task=mnist", "task.data=folder", f"task.path={out / 'own'}"]
    words += ["task.normalization=standard", "task.order=permuted"]
    words += ["task.size=4"] if request.param == "resized" else []
    assert train(out / "runs", *words, *FAST) == 0
    return folder(out / "runs")


def test_the_runs_own_images_have_the_runs_own_numbers(images: Path) -> None:
    run = odyssey.load(images, device="cpu")
    own = Path(run.config.task.path)
    for split in ("train", "valid", "test"):
        found = run.evaluate(split, data=own)  # type: ignore[arg-type]
        wanted = run.evaluate(split)  # type: ignore[arg-type]
        assert dict(found) == pytest.approx(dict(wanted), rel=1e-6)
    assert found["accuracy"] == run.result["test/accuracy"]
    assert found.data["sha256"] == content_hash("folder", own) == run.task.data["sha256"]
    assert dict(run.evaluate(data=own / "test")) == dict(found)


def test_images_of_one_class_and_of_the_other_kind(
    images: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    run = odyssey.load(images, device="cpu")
    given, out = tmp_path / "m", tmp_path / "out"
    colour = run.task.shape[2] == 3  # type: ignore[attr-defined]
    pictures(given, rng, "b", 5, not colour)
    assert main([str(images), "--data", str(given), "--output", str(out)]) == 0
    documents, (a, b, c) = rows(out / "documents.csv"), rows(out / "classes.csv")
    assert [d["document"] for d in documents] == sorted(f"b/{i}.png" for i in range(12))
    assert (a["count"], b["count"], c["count"]) == ("0", "12", "0")
    pixels = []
    for row in documents:
        with Image.open(given / row["document"]) as image:
            if run.config.task.size:
                image = image.resize((4, 4), Image.Resampling.BILINEAR)
            pixels.append(np.array(image.convert("RGB" if colour else "L")))
    said = run.predict(np.stack(pixels))
    assert [d["predicted"] for d in documents] == said.labels.tolist()
    assert float(b["recall"]) == pytest.approx(np.mean(said.labels == "b"))


def test_arrays_of_images(images: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    run = odyssey.load(images, device="cpu")
    height, width, values = run.task.shape  # type: ignore[attr-defined]
    shape = (int(rng.integers(3, 9)), height, width, *([3] if values == 3 else []))
    x = rng.integers(0, 256, shape).astype(np.uint8)
    y = rng.choice(list("abc"), len(x))
    np.savez(tmp_path / "a.npz", x_test=x, y_test=y)
    found = run.evaluate(data=tmp_path / "a.npz")
    assert found["accuracy"] == pytest.approx(np.mean(run.predict(x).labels == y))
    assert found.documents["label"].tolist() == y.tolist()
    with pytest.raises(odyssey.UserError, match="has no train part: there is test"):
        run.evaluate("train", data=tmp_path / "a.npz")


def test_what_cannot_be_evaluated(images: Path, music: Path, tmp_path: Path, rng, capsys) -> None:
    pictures(tmp_path / "strange", rng, "abz", 5, False)
    pictures(tmp_path / "other", rng, "ab", 7, False)
    pictures(tmp_path / "mixed", rng, "ab", 7, False)
    Image.new("L", (9, 9)).save(tmp_path / "mixed/a/0.png")
    (tmp_path / "a.mid").write_text("no")
    (tmp_path / "empty").mkdir()
    piece(tmp_path / "short.mid", rng, 1, 4)
    resized = odyssey.load(images, device="cpu").config.task.size is not None
    for run, name, message in (
        (images, "strange", "has the class z (z/0.png), which is not among those of the run (a, b"),
        (images, "other", "" if resized else "of 7×8 pixels, and the run reads 5×6: resize"),
        (images, "mixed", "" if resized else "resize them to the size that the run reads"),
        (images, "empty", "is a folder without files"),
        (images, "none", "does not exist"),
        (images, "a.mid", "is no .npz file"),
        (music, "a.mid", "neither MIDI nor MusicXML"),
        (music, "short.mid", "no piece of 2 frames or more"),
        (music, "empty", "is a folder without files"),
        (music, "none", "does not exist"),
    ):
        capsys.readouterr()
        assert main([str(run), "--data", str(tmp_path / name)]) == (2 if message else 0)
        error = capsys.readouterr().err
        assert message in error and "task.path" not in error and error.count("\n") == bool(message)
