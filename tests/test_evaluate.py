"""`scripts/evaluate.py` and `Run.evaluate` on other data, of runs that were really trained."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import odyssey
from odyssey.api.evaluate_main import main
from odyssey.errors import UserError
from run_kit import folder, train, write_text

FAST = [
    "model.hidden_size=12",
    "bptt.length=20",
    "task.batch_size=4",
    "task.eval_batch_size=4",
    "trainer.max_steps=6",
    "trainer.max_epochs=null",
    "trainer.val_every=3",
]


@pytest.fixture(scope="module")
def charlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("charlm")
    given = ["task=charlm", "task.data=file", f"task.path={write_text(out / 'text.txt')}"]
    assert train(out, *given, *FAST) == 0
    return folder(out)


def labelled(path: Path, rng: np.random.Generator, rows: int) -> list[tuple[str, str]]:
    words = {"good": "fine great", "bad": "poor sad", "meh": "so ok"}
    found = []
    for i in range(rows):
        label = ["good", "bad", "meh"][i % 3]
        found.append((" ".join(rng.choice(words[label].split(), 1 + rng.integers(6))), label))
    path.write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in found))
    return found


@pytest.fixture(scope="module")
def sentiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sentiment")
    labelled(out / "t.csv", np.random.default_rng(0), 90)
    given = ["task=sentiment", "task.data=csv", f"task.path={out / 't.csv'}", "seed=1"]
    assert train(out, *given, "task.batch_size=16", *FAST[:1], *FAST[4:]) == 0
    return folder(out)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_runs_own_test_part_as_a_file_has_the_runs_own_numbers(charlm: Path) -> None:
    run = odyssey.load(charlm, device="cpu")
    text = Path(run.config.task.path).read_text()
    part = charlm.parent / "part.txt"
    part.write_text(text[-math.ceil(len(text) * 0.05) :])
    assert len(part.read_text()) == len(run.task.batches("test").ids)  # type: ignore[attr-defined]
    found = run.evaluate(data=part)
    assert found == run.evaluate("test") and found.unknown == 0
    assert found["bits_per_char"] == run.result["test/bits_per_char"]


def test_each_document_is_read_from_a_fresh_state(
    charlm: Path, tmp_path: Path, rng: np.random.Generator, capsys
) -> None:
    texts = {}
    for name in ("b.txt", "a.txt", "c.md"):
        texts[name] = "".join(rng.choice(list("the cell\nreads?"), int(rng.integers(2, 90))))
        (tmp_path / name).write_text(texts[name])
    (tmp_path / "one.md").write_text("t")
    assert main([str(charlm), "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "one.md is left out" in said
    where = charlm / "evaluations" / f"{tmp_path.name}-test"
    run = odyssey.load(charlm, device="cpu")
    known, model, total = run.task.vocabulary, run.model, 0.0  # type: ignore[attr-defined]
    for row, name in zip(rows(where / "documents.csv"), sorted(texts), strict=True):
        ids = torch.from_numpy(known.encode(texts[name])).long()
        lanes = min(4, max(1, (len(ids) - 1) // 20))
        nats = []
        cuts = [len(a) for a in np.array_split(np.arange(len(ids) - 1), lanes)]
        at = 0
        for size in cuts:
            with torch.inference_mode():
                logits, _ = model(ids[at : at + size].unsqueeze(1))
            right = ids[at + 1 : at + size + 1]
            nats.append(torch.nn.functional.cross_entropy(logits[:, 0], right, reduction="sum"))
            at += size
        total += float(sum(nats))
        assert row["document"] == name and int(row["targets"]) == len(ids) - 1
        mean = float(sum(nats)) / (len(ids) - 1)
        assert float(row["nats_per_char"]) == pytest.approx(mean, rel=1e-5)
    saved = json.loads((where / "evaluation.json").read_text())
    size = sum(map(len, texts.values()))
    assert saved["metrics"]["nats_per_char"] == pytest.approx(total / (size - 3), rel=1e-5)
    missing = sum(c == "?" for text in texts.values() for c in text)
    assert (saved["symbols"], saved["unknown"]) == (size, missing)
    # A second one has a folder of its own.
    assert main([str(charlm), "--data", str(tmp_path)]) == 0
    assert where.with_name(f"{where.name}-2").is_dir()


def test_a_table_is_classified_with_the_runs_vocabulary_and_classes(
    sentiment: Path, tmp_path: Path, rng: np.random.Generator, capsys
) -> None:
    given = labelled(tmp_path / "new.csv", rng, 23)[:17]
    given[3] = ("qqq fine", "good")
    (tmp_path / "new.csv").write_text("text,label\n" + "".join(f"{t},{y}\n" for t, y in given))
    out = tmp_path / "out"
    assert main([str(sentiment), "--data", str(tmp_path / "new.csv"), "--output", str(out)]) == 0
    assert "1 of" in capsys.readouterr().out
    run = odyssey.load(sentiment, device="cpu")
    said = run.predict([text for text, _ in given])
    documents = rows(out / "documents.csv")
    assert [d["label"] for d in documents] == [label for _, label in given]
    assert [d["predicted"] for d in documents] == said.labels.tolist()
    right = [a == b for a, (_, b) in zip(said.labels, given, strict=True)]
    found = json.loads((out / "evaluation.json").read_text())
    assert found["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    for row in rows(out / "classes.csv"):
        there = [r for r, (_, label) in zip(right, given, strict=True) if label == row["class"]]
        assert int(row["count"]) == len(there)
        assert float(row["recall"]) == pytest.approx(np.mean(there))
    matrix = run.evaluate(data=tmp_path / "new.csv").confusion
    assert matrix is not None and matrix.to_numpy().sum() == 17
    assert main([str(sentiment), "--output", str(out)]) == 2
    assert "has files already" in capsys.readouterr().err


@pytest.mark.parametrize("sequences", [False, True])
def test_a_series_keeps_the_scale_of_its_training(
    sequences: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    def table(path: Path, scale: float) -> Path:
        numbers = scale * rng.normal(size=(60, 2)) + 3
        lines = [f"{i // 6},{a},{b}" for i, (a, b) in enumerate(numbers)]
        path.write_text("id,a,b\n" + "\n".join(lines) + "\n")
        return path

    options = (
        "task.options.sequence=id task.options.targets=[b]"
        if sequences
        else ("task.options.inputs=[a,b] task.options.targets=[b] task.options.horizon=2")
    )
    path = table(tmp_path / "own.csv", 2.0)
    given = ["task=series", "task.data=file", f"task.path={path}", *options.split()]
    assert train(tmp_path, *given, "bptt.length=5", *FAST[:1], *FAST[4:]) == 0
    run = odyssey.load(folder(tmp_path), device="cpu")
    other = table(tmp_path / "other.csv", 5.0)
    found = run.evaluate(data=other)
    numbers = np.loadtxt(other, delimiter=",", skiprows=1)
    centre, width = run.task.target_centre[0], run.task.target_width[0]  # type: ignore[attr-defined]
    b = (numbers[:, 2] - centre) / width
    targets = b[5::6] if sequences else b[2:]
    usual = run.task.usual[0]  # type: ignore[attr-defined]
    assert found["rmse_mean"] == pytest.approx(
        float(np.sqrt(np.mean((targets - usual) ** 2))), 1e-5
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"t", "has no text of two characters or more"),
        (b"\xff\x81abc", "is not UTF-8 text"),
    ],
)
def test_text_that_cannot_be_evaluated(
    charlm: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "given.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        odyssey.load(charlm, device="cpu").evaluate(data=path)
    assert "task." not in str(raised.value)


def test_text_without_known_symbols_is_evaluated_with_a_warning(
    charlm: Path, tmp_path: Path
) -> None:
    path = tmp_path / "given.txt"
    path.write_text("ЖЖЖЖ" * 9)
    found = odyssey.load(charlm, device="cpu").evaluate(data=path)
    assert found.unknown_share == 1 and "100.0%" in found.warnings()[0]


def test_wrong_words(charlm: Path, sentiment: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "new.csv").write_text("text,label\nfine,superb\n")
    (tmp_path / "folder").mkdir()
    for words, message in (
        ([str(tmp_path / "nope")], "no such run folder"),
        ([str(tmp_path)], "is not a run folder"),
        ([str(charlm), "--data", str(tmp_path / "folder")], "folder without files"),
        ([str(sentiment), "--data", str(tmp_path / "new.csv")], "'superb' is not among"),
        ([str(sentiment), "--data", str(tmp_path / "folder")], "--data"),
        ([str(charlm), "--output", str(tmp_path / "new.csv")], "is a file"),
        ([str(charlm), "--split", "all"], "invalid choice"),
    ):
        assert main(words) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and message in error and error.count("\n") == 1, error
