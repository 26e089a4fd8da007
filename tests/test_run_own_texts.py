"""Runs on texts of the user's own: without a test, of documents, of bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import odyssey
from odyssey.errors import UserError
from run_kit import STREAMED, assert_same_run, folder, record, train, write_text


def test_documents_without_a_test_are_gone_on_with_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from odyssey.training.callbacks import Signals

    path = write_text(tmp_path / "text.txt", 900)
    options = [*STREAMED, "task.data=file", f"task.path={path}", "task.documents=lines"]
    options += ["task.split=[0.8,0.2,0]", "trainer.max_epochs=1", "task.sample_length=30"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, *options) == 0
    done = record(folder(whole))
    assert done["status"] == "finished" and done["untested"].startswith("there is no test part")
    assert set(done["metrics"]) == {"valid/bits_per_char", "valid/nats_per_char"}
    assert not (folder(whole) / "test_items.npz").exists()
    printed = capsys.readouterr().out
    assert "there is no test part, since task.split=[0.8, 0.2, 0.0]" in printed
    assert "documents: " in printed

    real = Signals.on_train_batch_end

    def stopped(self: Signals, trainer, module, *rest) -> None:
        if module.updates == 13:
            signal.raise_signal(signal.SIGINT)
        real(self, trainer, module, *rest)

    monkeypatch.setattr(Signals, "on_train_batch_end", stopped)
    assert train(broken, *options) == 130
    monkeypatch.setattr(Signals, "on_train_batch_end", real)
    assert train(broken, *options) == 0
    assert_same_run(folder(whole), folder(broken))

    run = odyssey.load(folder(whole))
    assert run.evaluate("valid") == pytest.approx(
        {name.removeprefix("valid/"): value for name, value in done["metrics"].items()}
    )
    with pytest.raises(UserError, match="there is no test part"):
        run.evaluate("test")
    assert len(run.predict(split="valid")) >= 1
    capsys.readouterr()
    assert train(whole, *options) == 0
    assert "there is no test part" in capsys.readouterr().out


def test_bytes_are_sampled_as_ascii(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 8)
    options = [*STREAMED, "task.data=bytes", f"task.path={path}", "trainer.max_steps=3"]
    assert train(tmp_path / "out", *options, "task.sample_length=80") == 0
    found = record(folder(tmp_path / "out"))
    assert set(found["metrics"]) == {
        f"{part}/{unit}_per_byte" for part in ("valid", "test") for unit in ("bits", "nats")
    }
    for sample in (folder(tmp_path / "out") / "samples").glob("*.txt"):
        written = sample.read_text(encoding="ascii")
        assert all(c.isprintable() or c in "\n\t" for c in written)


def test_a_perplexity_of_unknown_words_is_not_printed_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"word{i if i % 2 else 'x'}" for i in range(600)))
    options = [o for o in STREAMED if not o.startswith("task=")] + ["task=wordlm"]
    options += ["task.data=file", f"task.path={path}", "trainer.max_steps=3"]
    assert train(tmp_path / "out", *options) == 0
    printed = capsys.readouterr().out
    caveat = record(folder(tmp_path / "out"))["caveat"]
    assert "are <unk>, which is easy to predict: perplexity is not that of the text" in caveat
    assert f"warning: {caveat}" in printed and f"  but {caveat}" in printed
    validations = [line for line in printed.splitlines() if line.startswith("step ")]
    assert validations and all(line.endswith("(see the warning)") for line in validations)
