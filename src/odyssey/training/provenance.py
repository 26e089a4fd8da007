"""What a figure is tied to: code, versions, machine."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("rnn-odyssey", "torch", "pytorch-lightning", "hydra-core", "numpy", "wandb")


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of what computes the numbers; looked up once in a process."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git() -> Mapping[str, Any]:
    """The commit this code is from, and whether files differ from it; None outside a clone.

    Asked once in a process: the code that it runs does not change later.
    """
    root = Path(__file__).parents[3]

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    status = ask("status", "--porcelain", "--untracked-files=no")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def device_name(device: torch.device) -> str:
    """A GPU's name, or the CPU's with the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
