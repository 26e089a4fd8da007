"""`train(cfg)`: one run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from odyssey.config.identity import config_hash
from odyssey.errors import UserError
from odyssey.tasks import build as build_task
from odyssey.tasks.base import Task
from odyssey.training import console
from odyssey.training.build import cell_name, cell_source
from odyssey.training.folder import RunFolder
from odyssey.training.run import Result, Run
from odyssey.training.tracking import check_login

DONE = ("finished", "diverged")


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    *,
    extra: Sequence[Callback] = (),
) -> Result:
    """Train one run, or go on with it, or say that it is done.

    `extra` are further callbacks of Lightning's, called after our own.

    Raises UserError for what the user can mend, KeyboardInterrupt after an interruption, and
    whatever a bug raises; by then `run.json` says so.
    """
    cell = cell_name(cfg)
    folder = RunFolder(
        Path(cfg.output_dir) / cfg.study / f"{cell}-{cfg.task.name}-{config_hash(cfg)[:8]}"
    )
    # What this machine lacks is said before a file is written or data is read.
    earlier = None if cfg.resume == "force" else folder.read()
    if earlier is None or earlier["status"] not in DONE:
        check_login(cfg.logger.mode)
        _device(cfg)
    folder.acquire()
    try:
        return _train(cfg, overrides, cell, folder, extra)
    finally:
        folder.release()


def _train(
    cfg: DictConfig,
    overrides: Sequence[str],
    cell: str,
    folder: RunFolder,
    extra: Sequence[Callback],
) -> Result:
    record = None if cfg.resume == "force" else folder.read()
    source = cell_source(cfg)
    if record is not None and record.get("cell_source") != source:
        raise UserError(
            f"cell._target_={cfg.cell._target_} has changed since {folder.path} was trained; "
            "give the new cell another name, or type resume=force to start anew"
        )
    if record is not None and cfg.resume == "never":
        raise UserError(
            f"resume=never, but {folder.path} holds this very run ({record['status']}); type "
            "resume=auto to go on with it, resume=force to start anew, or study=… for another"
        )
    task = build_task(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
    if record is not None and record["status"] in DONE:
        if getattr(cfg.task, "path", None) is not None:  # a file of the user's own may change
            _load(task, folder, record)
        console.done_already(folder.path, record)
        return Result(
            folder.path, record["status"], record["metrics"], record["monitor"]["name"], ran=False
        )
    device = _device(cfg)
    with _process(cfg):
        _load(task, folder, record)
        # Not before the new run has its data: until then the old one stays where it is.
        aside = folder.set_aside() if cfg.resume == "force" else None
        if aside is not None:
            console.say(f"The earlier run is kept in {aside}")
        return Run(cfg, overrides, cell, folder, task, device, record).go(extra)


def _load(task: Task, folder: RunFolder, record: dict[str, Any] | None) -> None:
    """Read the data. Raises UserError where an earlier session's were others."""
    task.load()
    if record is not None and record["data"] != task.data:
        raise UserError(
            f"{folder.path} was trained on {record['data']['name']} with sha256 "
            f"{record['data']['sha256'][:12]}…, which is now {task.data['sha256'][:12]}…; "
            "put the old data back, or type resume=force to start anew"
        )


def _device(cfg: Any) -> torch.device:
    if cfg.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but torch sees no GPU here; type device=cpu or device=auto")
    device = torch.device("cuda" if cfg.device != "cpu" and torch.cuda.is_available() else "cpu")
    if cfg.trainer.precision == "bf16-mixed" and device.type == "cpu":
        raise UserError("trainer.precision=bf16-mixed needs a GPU; type trainer.precision=32")
    return device


@contextmanager
def _process(cfg: Any) -> Iterator[None]:
    """Settings of the whole process, put back afterwards: the next run may want others."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32 = torch.backends.cudnn.allow_tf32
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
        lightning.setLevel(level)
