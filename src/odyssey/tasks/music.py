"""Music: the next frame of a piano roll, and samples as MIDI files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from odyssey import data
from odyssey.data.music_files import other_rolls
from odyssey.data.types import Rolls
from odyssey.errors import UserError
from odyssey.tasks import midi
from odyssey.tasks.base import Batch, ModelSpec, Other, Split, Step, Sums, Task
from odyssey.tasks.batching import Order, Sequences, valid
from odyssey.tasks.decoding import Nucleus, draw_each, finite, sample_generator
from odyssey.tasks.metric import Metric

KEYS = 88


class Music(Task):
    """Which of 88 keys sound next (Boulanger-Lewandowski et al. 2012, arXiv 1206.6392).

    Inputs (T, B, 88) are frames of 0 and 1, with Gaussian noise of standard deviation `input_noise`
    added in training alone. Logits (T, B, 88), one Bernoulli variable for each key. Loss and
    `nats_per_frame`: the negative log-likelihood in nats, summed over the keys, mean over all
    predicted frames. With `reduction=sum` the loss is the sum over frames of the mean over
    sequences: with the learning rates of Greff et al. (2017, arXiv 1503.04069) this is what reaches
    their figures.

    Frames 2..T are predicted from 1..T-1, as in most papers; with `first_frame` also the first,
    from silence. Counted over all frames of the JSB test part, a model of each key's frequency
    alone has 11.06 nats per frame; over frames 2..T, the default here, 11.09.
    """

    name = "music"
    measures = (Metric("nats_per_frame", "min", "nats per frame", "nats per frame"),)
    answers = "each"

    def load(self) -> None:
        parts = data.rolls(
            self.cfg.data,
            self.data_dir,
            path=self.cfg.path,
            resolution=self.cfg.resolution,
            split_seed=self.split_seed,
        )
        self.data = {"name": parts.name, "sha256": parts.sha256}
        self.notes = parts.notes
        self._rolls: dict[Split, list[NDArray[np.uint8]]] = {
            "train": self._usable(parts.train, self.cfg.min_length),
            "valid": self._usable(parts.valid, 1),
            "test": self._usable(parts.test, 1),
        }
        self._set_spec()

    def load_other(self, path: Path, split: Split = "test") -> Other:
        """MIDI or MusicXML, a file or a folder of them, at the run's resolution; each a piece."""
        pieces, digest, notes = other_rolls(path, split, resolution=self.cfg.resolution)
        usable = {name: roll for name, roll in pieces.items() if len(roll) >= self._least()}
        if not usable:
            raise UserError(
                f"data={path} has no piece of {self._least()} frames or more, so there is nothing "
                "to predict: give longer music"
            )
        if short := len(pieces) - len(usable):
            notes = (*notes, f"{short:,} left out: a single frame, of which nothing is predicted")
        self._rolls = {"test": [*usable.values()]}
        return Other(
            self.batches("test", self.device),
            {"name": path.resolve().name, "sha256": digest},
            documents=[*usable],
            notes=notes,
        )

    def batches(self, split: Split, device: torch.device | str = "cpu") -> Frames:
        train = split == "train"
        rolls = Sequences(self._rolls[split], device)
        order = Order(
            len(rolls.lengths),
            self.cfg.batch_size if train else self.cfg.eval_batch_size or self.cfg.batch_size,
            seed=self.seed,
            shuffle=train,
            lengths=None if train else rolls.lengths,
        )
        return Frames(rolls, order, first_frame=self.cfg.first_frame)

    # Read once: each look into an OmegaConf configuration costs some ten microseconds.
    @cached_property
    def _noise(self) -> float:
        return float(self.cfg.input_noise)

    @cached_property
    def _summed(self) -> bool:
        return bool(self.cfg.reduction == "sum")

    def perturb(self, batch: Batch) -> Batch:
        """The batch with noise on the valid frames of its inputs."""
        if self._noise == 0:
            return batch
        noise = torch.randn_like(batch.inputs).mul_(self._noise)
        if batch.lengths is not None:
            within = valid(batch.lengths, len(batch.inputs), batch.inputs.device)
            noise = torch.where(within.unsqueeze(2), noise, 0.0)
        return batch._replace(inputs=noise.add_(batch.inputs))

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self._summed:
            return _nats(logits, batch) / logits.shape[1]
        return _nats(logits, batch) / _frames(batch)

    def formula(self, batch: Batch) -> tuple[Literal["bernoulli"], float]:
        count = batch.targets.shape[1] if self._summed else _frames(batch)
        return "bernoulli", 1.0 / count

    def formula_scores(self, total: float, batch: Batch) -> Mapping[str, tuple[float, float]]:
        return {"nats": (total, _frames(batch))}

    def scores(self, logits: Tensor, batch: Batch) -> Sums:
        return {"nats": (_nats(logits.detach(), batch), _frames(batch))}

    def metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        return {"nats_per_frame": means["nats"]}

    def sample(
        self,
        step: Step,
        *,
        length: int,
        temperature: float = 1.0,
        seed: int = 0,
        prompt: str | None = None,
        device: torch.device | str = "cpu",
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """`length` frames (88), each key drawn independently given all frames before.

        It starts from silence, or from a chord: `prompt` is MIDI notes, as in "60 64 67". The
        prompt is not among the frames. Raises UserError, at the call, for notes that no piano has.
        """
        if Nucleus(top_k, top_p):
            raise UserError(
                "top_k and top_p are for one symbol at a time, and music has 88 keys that sound or "
                "not: type a temperature below 1 instead"
            )
        generator = sample_generator(length, temperature, seed)
        return self._draw(step, chord(prompt or ""), length, temperature, generator, device)

    def write_sample(
        self, step: Step, path: Path, *, seed: int, device: torch.device | str = "cpu"
    ) -> Path | None:
        frames = self.sample(
            step,
            length=self.cfg.sample_length,
            temperature=self.cfg.sample_temperature,
            seed=seed,
            device=device,
        )
        return self.write(np.stack(list(frames)), path)

    def write(self, roll: NDArray[np.uint8], path: Path) -> Path:
        """Write a roll (T, 88) as `path`.mid and, drawn, as `path`.png; the MIDI file's path."""
        midi.draw_roll(roll, path.with_name(f"{path.name}.png"))
        return midi.write_midi(
            roll,
            path.with_name(f"{path.name}.mid"),
            tempo=self.cfg.tempo,
            resolution=self.cfg.resolution,
        )

    def names(self) -> range:
        """The MIDI notes of the 88 keys."""
        return range(midi.LOWEST, midi.LOWEST + KEYS)

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._set_spec()

    def _draw(
        self,
        step: Step,
        frame: Tensor,
        length: int,
        temperature: float,
        generator: torch.Generator,
        device: torch.device | str,
    ) -> Iterator[NDArray[np.uint8]]:
        state: Any = None
        for _ in range(length):
            inputs = frame.to(device, torch.get_default_dtype()).reshape(1, 1, KEYS)
            logits, state = step(inputs, state)
            frame = draw_each(finite(logits[-1, 0]), temperature, generator)
            yield frame.numpy()

    def _set_spec(self) -> None:
        self.spec = ModelSpec("real", KEYS, KEYS, "step", causal=True)

    def _least(self) -> int:
        """The frames that it takes for one to be predicted."""
        return 1 if self.cfg.first_frame else 2

    def _usable(self, rolls: Rolls, least: int) -> list[NDArray[np.uint8]]:
        """The rolls with at least `least` frames, of which one at least can be predicted."""
        least = max(least, self._least())
        usable = [roll for roll in rolls if len(roll) >= least]
        if not usable:
            longest = max(map(len, rolls), default=0)
            raise UserError(
                f"task.min_length={self.cfg.min_length} leaves no piece of task.data="
                f"{self.cfg.data}: the longest has {longest} frames, so type that or less"
            )
        return usable


class Frames:
    """Padded batches of piano rolls."""

    def __init__(self, rolls: Sequences, order: Order, *, first_frame: bool) -> None:
        self.rolls = rolls
        self.order = order
        self.first_frame = first_frame

    def __len__(self) -> int:
        return len(self.order)

    def get(self, epoch: int, index: int) -> Batch:
        """Inputs and targets (T, B, 88); the target is the frame after the input."""
        rows = self.order.get(epoch, index)
        lengths: Tensor | None
        if len(rows) == 1:
            frames, lengths = self.rolls.one(int(rows[0])), None
        else:
            frames, lengths = self.rolls.padded(rows)
        frames = frames.to(torch.get_default_dtype())
        if self.first_frame:
            return Batch(torch.cat([torch.zeros_like(frames[:1]), frames[:-1]]), frames, lengths)
        return Batch(frames[:-1], frames[1:], None if lengths is None else lengths - 1)


def chord(notes: str) -> Tensor:
    """One frame (88) from MIDI note numbers in a string; silence without any. Raises UserError."""
    frame = torch.zeros(KEYS, dtype=torch.uint8)
    for word in re.split(r"[,\s]+", notes.strip()):
        if not word:
            continue
        if not word.isdecimal() or not 0 <= int(word) - midi.LOWEST < KEYS:
            raise UserError(
                f"the prompt has {word!r}, which is no note of a piano: type MIDI notes from "
                f"{midi.LOWEST} to {midi.LOWEST + KEYS - 1}, as in '60 64 67'"
            )
        frame[int(word) - midi.LOWEST] = 1
    return frame


def _nats(logits: Tensor, batch: Batch) -> Tensor:
    """The negative log-likelihood, summed over keys and valid frames."""
    targets = batch.targets
    if batch.lengths is None:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    within = valid(batch.lengths, len(targets), logits.device).unsqueeze(2)
    # Masked before the loss as well: a gradient of nan times 0 would still be nan.
    logits, targets = torch.where(within, logits, 0.0), torch.where(within, targets, 0.0)
    nats = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return torch.where(within, nats, 0.0).sum()


def _frames(batch: Batch) -> float:
    """The number of valid frames, without a sync with the device."""
    if batch.lengths is None:
        return float(batch.targets.shape[0] * batch.targets.shape[1])
    return float(batch.lengths.sum())
