"""The choice `own` of a group, with a class, beside the choices that need none."""

from __future__ import annotations

CLASSES = {
    "task": "odyssey.tasks.series.Series",
    "optimizer": "torch.optim.NAdam",
    "decay": "torch.optim.lr_scheduler.LinearLR",
}


def choose(group: str, name: str) -> list[str]:
    """The words that choose `name` from a group."""
    if name != "own":
        return [f"{group}={name}"]
    words = [f"{group}=own", f"{group}._target_={CLASSES[group]}"]
    return [*words, "task.data=eeg"] if group == "task" else words
