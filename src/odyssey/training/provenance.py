"""What a result is tied to: configuration, code, versions, machine. Without torch at import."""

from __future__ import annotations

import contextlib
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from odyssey.code_hash import code_version, source_hash
from odyssey.config.identity import config_hash
from odyssey.config.seeds import seeds_of
from odyssey.config.trust import own_parts
from odyssey.errors import UserError
from odyssey.registry import cell_name
from odyssey.training.record import Code, Commit, RunRecord, Seeds

if TYPE_CHECKING:
    import torch

PACKAGES = ("rnn-odyssey", "torch", "pytorch-lightning", "hydra-core", "numpy", "wandb")


def new_record(cfg: DictConfig) -> RunRecord:
    """The record of a run of which nothing is known yet but its configuration and its code."""
    identity, sources, parts = "", {}, {}
    with contextlib.suppress(UserError):  # without its data, of which it is a part
        identity = config_hash(cfg)
    with contextlib.suppress(Exception):  # a file of the user's, which may be what failed
        sources = {
            name: source_hash(entry._target_)
            for name, entry in (("", cfg.cell), *cfg.callbacks.items())
            if entry is not None
        }
        parts = {key: source_hash(target) for key, target in own_parts(cfg).items()}
        parts.pop("cell._target_", None)
    return RunRecord(
        status="running",
        config_hash=identity,
        cell_source=sources.pop("", None),
        callback_sources={name: s for name, s in sources.items() if s is not None},
        part_sources={key: s for key, s in parts.items() if s is not None},
        cell=cell_name(cfg.cell._target_),
        task=cfg.task.name,
        seed=cfg.seed,
        seeds=Seeds(**seeds_of(cfg)._asdict()),
        precision=cfg.trainer.precision,
        versions=dict(versions()),
        code=Code(**code_version()),
        git=git(),
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


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


def git() -> Commit:
    """The commit this code is from, and whether files differ from it; None outside a clone."""
    return replace(_git())


@cache  # asked once in a process: the code that it runs does not change later
def _git() -> Commit:
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
        return Commit()
    status = ask("status", "--porcelain", "--untracked-files=no")
    return Commit(ask("rev-parse", "HEAD"), None if status is None else bool(status))


def device_name(device: torch.device) -> str:
    """A GPU's name, or the CPU's with the threads in use."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
