"""What a run leaves behind, and what the same command does the next time."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from omegaconf import OmegaConf

from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.tasks import build as build_task
from odyssey.tasks.language_model import CharLM
from odyssey.training.build import build_model
from run_kit import folder, metrics, once, record, start, train, wait_for_step, write_text

TINY = [
    "task=charlm",
    "task.data=file",
    "task.batch_size=4",
    "task.sample_length=30",
    "bptt.length=10",
    "model.hidden_size=8",
    "trainer.max_epochs=1",
    "trainer.val_every=20",
    "trainer.log_every=5",
]


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    return [*TINY, f"task.path={write_text(tmp_path / 'text.txt')}"]


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "ran"), [("auto", "compiled"), ("library", "library")])
def test_says_which_backend_ran(asked: str, ran: str, tmp_path: Path, tiny: list[str]) -> None:
    assert train(tmp_path / "out", *tiny, f"model.backend={asked}") == 0
    assert record(folder(tmp_path / "out"))["backend"] == ran


def test_holds_what_the_design_says(tmp_path: Path, tiny: list[str]) -> None:
    out = tmp_path / "out"
    assert train(out, *tiny, "study=first", "seed=7") == 0
    path = folder(out)
    assert re.fullmatch(r"lstm-charlm-[0-9a-f]{8}", path.name) and path.parent.name == "first"
    run = record(path)
    assert run["status"] == "finished" and run["cell"] == "lstm" and run["task"] == "charlm"
    assert run["config_hash"].startswith(path.name[-8:]) and run["seed"] == 7
    assert run["data"]["name"] == "file" and len(run["data"]["sha256"]) == 64
    assert run["error"] is None and run["seconds"] > 0 and run["device"].startswith("cpu")
    assert {"torch", "python", "pytorch-lightning"} <= set(run["versions"])
    assert set(run["git"]) == {"commit", "dirty"} and run["wandb"] is None
    best = torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)
    assert run["params"] == sum(v.numel() for v in best["model"].values())
    assert run["best_step"] == best["step"]
    valid = [(int(r[0]), float(r[3])) for r in metrics(path) if r[2] == "valid/bits_per_char"]
    assert min(v for _, v in valid) == run["metrics"]["valid/bits_per_char"]
    assert run["best_step"] == min(valid, key=lambda x: x[1])[0]
    assert run["metrics"]["test/bits_per_char"] == pytest.approx(
        run["metrics"]["test/nats_per_char"] / math.log(2)
    )
    names = {r[2] for r in metrics(path)}
    assert {"train/loss", "train/grad_norm", "train/clipped", "train/lr"} <= names
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["seed"] == 7 and config["model"]["hidden_size"] == 8
    assert "model.hidden_size=8" in yaml.safe_load((path / "overrides.yaml").read_text())
    assert (path / "figures" / "learning_curves.png").read_bytes()[1:4] == b"PNG"
    assert len(list((path / "samples").glob("step-*.txt"))) == len(valid)
    assert not list(path.rglob("*.tmp"))


@pytest.mark.slow
def test_test_metrics_are_of_the_best_checkpoint(tmp_path: Path, tiny: list[str]) -> None:
    out = tmp_path / "out"
    # A learning rate that spoils the model after a good start.
    assert train(out, *tiny, "optimizer=sgd", "optimizer.lr=8", "clip=none") == 0
    path = folder(out)
    run = record(path)
    cfg = OmegaConf.load(path / "config.yaml")
    task = build_task(cfg.task, data_dir=None, seed=cfg.seed, window=cfg.bptt.length)
    task.load()
    model = build_model(cfg, task.spec).eval()
    model.load_state_dict(torch.load(path / "checkpoints/best.ckpt", weights_only=True)["model"])
    total, count, state = 0.0, 0, None
    batches = task.batches("test")
    with torch.no_grad():
        for i in range(len(batches)):
            batch = batches.get(0, i)
            logits, state = model(batch.inputs, batch.lengths, state)
            scored = batch.targets >= 0
            losses = F.cross_entropy(
                logits[scored].double(), batch.targets[scored], reduction="sum"
            )
            total, count = total + float(losses), count + int(scored.sum())
    assert run["metrics"]["test/nats_per_char"] == pytest.approx(total / count, rel=1e-5)
    valid = [float(r[3]) for r in metrics(path) if r[2] == "valid/bits_per_char"]
    assert run["metrics"]["valid/bits_per_char"] == min(valid) < valid[-1]


@pytest.mark.slow
def test_finished_is_not_done_again(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train(out, *tiny) == 0
    before = {p: p.stat().st_mtime_ns for p in folder(out).rglob("*") if p.is_file()}
    capsys.readouterr()
    assert train(out, *tiny) == 0
    assert "finished already" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in folder(out).rglob("*") if p.is_file()}


@pytest.mark.slow
def test_never_refuses_and_force_keeps_the_old_run(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train(out, *tiny) == 0
    assert train(out, *tiny, "resume=never") == 2
    assert "resume=force" in capsys.readouterr().err
    rows = metrics(folder(out))
    assert train(out, *tiny, "resume=force") == 0
    (old,) = out.glob("*/*~1")
    assert metrics(old) == rows == metrics(folder(out))


@pytest.mark.slow
def test_two_processes_share_no_folder_and_other_data_under_the_same_path_is_another_run(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = [*tiny, "trainer.max_epochs=200", "trainer.checkpoint_every=5"]
    process = start(out, *options)
    wait_for_step(out, 10, process)
    assert train(out, *options) == 2
    assert "another process" in capsys.readouterr().err
    process.terminate()
    assert process.wait(30) == 130
    first = folder(out)
    assert record(first)["status"] == "interrupted"
    before = (first / "run.json").read_bytes()
    assert run_name(compose(once(*options))) == first.name
    write_text(tmp_path / "text.txt", 2500)
    assert run_name(compose(once(*options))) != first.name
    assert train(out, *options, "trainer.max_epochs=1") == 0
    assert (first / "run.json").read_bytes() == before
    (second,) = (p.parent for p in out.glob("*/*/run.json") if p.parent != first)
    assert record(second)["data"] != record(first)["data"]


def test_data_that_change_while_they_are_read_are_refused(
    tmp_path: Path,
    tiny: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before the run's first record, which would be of one content with numbers of another."""
    text, out = tmp_path / "text.txt", tmp_path / "out"
    kept = text.read_bytes()
    for late in (False, True):
        real = CharLM.load

        def changing(self: CharLM, late: bool = late, real: Any = real) -> None:
            if late:
                real(self)
            text.write_bytes(kept.replace(b"the", b"THE"))
            if not late:
                real(self)

        with monkeypatch.context() as patched:
            patched.setattr(CharLM, "load", changing)
            assert train(out, *tiny) == 2
        assert f"task.path={text} has changed meanwhile" in capsys.readouterr().err
        assert not list(out.glob("*/*/run.json"))
        text.write_bytes(kept)
    assert train(out, *tiny) == 0


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["none", "norm", "value"])
def test_divergence_is_a_result(tmp_path: Path, tiny: list[str], clip: str) -> None:
    out = tmp_path / "out"
    wild = ["cell=elman_relu", "optimizer=sgd", "optimizer.lr=1e30", f"clip={clip}"]
    assert train(out, *tiny, *wild, "trainer.log_every=1") == 0
    run = record(folder(out))
    assert run["status"] == "diverged" and "not finite" in run["error"]
    rows = metrics(folder(out))
    losses = [float(r[3]) for r in rows if r[2] == "train/loss"]
    assert math.isfinite(losses[0]) and not math.isfinite(losses[-1])
    assert train(out, *tiny, *wild, "trainer.log_every=1") == 0  # and it is done
    assert metrics(folder(out)) == rows


@pytest.mark.slow
def test_a_bug_is_recorded_and_raised(
    tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from odyssey.training.program import Program

    real = Program.advance

    def breaks(self: Program, count: int) -> int:
        if self.module.updates >= 12:
            raise ZeroDivisionError("a bug")
        return real(self, count)

    monkeypatch.setattr(Program, "advance", breaks)
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError):
        train(out, *tiny)
    run = record(folder(out))
    assert run["status"] == "failed" and "ZeroDivisionError: a bug" in run["error"]
    monkeypatch.setattr(Program, "advance", real)
    assert train(out, *tiny) == 0
    assert record(folder(out))["status"] == "finished" and record(folder(out))["error"] is None


@pytest.mark.slow
def test_early_stopping(tmp_path: Path, tiny: list[str]) -> None:
    out = tmp_path / "out"
    still = ["optimizer=sgd", "optimizer.lr=1e-30", "trainer.patience=2", "trainer.max_epochs=9"]
    assert train(out, *tiny, *still) == 0
    run = record(folder(out))
    valid = [r for r in metrics(folder(out)) if r[2] == "valid/bits_per_char"]
    assert len(valid) == 3 and run["status"] == "finished" and run["best_step"] == 20


@pytest.mark.slow
def test_several_runs_of_one_process_leave_nothing_behind(tmp_path: Path, tiny: list[str]) -> None:
    """The third run, after others in this process, equals the same run alone."""
    threads = torch.get_num_threads()
    alone, among = tmp_path / "alone", tmp_path / "among"
    process = start(alone, *tiny, "seed=3")
    assert process.wait(60) == 0
    for seed in (1, 2, 3):
        assert train(among, *tiny, f"seed={seed}", f"study=s{seed}") == 0
    assert torch.get_num_threads() == threads
    assert metrics(folder(alone)) == metrics(next(iter(among.glob("s3/*/run.json"))).parent)


def edit_record(path: Path, **changes: object) -> None:
    """Change keys of run.json; None takes one away."""
    run = record(path) | changes
    kept = {k: v for k, v in run.items() if k not in changes or v is not None}
    (path / "run.json").write_text(json.dumps(kept))


def test_a_record_of_a_later_version_is_left_alone(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train(out, *tiny) == 0
    edit_record(folder(out), schema=99)
    before = (folder(out) / "run.json").read_bytes()
    assert train(out, *tiny) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "later version of Odyssey (schema 99" in sentence and "resume=force" in sentence
    assert (folder(out) / "run.json").read_bytes() == before


@pytest.mark.slow
def test_a_record_from_before_records_had_a_schema_is_read(
    tmp_path: Path, tiny: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert train(out, *tiny) == 0
    new = dict.fromkeys(("schema", "metric_info", "callback_sources", "precision", "epochs"))
    edit_record(folder(out), **new)
    assert not set(new) & set(record(folder(out)))
    capsys.readouterr()
    assert train(out, *tiny) == 0
    assert "finished already" in capsys.readouterr().out


def test_metrics_have_the_names_and_directions_of_their_task(
    tmp_path: Path, tiny: list[str]
) -> None:
    from odyssey.training.record import RunRecord

    assert train(tmp_path / "out", *tiny) == 0
    run = RunRecord.load((folder(tmp_path / "out") / "run.json").read_text())
    assert set(run.metric_info) == {n.removeprefix("valid/") for n in run.metrics if "valid" in n}
    bits = run.metric("bits_per_char")
    assert (bits.mode, bits.label) == ("min", "bits per character")


def test_a_run_does_not_resume_on_other_data_than_its_record_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of data whose name stands for them, which another version may have changed."""
    out, options = tmp_path / "out", [*TINY, "task.data=hello", "trainer.max_steps=2"]
    assert train(out, *options) == 0
    edit_record(folder(out), status="interrupted", data={"name": "hello", "sha256": "0" * 64})
    assert train(out, *options) == 2
    assert "sha256 000000000000…" in capsys.readouterr().err
    assert record(folder(out))["status"] == "interrupted"
