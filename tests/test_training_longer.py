"""A finished run whose end moves on: it equals one that was as long from the start, bit for bit."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from odyssey.config.compose import compose
from odyssey.training import longer
from odyssey.training.run_dir import RunFolder, run_path
from run_kit import assert_same_run, metrics, once, record, train, write_text


def options(tmp_path: Path, *more: str) -> list[str]:
    path = tmp_path / "text.txt"
    if not path.exists():
        write_text(path, 600)
    return [
        "cell=gru",
        "task=charlm",
        "task.data=file",
        f"task.path={path}",
        "task.batch_size=4",
        "task.sample_length=5",
        "bptt.length=9",
        "model.hidden_size=7",
        "model.num_layers=2",
        "model.dropout=0.3",
        *(() if any(w.startswith("decay=") for w in more) else ("decay=exponential",)),
        "trainer.max_epochs=null",
        "trainer.val_every=10",
        "trainer.log_every=3",
        *more,
    ]


def place(out: Path, *overrides: str) -> Path:
    """The folder of a run."""
    return run_path(compose([*once(*overrides), f"output_dir={out}"]))


@pytest.mark.slow
def test_a_longer_run_goes_on_as_if_it_had_never_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = 10 * random.randint(1, 2), 10 * random.randint(3, 4), 10 * 5
    steps = [options(tmp_path, f"trainer.max_steps={n}") for n in (first, second, third)]
    out = tmp_path / "out"
    for overrides in steps:
        assert train(out, *overrides) == 0
    printed = capsys.readouterr().out
    places = [place(out, *overrides) for overrides in steps]
    for before, n in zip(places, (first, second), strict=False):
        assert f"{before} has these settings and {n} updates: this run goes on" in printed
        assert f"going on after update {n}" in printed
    assert "stays one of this run's" not in printed
    # The shorter runs are what they were, and their tests are not among the longer one's rows.
    for path, n in zip(places, (first, second, third), strict=True):
        assert record(path)["status"] == "finished" and record(path)["steps"] == n
    assert record(places[2])["continued"] == {"run": places[1].name, "steps": second}
    assert record(places[0])["continued"] is None
    whole = tmp_path / "whole"
    assert train(whole, *steps[2]) == 0
    assert_same_run(place(whole, *steps[2]), places[2])


@pytest.mark.parametrize("before", [2, 6])
def test_more_epochs_go_on_too_and_a_run_that_stopped_early_stays_stopped(
    before: int, tmp_path: Path
) -> None:
    more = (
        "trainer.val_every=null",
        "trainer.val_within=null",
        "trainer.patience=1",
        "optimizer.lr=0.5",
    )
    short, long = (options(tmp_path, *more, f"trainer.max_epochs={n}") for n in (before, 9))
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert train(out, *short) == train(out, *long) == train(whole, *long) == 0
    assert record(place(out, *long))["continued"]["run"] == place(out, *short).name
    assert_same_run(place(whole, *long), place(out, *long))


def test_an_end_between_two_validations_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = random.choice([n for n in range(3, 19) if n != 10])
    short, long = (options(tmp_path, f"trainer.max_steps={n}") for n in (end, 20))
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert train(out, *short) == train(out, *long) == train(whole, *long) == 0
    assert (
        f"the validation at its end, of update {end}, stays one of this" in capsys.readouterr().out
    )
    one, two = (place(o, *long) for o in (out, whole))
    measured = [[row for row in metrics(p) if row[2].startswith("valid/")] for p in (one, two)]
    extra = [row for row in measured[0] if row not in measured[1]]
    assert extra and {row[0] for row in extra} == {str(end)}
    assert [row for row in measured[0] if row not in extra] == measured[1]
    weights = [torch.load(p / "checkpoints" / "last.ckpt")["model"] for p in (one, two)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["decay=cosine"], "decay=cosine lets the learning rate fall towards the end of the run"),
        (
            [
                "decay=own",
                "decay._target_=torch.optim.lr_scheduler.LinearLR",
                "decay.every=update",
                "+decay.options.total_iters=total",
            ],
            "torch.optim.lr_scheduler.LinearLR is told the run's length",
        ),
        (
            ["trainer.val_every=null", "trainer.val_within=4", "bptt.length=45"],
            "a run of this length is validated every 4 updates and that one was every 3",
        ),
    ],
)
def test_what_depends_on_the_end_begins_anew_and_says_why(
    more: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = (options(tmp_path, *more, f"trainer.max_steps={n}") for n in (3, 151))
    out = tmp_path / "out"
    assert train(out, *short) == 0
    capsys.readouterr()
    assert train(out, *long) == 0
    printed = capsys.readouterr().out
    assert f"begins anew: {why}" in " ".join(printed.split())
    assert record(place(out, *long))["continued"] is None


@pytest.mark.slow
def test_other_runs_are_not_gone_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another setting, longer, not finished, a trial of a study, or not wanted."""
    out, long = tmp_path / "out", options(tmp_path, "trainer.max_steps=20")
    short = options(tmp_path, "trainer.max_steps=10")
    assert train(out, *short, "seed=1") == train(out, *short, "model.hidden_size=6") == 0
    assert train(out, *options(tmp_path, "trainer.max_steps=30")) == 0
    assert train(out, *long) == 0
    assert record(place(out, *long))["continued"] is None

    assert train(out, *short, "study=s") == 0
    for words in (["-m", *long], [*long, "resume=force"]):
        assert train(out, *words, "study=s", "trainer.log_every=4") == 0
        assert record(place(out, *long, "study=s"))["continued"] is None

    shorter = place(out, *short, "study=u")
    assert train(out, *short, "study=u") == 0
    at = RunFolder(shorter).read_record()
    assert at is not None
    for status in ("interrupted", "failed"):
        at.status = status
        RunFolder(shorter).write_record(at)
        assert train(out, *long, "study=u", "resume=auto") == 0
        assert record(place(out, *long, "study=u"))["continued"] is None
        shutil.rmtree(place(out, *long, "study=u"))
    assert "this run goes on from there" not in capsys.readouterr().out


@pytest.mark.parametrize("harm", ["last.ckpt", "best.ckpt", "metrics.csv"])
def test_a_damaged_shorter_run_holds_nothing_up(
    harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    short, long = (options(tmp_path, f"trainer.max_steps={n}") for n in (10, 20))
    assert train(out, *short) == 0
    file = next(place(out, *short).rglob(harm))
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0x11
    file.write_bytes(bytes(content))
    left = place(out, *long).with_name(f".{place(out, *long).name}.begun")
    left.mkdir()  # as a kill leaves it
    (left / "metrics.csv").write_text("half")
    assert train(out, *long) == 0
    printed = capsys.readouterr().out
    assert "this run cannot go on from there and begins anew:" in printed
    assert record(place(out, *long))["continued"] is None
    assert record(place(out, *long))["steps"] == 20


def test_runs_that_end_alike_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study has many of them beside each new run."""
    out, ended = tmp_path / "out", random.randint(2, 9)
    assert train(out, *options(tmp_path, f"trainer.max_steps={ended}")) == 0
    read: list[Path] = []
    real = longer.read_config
    monkeypatch.setattr(longer, "read_config", lambda path: read.append(path) or real(path))
    for end, looks in ((ended, False), (ended + 10, True)):
        cfg = compose(
            [*options(tmp_path, f"trainer.max_steps={end}", "seed=3"), f"output_dir={out}"]
        )
        assert longer.shorter_run(cfg, RunFolder(run_path(cfg))) is None
        assert bool(read) == looks
