"""`train(cfg)`: one run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from odyssey.config.identity import data_hash
from odyssey.device import resolve_device
from odyssey.errors import UserError
from odyssey.registry import cell_name
from odyssey.tasks import build as build_task
from odyssey.tasks.base import Task
from odyssey.training import console
from odyssey.training.run import Result, Run
from odyssey.training.run_dir import DONE, Refused, RunFolder, run_path
from odyssey.training.wandb import prepare


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    *,
    extra: Sequence[Callback] = (),
    study: Mapping[str, Any] | None = None,
    accept: Callable[[Mapping[str, str]], None] | None = None,
) -> Result:
    """Train one run, or go on with it, or say that it is done.

    `extra` are further callbacks of Lightning's, called after our own. `study` is what W&B's
    config is to say, as `search`, of the study that this is a run of. `accept` is called with the
    data's name and sha256 once they are read, and may refuse them by a UserError.

    Raises UserError for what the user can mend, KeyboardInterrupt after an interruption, and
    whatever a bug raises; by then `run.json` says so.
    """
    folder = RunFolder(run_path(cfg))
    # What this machine lacks is said before a file is written or data is read.
    earlier = None if cfg.resume.mode == "force" else folder.read()
    if earlier is None or earlier["status"] not in DONE:
        prepare(cfg.logger.mode)
        resolve_device(cfg.device, cfg.trainer.precision)
    folder.acquire()
    try:
        return _train(cfg, overrides, folder, extra, study, accept)
    finally:
        folder.release()


def _train(
    cfg: DictConfig,
    overrides: Sequence[str],
    folder: RunFolder,
    extra: Sequence[Callback],
    study: Mapping[str, Any] | None,
    accept: Callable[[Mapping[str, str]], None] | None,
) -> Result:
    record = None if cfg.resume.mode == "force" else folder.read()
    # What a run that came to nothing was made of need not be what this one is made of.
    kept = record if _holds_something(folder, record) else None
    if record is not None and cfg.resume.mode == "never":
        raise Refused(
            f"resume=never, but {folder.path} holds this very run ({record['status']}); type "
            "resume=auto to go on with it, resume=force to start anew, or study=… for another"
        )
    task = build_task(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
    if record is not None and record["status"] in DONE:
        console.done_already(folder.path, record)
        return Result(
            folder.path, record["status"], record["metrics"], record["monitor"]["name"], ran=False
        )
    device = resolve_device(cfg.device, cfg.trainer.precision)
    with _process(cfg):
        _load(task, folder, kept)
        _check_identity(cfg, task, folder)
        if accept is not None:
            accept(task.data)
        # Not before the new run has its data: until then the old one stays where it is.
        aside = folder.set_aside() if cfg.resume.mode == "force" else None
        if aside is not None:
            console.say(f"The earlier run is kept in {aside}")
        cell = cell_name(cfg.cell._target_)
        return Run(cfg, overrides, cell, folder, task, device, record, study).go(extra)


def _holds_something(folder: RunFolder, record: dict[str, Any] | None) -> bool:
    """Whether there are numbers or weights that this run would go on with."""
    if record is None:
        return False
    return record["status"] in DONE or (folder.checkpoints / "last.ckpt").exists()


def _load(task: Task, folder: RunFolder, kept: dict[str, Any] | None) -> None:
    """Read the data. Raises Refused where an earlier session's were others."""
    task.load()
    if kept is not None and kept["data"] != task.data:
        raise Refused(
            f"{folder.path} was trained on {kept['data']['name']} with sha256 "
            f"{kept['data']['sha256'][:12]}…, which is now {task.data['sha256'][:12]}…; "
            "put the old data back, or type resume=force to start anew"
        )


def _check_identity(cfg: DictConfig, task: Task, folder: RunFolder) -> None:
    """Raises UserError where a file of the user's changed after the run folder was named."""
    path = cfg.task.get("path")
    if path is None:
        return
    if run_path(cfg) != folder.path or data_hash(cfg) != task.data["sha256"]:
        raise UserError(f"task.path={path} has changed meanwhile: type the same command again")


@contextmanager
def _process(cfg: Any) -> Iterator[None]:
    """Settings of the whole process, put back afterwards: the next run may want others."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32, dtype = torch.backends.cudnn.allow_tf32, torch.get_default_dtype()
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    try:
        if cfg.trainer.threads is not None:
            torch.set_num_threads(cfg.trainer.threads)
        wanted = cfg.trainer.precision == "tf32"
        torch.set_float32_matmul_precision("high" if wanted else "highest")
        torch.backends.cudnn.allow_tf32 = wanted  # recurrent kernels; true if nobody says so
        lightning.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Lightning's advice on loaders, workers and logging intervals is not for our loaders.
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            # cuDNN copies weights that are not one block; ours are one block a kind.
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32
        torch.set_default_dtype(dtype)
        lightning.setLevel(level)
