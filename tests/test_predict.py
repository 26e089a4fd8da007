"""`scripts/predict.py`, `Run.read` and `Run.forecast`, of runs that were really trained."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import odyssey
from odyssey.api.predict_main import main
from odyssey.errors import UserError
from odyssey.training import predicting
from run_kit import ROOT, folder, train
from test_evaluate import FAST, charlm, sentiment  # noqa: F401


def said(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, str]]:
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_surprise_is_that_of_one_pass_and_in_pieces_the_same(
    charlm: Path,  # noqa: F811
    rng: np.random.Generator,
    capsys,
    monkeypatch,
) -> None:
    text = "".join(rng.choice(list("the cell\nreads?,"), int(rng.integers(5, 60))))
    run = odyssey.load(charlm, device="cpu")
    found = run.read(text)
    known = run.task.vocabulary  # type: ignore[attr-defined]
    ids = torch.tensor([known.start, *known.encode(text).tolist()])
    with torch.inference_mode():
        likely = torch.softmax(run.model(ids[:, None])[0][:, 0].double(), -1)
    right = [float(likely[t, i]) for t, i in enumerate(ids[1:].tolist())]
    np.testing.assert_allclose(found.bits, [-math.log2(p) for p in right], rtol=1e-5)
    np.testing.assert_allclose(found.after, likely[-1], rtol=1e-5)
    assert found.known.tolist() == [c != "?" for c in text]
    rows = said(capsys, charlm, "--text", text, "--surprise")
    assert "".join(r["symbol"] for r in rows) == text
    np.testing.assert_allclose([float(r["bits"]) for r in rows], found.bits, rtol=1e-12)
    monkeypatch.setattr(predicting, "MOST_STEPS", int(rng.integers(1, 7)))
    np.testing.assert_allclose(run.read(text).bits, found.bits, rtol=1e-4)
    best = said(capsys, charlm, "--text", text, "--top", 3)
    assert [r["next"] for r in best] == [known.symbols[i] for i in (-found.after).argsort()[:3]]


def test_lines_are_texts_of_their_own(charlm: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    lines = ["the cell", "", "reads"]
    (tmp_path / "t.txt").write_text("\r\n".join(lines) + "\r\n")
    rows = said(capsys, charlm, "--file", tmp_path / "t.txt", "--lines")
    run = odyssey.load(charlm, device="cpu")
    assert [r["text"] for r in rows] == lines
    for row, line in zip(rows, lines, strict=True):
        assert float(row["bits"]) == pytest.approx(float(run.read(line).bits.sum()))


@pytest.mark.slow
def test_classes_of_lines_from_a_pipe_whose_reader_leaves(sentiment: Path) -> None:  # noqa: F811
    words = [sys.executable, "scripts/predict.py", str(sentiment), "-", "--lines"]
    process = subprocess.run(
        f"yes 'fine great' | {' '.join(words)} --format jsonl | head -1",
        cwd=ROOT,
        shell=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert process.stderr == ""
    (line,) = process.stdout.splitlines()
    found = json.loads(line)
    likely = odyssey.load(sentiment, device="cpu").predict("fine great").probabilities[0]
    assert [found[f"p({c})"] for c in ("bad", "good", "meh")] == pytest.approx(likely.tolist())


@pytest.mark.parametrize("classes", [None, False, True])
def test_forecasts_are_in_the_units_of_the_table(
    classes: bool | None, tmp_path: Path, rng: np.random.Generator, capsys
) -> None:
    numbers = 7 * rng.normal(size=(60, 2)) + 30
    frame = pd.DataFrame(numbers, columns=["a", "b"])
    options: list[str] = []
    if classes is not None:
        frame.insert(0, "id", np.arange(60) // 6)
        frame["y"] = np.where(frame["id"] % 2 == 0, "up", "down") if classes else numbers[:, 0]
        options = ["task.options.sequence=id", "task.options.targets=[y]"]
        options += [f"task.options.classes={str(classes).lower()}"]
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    given = ["task=series", "task.data=file", f"task.path={path}", "bptt.length=5", *options]
    assert train(tmp_path, *given, *FAST[:1], *FAST[4:]) == 0
    run = odyssey.load(folder(tmp_path), device="cpu")
    found = run.forecast(path)
    if classes is None:
        row = run.predict(numbers).logits[0][-1]
        mean, width = numbers[:42].mean(0), numbers[:42].std(0)
        np.testing.assert_allclose(found.iloc[0, 1:].astype(float), row * width + mean, rtol=1e-5)
        again = run.forecast(path, steps=2)
        longer = np.vstack([numbers, found.iloc[0, 1:].to_numpy(float)])
        frame = pd.DataFrame(longer, columns=["a", "b"])
        frame.to_csv(path, index=False)
        np.testing.assert_allclose(
            again.iloc[1, 1:].astype(float), run.forecast(path).iloc[0, 1:].astype(float), rtol=1e-4
        )
        assert again["row"].tolist() == [61, 62]
    else:
        assert len(found) == 10 and found.iloc[:, 0].tolist() == list(range(10))
        said_ = run.predict([n.to_numpy() for _, n in frame.groupby("id")[["a", "b"]]])
        if classes:
            assert found["label"].tolist() == said_.labels.tolist()
            assert set(said_.labels) <= {"up", "down"}
    rows = said(capsys, run.path, "--file", path)
    assert len(rows) == len(run.forecast(path))


def test_digits_from_pictures_and_arrays(tmp_path: Path, rng: np.random.Generator, capsys) -> None:
    assert train(tmp_path, "task=mnist", "task.order=rows", *FAST[:1], *FAST[4:]) == 0
    run = odyssey.load(folder(tmp_path), device="cpu")
    images = rng.integers(0, 200, (3, 28, 28)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    Image.fromarray(images[1]).save(tmp_path / "x.png")
    wanted = run.predict(images)
    rows = said(capsys, run.path, "--file", tmp_path / "x.npy")
    assert [int(r["label"]) for r in rows] == wanted.labels.tolist()
    (row,) = said(capsys, run.path, "--file", tmp_path / "x.png", "--top", 2)
    assert int(row["label_1"]) == wanted.labels[1]
    assert float(row["probability_1"]) == pytest.approx(wanted.probabilities[1].max(), rel=1e-4)
    Image.fromarray(images[1][:20]).save(tmp_path / "small.png")
    (tmp_path / "no.png").write_text("x")
    for name, message in (
        ("small.png", "20 x 28"),
        ("no.png", "not a picture"),
        ("a.gif", "exist"),
    ):
        assert main([str(run.path), "--file", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    assert main([str(run.path), "--text", "7"]) == 2
    assert "--text is for" in capsys.readouterr().err


def test_wrong_words(charlm: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    (tmp_path / "bad.txt").write_bytes(b"ab\xffc")
    (tmp_path / "empty.txt").write_bytes(b"")
    for words, message in (
        ([], "said once"),
        (["-", "--text", "a"], "said once"),
        (["--text", ""], "is empty"),
        (["--file", str(tmp_path / "empty.txt")], "is empty"),
        (["--file", str(tmp_path / "bad.txt")], "byte 2"),
        (["--file", str(tmp_path)], "folder"),
        (["--file", str(tmp_path / "no")], "does not exist"),
        (["--text", "a", "--top", "0"], "--top 0"),
        (["--text", "a", "--steps", "2"], "--steps is for series"),
        (["--text", "a", "--lines", "--surprise"], "leave one of them out"),
    ):
        assert main([str(charlm), *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1, error
    run = odyssey.load(charlm, device="cpu")
    with pytest.raises(UserError, match="no forecasts"):
        run.forecast(tmp_path / "bad.txt")
    with pytest.raises(UserError, match="give a string"):
        run.read(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["file", "bytes"])
@pytest.mark.parametrize("documents", ["lines", "--"])
def test_documents_are_read_each_from_a_state_of_zero(
    data: str, documents: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    between = "\n" if documents == "lines" else "\n--\n"
    pieces = ["".join(rng.choice(list("abc é"), 6)).strip() + "x" for _ in range(80)]
    path = tmp_path / "t.txt"
    path.write_text(between.join(pieces), encoding="utf-8")
    words = ("task=charlm", f"task.data={data}", f"task.path={path}", "cell=gru")
    more = (f"task.documents={documents}", "task.batch_size=2", "task.sample_length=5")
    assert train(tmp_path / "out", *words, *more, *FAST[:1], "trainer.max_steps=3") == 0
    run = odyssey.load(folder(tmp_path / "out"), device="cpu")
    some = [pieces[i] for i in rng.choice(len(pieces), 3, replace=False)]
    alone = [run.read(one) for one in some]
    found = run.read(between.join(some) + between)
    ends = np.cumsum([len(one.bits) + 1 for one in alone])[:-1] - 1  # the marks between
    assert [found.symbols[i] for i in ends] == ["<end>"] * 2
    kept = np.delete(np.arange(len(found.bits)), ends)
    np.testing.assert_allclose(
        found.bits[kept], np.concatenate([one.bits for one in alone]), rtol=1e-4
    )
    np.testing.assert_allclose(found.after, alone[-1].after, rtol=1e-4)
    # What is predicted after one of them is the end that the whole text has there.
    place = run.task.names().index("<end>")
    assert found.bits[ends[0]] == pytest.approx(-math.log2(alone[0].after[place]), rel=1e-4)


def test_files_are_read_in_the_runs_own_way(
    tmp_path: Path, rng: np.random.Generator, capsys
) -> None:
    text = "".join(rng.choice(list("aé–b \n"), 900))
    (tmp_path / "old.txt").write_bytes(text.replace("\n", "\r\n").encode("cp1252"))
    more = ("cell=gru", "task.batch_size=2", "task.sample_length=5", "trainer.max_steps=2")
    words = ("task=charlm", f"task.path={tmp_path / 'old.txt'}", *FAST[:1], *more)
    assert train(tmp_path / "a", *words, "task.data=file", "task.encoding=cp1252") == 0
    run = odyssey.load(folder(tmp_path / "a"), device="cpu")
    rows = said(capsys, run.path, "--file", tmp_path / "old.txt", "--surprise")
    assert "".join(row["symbol"] for row in rows) == text
    assert train(tmp_path / "b", *words, "task.data=bytes") == 0
    run = odyssey.load(folder(tmp_path / "b"), device="cpu")
    content = bytes(rng.integers(0, 256, 50).astype(np.uint8))
    (tmp_path / "x.bin").write_bytes(content)
    rows = said(capsys, run.path, "--file", tmp_path / "x.bin", "--surprise")
    assert len(rows) == 50
    there = {*(tmp_path / "old.txt").read_bytes()[:700]}
    assert [row["known"] == "True" for row in rows[:50]].count(True) == sum(
        b in there for b in content
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures_of_the_runs_own_size(
    mode: str, tmp_path: Path, rng: np.random.Generator, capsys
) -> None:
    shape = (9, 7) if mode == "L" else (9, 7, 3)
    for kind in "ab":
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{i}.png")
    words = ("task=mnist", "task.data=folder", f"task.path={tmp_path / 'images'}", "cell=gru")
    assert train(tmp_path / "out", *words, *FAST[:1], "trainer.max_steps=2") == 0
    run = odyssey.load(folder(tmp_path / "out"), device="cpu")
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (row,) = said(capsys, run.path, "--file", tmp_path / "x.png")
    wanted = run.predict(pixels)
    assert row["label"] == wanted.labels[0]
    assert float(row["p(a)"]) == pytest.approx(wanted.probabilities[0][0], rel=1e-4)
    Image.fromarray(pixels[:5]).save(tmp_path / "y.png")
    assert main([str(run.path), "--file", str(tmp_path / "y.png")]) == 2
    assert "has 5 x 7 pixels: give a picture of 9 x 7" in capsys.readouterr().err
