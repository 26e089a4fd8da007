"""The settings that change no result of a run."""

from __future__ import annotations

# Keys that do not change what a run computes: not part of its hash.
UNHASHED = (
    "study",
    "output_dir",
    "data_dir",
    "device",
    "resume",
    "logger",
    "model.backend",
    "trainer.log_every",
    "trainer.checkpoint_every",
    "trainer.sample",
    "trainer.progress_bar",
    "trainer.threads",
    "task.sample_length",
    "task.sample_prompt",
    "task.sample_temperature",
    "task.tempo",
)
