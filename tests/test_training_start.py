"""Runs that begin with the weights and vocabulary of another: `init_from`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import odyssey
from odyssey.config.compose import compose
from odyssey.config.identity import config_hash
from odyssey.training.run_dir import run_path
from run_kit import assert_same_run, once, record, train, write_text

STILL = ["optimizer=sgd", "optimizer.lr=1e-30", "trainer.max_steps=1"]  # no weight moves


def options(path: Path, *more: str) -> list[str]:
    return once(
        "cell=mgu",
        "task=charlm",
        "task.data=file",
        f"task.path={path}",
        "task.batch_size=3",
        "task.sample_length=5",
        "bptt.length=11",
        "model.hidden_size=7",
        "trainer.max_epochs=null",
        "trainer.max_steps=12",
        *more,
    )


def place(out: Path, *overrides: str) -> Path:
    return run_path(compose([*overrides, f"output_dir={out}"]))


def weights(run: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["model"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a text of some letters."""
    folder = tmp_path_factory.mktemp("source")
    overrides = options(write_text(folder / "first.txt", 700))
    assert train(folder / "out", *overrides) == 0
    return place(folder / "out", *overrides)


@pytest.fixture
def other(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A text with letters that the first lacks, and without some of its own."""
    path = tmp_path / "other.txt"
    path.write_text("".join(rng.choice(list("the gate XYZ\n"), 800)))
    return path


def test_it_begins_with_the_weights_and_the_vocabulary(
    source: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    overrides = options(other, *STILL, f"init_from={copy}")
    assert train(tmp_path, *overrides) == 0
    run = place(tmp_path, *overrides)
    theirs, ours = weights(source), weights(run, "last")
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    step = record(source)["best_step"]
    assert f"begins with the weights of copy at update {step}" in capsys.readouterr().out
    said = record(run)["start"]
    assert (said["run"], said["step"], said["fresh"]) == ("copy", step, [])
    shutil.rmtree(copy)  # what the run took is in its own checkpoint
    loaded = odyssey.load(run)
    assert loaded.task.names() == odyssey.load(source).task.names()
    tested = loaded.evaluate("test")
    assert tested["nats_per_char"] == pytest.approx(
        record(run)["metrics"]["test/nats_per_char"], rel=1e-6
    )
    text = other.read_text()[:50]
    unknown = loaded.task.vocabulary.unknown
    ids = loaded.task.read(text).inputs[:, 0].tolist()
    assert [i == unknown for i in ids] == [letter in "XYZ" for letter in text]


def test_it_goes_on_from_its_own_checkpoint(source: Path, other: Path, tmp_path: Path) -> None:
    short, long = (
        options(other, f"init_from={source}", "trainer.val_every=5", f"trainer.max_steps={n}")
        for n in (5, 15)
    )
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert train(out, *short) == train(out, *long) == train(whole, *long) == 0
    assert record(place(out, *long))["continued"]["steps"] == 5
    assert_same_run(place(whole, *long), place(out, *long))


def test_the_checkpoint_is_part_of_what_a_run_is(source: Path, other: Path, tmp_path: Path) -> None:
    plain, begun = options(other), options(other, f"init_from={source}")
    moved, changed = tmp_path / "moved", tmp_path / "changed"
    for copy in (moved, changed):
        shutil.copytree(source, copy)
    best = changed / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes() + b"\0")
    hashes = [
        config_hash(compose(words))
        for words in (
            plain,
            begun,
            options(other, f"init_from={moved}"),
            options(other, f"init_from={changed}"),
        )
    ]
    assert hashes[1] == hashes[2]
    assert len(set(hashes)) == 3


def test_other_answers_begin_anew(source: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    rows = [f"{''.join(rng.choice(list('the gate'), 9))}x,{'ab'[i % 2]}" for i in range(60)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["text,label", *rows]))
    words = [
        *("cell=mgu", "task=sentiment", "task.data=csv", f"task.path={table}"),
        *("task.tokens=characters", "model.hidden_size=7", "model.embedding_size=null"),
        *("trainer.max_epochs=null", "task.batch_size=8", f"init_from={source}"),
        *STILL,
    ]
    assert train(tmp_path / "out", *words) == 0
    run = place(tmp_path / "out", *words)
    assert record(run)["start"]["fresh"] == ["head.weight", "head.bias"]
    theirs, ours = weights(source), weights(run, "last")
    for name in ours.keys() - {"head.weight", "head.bias"}:
        assert torch.equal(theirs[name], ours[name])
    fresh = [w for w in words if not w.startswith("init_from")]
    assert ours["head.weight"].shape == (2, 7)
    # Two other classes are no reason to keep what was learnt of the first two.
    table.write_text(table.read_text().replace(",a\n", ",c\n").replace(",b", ",d"))
    again = [*fresh, f"init_from={run}"]
    assert train(tmp_path / "out", *again) == 0
    assert record(place(tmp_path / "out", *again))["start"]["fresh"] == ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["model.hidden_size=8"],
            "stack.layers.0.0.W is 16 x ",
        ),
        (["model.hidden_size=8"], "type the settings of that run: cell=mgu model.hidden_size=7"),
        (["model.num_layers=2"], "stack.layers.1.0.W is 14 x 7, and there missing"),
        (["cell=gru"], "does not fit this model: stack.layers.0.0."),
        (["task=wordlm"], "reads characters, and task=wordlm reads words (task.tokenizer=words)"),
        (["task=music"], "reads characters, and task=music reads numbers here"),
        (["init_from=nowhere"], "init_from=nowhere is no run's folder with checkpoints/best.ckpt"),
        (["init_from="], "init_from= is no run's folder"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    words: list[str],
    told: str,
    source: Path,
    other: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = options(other, f"init_from={source}", *words)
    if "task=music" in words:
        given = ["task=music", "cell=mgu", f"init_from={source}", "trainer.max_steps=1"]
    assert train(tmp_path / "out", *given) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert told in line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*/*/config.yaml"))
