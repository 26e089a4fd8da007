"""Piano rolls: what is predicted, what it costs, and music as MIDI."""

from __future__ import annotations

import math
import sys

import mido
import numpy as np
import pytest
import torch

import random_kit
from odyssey.config.task_schema import TASKS
from odyssey.data.music_files import read_piece
from odyssey.errors import UserError
from odyssey.tasks import build, midi
from odyssey.tasks.batching import Order, Sequences
from odyssey.tasks.music import Frames
from tasks_kit import make, means, same


def rolls(*lengths, seed=0):
    chance = random_kit.rng(seed)
    return [(chance.random((n, 88)) < 0.1).astype(np.uint8) for n in lengths]


def music(*lengths, **options):
    """A music task over random rolls, without a data set."""
    task = build(TASKS["music"](**options), data_dir=None, seed=0, window=None)
    task._rolls = {split: rolls(*lengths) for split in ("train", "valid", "test")}
    task.restore({})
    return task


@pytest.mark.parametrize("first_frame", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_targets_are_the_next_frames(first_frame, batch_size):
    whole = rolls(5, 2, 31, 9, 17, 17, 3)
    order = Order(len(whole), batch_size, seed=0, shuffle=True)
    batches = Frames(Sequences(whole), order, first_frame=first_frame)
    for index in range(len(batches)):
        batch = batches.get(4, index)
        assert same(batch, batches.get(4, index))
        for lane, row in enumerate(order.get(4, index)):
            n = len(batch.inputs) if batch.lengths is None else int(batch.lengths[lane])
            roll = whole[row]
            before = np.concatenate([np.zeros((1, 88)), roll[:-1]]) if first_frame else roll[:-1]
            after = roll if first_frame else roll[1:]
            assert n == len(after)
            assert np.array_equal(batch.inputs[:n, lane], before)
            assert np.array_equal(batch.targets[:n, lane], after)


def test_loss_is_summed_over_keys_and_averaged_over_frames():
    task = music(5, 2, 31, 9, batch_size=4)
    batch = task.batches("train").get(0, 0)
    logits = torch.randn(30, 4, 88)
    x, y = logits.double().numpy(), batch.targets.numpy()
    total = frames = 0.0
    for lane, n in enumerate(batch.lengths.tolist()):
        p = 1 / (1 + np.exp(-x[:n, lane]))
        total -= np.where(y[:n, lane] == 1, np.log(p), np.log(1 - p)).sum()
        frames += n
    assert frames == 5 + 2 + 31 + 9 - 4
    assert float(task.loss(logits, batch)) == pytest.approx(total / frames, rel=1e-5)
    assert means(task, logits, batch) == pytest.approx({"nats_per_frame": total / frames}, rel=1e-5)


@pytest.mark.parametrize("junk", [math.nan, math.inf, -7e30])
def test_padding_changes_neither_loss_nor_gradient(junk):
    task = music(5, 2, 31, 9, batch_size=4)
    batch = task.batches("train").get(0, 0)
    padding = torch.arange(30).unsqueeze(1) >= batch.lengths
    found = []
    for fill in (0.0, junk):
        spoiled = batch._replace(targets=batch.targets.masked_fill(padding.unsqueeze(2), fill))
        logits = torch.randn(30, 4, 88, generator=random_kit.torch_rng())
        logits = logits.masked_fill(padding.unsqueeze(2), fill).requires_grad_()
        loss = task.loss(logits, spoiled)
        loss.backward()
        assert (logits.grad[padding] == 0).all()
        found.append((loss.item(), logits.grad.norm().item(), means(task, logits, spoiled)))
    assert found[0] == found[1]


def test_noise_is_added_to_valid_inputs_when_asked_for(seed):
    task = music(400, 20, batch_size=2, input_noise=0.3)
    batch = task.batches("train").get(0, 0)
    torch.manual_seed(seed)
    noisy = task.perturb(batch)
    difference = noisy.inputs - batch.inputs
    within = torch.arange(399).unsqueeze(1) < batch.lengths
    # Of 36,784 draws: both are missed by chance once in ten million.
    assert float(difference[within].std()) == pytest.approx(0.3, rel=0.02)
    assert float(difference[within].mean()) == pytest.approx(0, abs=0.01)
    assert (difference[~within] == 0).all()
    assert noisy.targets is batch.targets
    torch.manual_seed(seed)
    assert torch.equal(task.perturb(batch).inputs, noisy.inputs)
    quiet = music(30)
    batch = quiet.batches("train").get(0, 0)
    assert quiet.perturb(batch) is batch
    # Batches by themselves are without noise, so validation and test are too.
    values = task.batches("valid").get(0, 0).inputs.unique().tolist()
    assert values == [0, 1]


def test_short_pieces_are_left_out_of_training():
    task = music(9, min_length=5)
    assert [len(r) for r in task._usable(rolls(1, 2, 5, 8), 5)] == [5, 8]
    assert [len(r) for r in task._usable(rolls(1, 2, 5, 8), 1)] == [2, 5, 8]
    with pytest.raises(UserError, match="task.min_length=5.*4 frames"):
        task._usable(rolls(3, 4), 5)


def player(seen):
    """A model whose keys follow from how many steps it has read."""

    def step(inputs, state):
        seen.append(inputs.clone())
        state = (state or 0) + 1
        return torch.linspace(-9, 3, 88).roll(state).reshape(1, 1, 88), state

    return step


def test_samples_feed_themselves_and_are_fixed_by_their_seed():
    task = music(9)
    seen: list[torch.Tensor] = []
    before = torch.get_rng_state()
    frames = np.stack(list(task.sample(player(seen), length=20, seed=5)))
    assert torch.equal(torch.get_rng_state(), before)
    assert frames.shape == (20, 88)
    assert set(np.unique(frames)) == {0, 1}
    assert not seen[0].any()
    assert np.array_equal(torch.cat(seen[1:])[:, 0].numpy(), frames[:-1])
    again = np.stack(list(task.sample(player([]), length=20, seed=5)))
    assert np.array_equal(again, frames)
    assert not np.array_equal(np.stack(list(task.sample(player([]), length=20, seed=6))), frames)
    cold = next(task.sample(player([]), length=1, temperature=0))
    assert cold.sum() == (torch.linspace(-9, 3, 88) > 0).sum()


def test_a_chord_as_prompt():
    task = music(9)
    seen: list[torch.Tensor] = []
    next(task.sample(player(seen), length=1, prompt="60, 64 21"))
    assert seen[0].nonzero()[:, 2].tolist() == [0, 39, 43]
    for bad in ("20", "109", "C4", "60 -1"):
        with pytest.raises(UserError, match="21 to 108"):
            task.sample(player([]), length=1, prompt=bad)


def read_back(path):
    """The roll (T, 88) that a MIDI file plays, its tempo, and how many notes are struck."""
    file = mido.MidiFile(path)
    tick, strikes, tempo = 0, 0, 0.0
    sounding: dict[int, int] = {}
    notes = []
    for message in file.tracks[0]:
        tick += message.time
        if message.type == "set_tempo":
            tempo = mido.tempo2bpm(message.tempo)
        elif message.type == "note_on":
            assert message.note not in sounding
            sounding[message.note] = tick
            strikes += 1
        elif message.type == "note_off":
            notes.append((message.note, sounding.pop(message.note), tick))
    assert not sounding
    frame = file.ticks_per_beat // 2
    assert tick % frame == 0
    roll = np.zeros((tick // frame, 88), np.uint8)
    for note, start, end in notes:
        assert start % frame == end % frame == 0
        roll[start // frame : end // frame, note - 21] += 1
    return roll, tempo, strikes


@pytest.mark.parametrize("length", [1, 2, 97])
def test_midi_plays_the_roll(tmp_path, length):
    roll = rolls(length)[0]
    roll[:, [0, 87]] = 1  # held throughout
    roll[-1, 5:] = 0  # the end is not a note's end alone
    path = midi.write_midi(roll, tmp_path / "a.mid", tempo=77)
    back, tempo, strikes = read_back(path)
    assert np.array_equal(back, roll)
    assert tempo == pytest.approx(77, rel=1e-4)
    starts = np.diff(np.concatenate([np.zeros((1, 88), np.int8), roll.astype(np.int8)]), axis=0)
    assert strikes == (starts == 1).sum()


def test_written_samples_are_midi_and_picture(tmp_path):
    task = music(9, sample_length=12, sample_temperature=0.5)
    path = task.write_sample(player([]), tmp_path / "epoch.3", seed=1)
    assert path == tmp_path / "epoch.3.mid"
    expected = np.stack(list(task.sample(player([]), length=12, temperature=0.5, seed=1)))
    assert np.array_equal(read_back(path)[0], expected)
    assert (tmp_path / "epoch.3.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


@pytest.fixture
def own(tmp_path):
    """A folder of ten pieces at four frames a quarter note, and these."""
    whole = rolls(*range(20, 30))
    (tmp_path / "music").mkdir()
    for number, roll in enumerate(whole):
        roll[-1, 40] = 1
        midi.write_midi(roll, tmp_path / f"music/{number}.mid", resolution=4)
    return str(tmp_path / "music"), whole


def test_music_of_ones_own_is_predicted(own, tmp_path):
    path, whole = own
    task = make("music", data="midi", path=path, resolution=4, data_dir=tmp_path, batch_size=8)
    found = [roll.tobytes() for part in task._rolls.values() for roll in part]
    assert sorted(found) == sorted(roll.tobytes() for roll in whole)
    assert [len(part) for part in task._rolls.values()] == [8, 1, 1]
    assert task.data["name"] == "midi" and "a frame is a sixteenth note" in task.notes[0]
    batch = task.batches("train").get(0, 0)
    assert batch.inputs.shape[1:] == (8, 88)
    other = make("music", data="midi", path=path, resolution=4, data_dir=tmp_path)
    assert same(other.batches("test").get(0, 0), task.batches("test").get(0, 0))


@pytest.mark.parametrize("resolution", [1, 4, 7])
def test_samples_have_the_resolution_of_the_data(own, tmp_path, resolution):
    task = music(9, data="midi", path=own[0], resolution=resolution, tempo=120)
    roll = rolls(16)[0]
    roll[-1, 40] = 1
    path = task.write(roll, tmp_path / "a")
    assert np.array_equal(read_piece(path.read_bytes(), resolution).frames, roll)
    seconds = mido.MidiFile(path).length
    assert seconds == pytest.approx(16 / resolution * 60 / 120, rel=1e-3)


def test_options_for_music_of_ones_own(own, tmp_path):
    def errors(**options):
        return TASKS["music"](**options).errors()

    assert errors(data="midi") == ["task.data=midi needs a file or folder to read: add task.path=…"]
    assert "task.path=x is not read with task.data=jsb: add task.data=midi" in errors(
        data="jsb", path="x"
    )[0]  # fmt: skip
    assert "task.resolution=4 is not read with task.data=music21, whose" in errors(resolution=4)[0]
    for wrong in (0, 97):
        says = f"task.resolution={wrong} is out of range: type a number"
        assert errors(data="midi", path="x", resolution=wrong)[0].startswith(says)
    assert errors(data="midi", path="x", resolution=4) == []
    cfg = TASKS["music"](data="midi", path=own[0])
    assert cfg.without_split() == ""
    for part in ("train", "valid", "test"):
        (tmp_path / "music" / part).mkdir()
        (tmp_path / "music" / part / "a.mid").touch()
    assert cfg.without_split() == "which has the folders train, valid and test"
    assert "jsb, come in three parts" in TASKS["music"](data="jsb").without_split()


def test_jsb_and_what_key_frequencies_score(shared_data):
    gate = {}
    for first_frame in (True, False):
        cfg = TASKS["music"](data="jsb", eval_batch_size=77, first_frame=first_frame)
        task = build(cfg, data_dir=str(shared_data), seed=0, window=None)
        task.load()
        assert [len(task._rolls[s]) for s in ("train", "valid", "test")] == [229, 76, 77]
        p = np.concatenate(task._rolls["train"]).mean(0).clip(1e-9)
        batch = task.batches("test").get(0, 0)
        logits = torch.tensor(np.log(p / (1 - p)), dtype=torch.float32).expand(batch.targets.shape)
        gate[first_frame] = means(task, logits, batch)["nats_per_frame"]
    assert gate[True] == pytest.approx(11.06, abs=0.005)
    assert gate[False] == pytest.approx(11.09, abs=0.005)
