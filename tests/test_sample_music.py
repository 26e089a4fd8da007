"""`scripts/sample.py` on a run of music: one-to-many, to MIDI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mido import MidiFile

from odyssey.training.sampling import load, main
from run_kit import folder, train


@pytest.fixture(scope="module")
def music(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("music")
    given = ["task=music", "task.data=jsb", f"data_dir={shared_data}", "model.hidden_size=16"]
    steps = ["trainer.max_steps=40", "trainer.max_epochs=null", "optimizer.lr=0.02"]
    assert train(out, *given, *steps, "task.sample_length=12") == 0
    return folder(out)


def notes(path: Path) -> list[tuple[int, int, int]]:
    """(frame, note, on) of a MIDI file, a frame being an eighth note."""
    midi = MidiFile(path)
    now, found = 0, []
    for message in midi.tracks[0]:
        now += message.time
        if message.type in ("note_on", "note_off"):
            frame, rest = divmod(now * 2, midi.ticks_per_beat)
            assert rest == 0
            found.append((frame, message.note, int(message.type == "note_on")))
    return found


def test_a_file_and_its_picture(music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([str(music), "--length", "31", "--seed", "5"]) == 0
    midi, picture = map(Path, capsys.readouterr().out.split())
    assert midi == music / "samples" / "seed-5.mid"
    assert picture.read_bytes().startswith(b"\x89PNG")
    # What the file says is what the model plays.
    roll = np.stack(list(load(music).sample(31, None, seed=5, prompt=None)))
    assert roll.shape == (31, 88) and roll.any()
    sounding = np.zeros_like(roll)
    on = np.zeros(88, np.uint8)
    changes = notes(midi)
    for frame in range(31):
        for at, note, sign in changes:
            if at == frame:
                on[note - 21] = sign
        sounding[frame] = on
    np.testing.assert_array_equal(sounding, roll)


def test_nothing_is_overwritten_unless_it_is_named(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for _ in range(3):
        capsys.readouterr()
        assert main([str(music), "--length", "9", "--seed", "11"]) == 0
        written.append(Path(capsys.readouterr().out.split()[0]))
    assert [p.name for p in written] == ["seed-11.mid", "seed-11-2.mid", "seed-11-3.mid"]
    assert len({p.read_bytes() for p in written}) == 1
    named = tmp_path / "a.b.mid"
    for seed in ("11", "12"):
        assert main([str(music), "--length", "9", "--seed", seed, "--output", str(named)]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.mid", "a.b.png"]
    assert named.read_bytes() != written[0].read_bytes()


def test_a_chord_to_begin_with(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, chord = tmp_path / "plain.mid", tmp_path / "chord.mid"
    given = [str(music), "--length", "24", "--temperature", "0.5"]
    assert main([*given, "--output", str(plain)]) == 0
    assert main([*given, "--output", str(chord), "--prompt", "60 64 67"]) == 0
    assert notes(plain) != notes(chord)
    capsys.readouterr()
    assert main([*given, "--prompt", "do re mi"]) == 2
    assert "'do', which is no note of a piano" in capsys.readouterr().err
