"""The record of a run that failed outside its own care: before it began, or with its process."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.code_hash import code_version, source_hash
from odyssey.config.identity import config_hash
from odyssey.errors import UserError
from odyssey.registry import cell_name
from odyssey.training.run_dir import DONE, RunFolder, run_path, write_text

LINES = 12  # that run.json keeps of an error


def last_lines(error: BaseException) -> str:
    """What run.json says of an error: a user's sentence, or the end of a traceback."""
    if isinstance(error, UserError):
        return str(error)
    return "\n".join("".join(traceback.format_exception(error)).rstrip().split("\n")[-LINES:])


def record_failure(
    cfg: DictConfig, overrides: Sequence[str], error: str, path: Path | None = None
) -> bool:
    """Let run.json say that the run failed, and why; whether it does.

    path: the run's folder, where it is known; otherwise it follows from `cfg`.

    A record of the run is kept but for status and error; one that says finished or diverged is
    left alone. Raises UserError where another process has the run, where its record is damaged,
    or where nothing can be written.
    """
    folder = RunFolder(path or run_path(cfg))
    folder.acquire()
    try:
        record = folder.read()
        if record is not None and record["status"] in DONE:
            return False
        if record is None:
            record = _unbegun(cfg)
            folder.path.mkdir(parents=True, exist_ok=True)
            write_text(folder.path / "config.yaml", OmegaConf.to_yaml(cfg))
            write_text(folder.path / "overrides.yaml", OmegaConf.to_yaml(list(overrides)))
        folder.write(record | {"status": "failed", "error": error})
        return True
    finally:
        folder.release()


def _unbegun(cfg: DictConfig) -> dict[str, Any]:
    """The record of a run of which nothing is known but its configuration."""
    # These take torch and a user's own file, either of which may be what failed.
    source, made_by, commit = None, None, None
    with contextlib.suppress(Exception):
        from odyssey.training.provenance import git, versions

        made_by, commit = versions(), git()
        source = source_hash(cfg.cell._target_)
    identity = ""
    with contextlib.suppress(UserError):  # without its data, of which it is a part
        identity = config_hash(cfg)
    return {
        "status": "failed",
        "config_hash": identity,
        "cell": cell_name(cfg.cell._target_),
        "cell_source": source,
        "task": cfg.task.name,
        "data": None,
        "seed": cfg.seed,
        "params": None,
        "metrics": {},
        "monitor": None,
        "best_epoch": None,
        "best_step": None,
        "steps": 0,
        "seconds": 0.0,
        "clipped_share": None,
        "device": None,
        "backend": None,
        "versions": made_by,
        "code": code_version(),
        "git": commit,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "wandb": None,
        "error": None,
    }
