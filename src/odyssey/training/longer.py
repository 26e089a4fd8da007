"""A finished run that is to be longer: the same settings, with more epochs or updates.

The longer run has a folder of its own, which begins as a copy of the shorter one at its last
update; from there it is resumed as an interrupted run is. The shorter run stays as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.identity import config_hash, run_name
from odyssey.config.saved import read_config
from odyssey.errors import UserError
from odyssey.io import is_there, read_bytes, read_text, write_bytes
from odyssey.training import checkpoint
from odyssey.training.console import say
from odyssey.training.record import Continued, RunRecord
from odyssey.training.run_dir import RunFolder
from odyssey.training.schedule import Schedule

ENDS = ("max_epochs", "max_steps")  # keys of `trainer`, one of which ends a run


def shorter_run(cfg: DictConfig, folder: RunFolder) -> tuple[RunFolder, RunRecord] | None:
    """The longest finished run beside `folder` that differs from `cfg` in its end alone, if any."""
    found = [
        (record.steps or 0, path.name, path, record)
        for path, record in _finished(folder.path)
        if _differs_in_the_end_alone(path, cfg)
    ]
    if not found:
        return None
    *_, path, record = max(found, key=lambda one: one[:2])
    return RunFolder(path), record


def _finished(path: Path) -> Iterator[tuple[Path, RunRecord]]:
    """Finished runs of the same cell and task in the same study, with their records."""
    kind = path.name.rpartition("-")[0]
    for other in sorted(path.parent.glob(f"{kind}-????????")):
        with suppress(OSError, ValueError):
            record = RunRecord.load(read_text(other / "run.json")[0])
            if other != path and record.status == "finished" and not record.faults():
                yield other, record


def _ends_alike(path: Path, cfg: DictConfig) -> bool:
    """Whether the text of a run's configuration has the end of `cfg`, as OmegaConf writes it.

    Most runs of a study end alike, and reading the configuration of one takes some 40 ms.
    """
    lines = read_text(path / "config.yaml")[0].splitlines()
    ends = OmegaConf.to_yaml({key: cfg.trainer[key] for key in ENDS}).splitlines()
    return set(lines).issuperset(f"  {line}" for line in ends)


def _differs_in_the_end_alone(path: Path, cfg: DictConfig) -> bool:
    try:
        if _ends_alike(path, cfg):
            return False
        theirs = read_config(path).trainer
    except (UserError, OSError, ValueError):
        return False
    ours = cfg.copy()
    if all(theirs[key] == ours.trainer[key] for key in ENDS):
        return False
    for key in ENDS:
        OmegaConf.update(ours, f"trainer.{key}", theirs[key])
    return run_name(ours) == path.name


def go_on_from_shorter(cfg: DictConfig, schedule: Schedule, folder: RunFolder) -> RunRecord | None:
    """Let the run begin where a shorter one ended, if there is one, and print that or why not.

    Returns the record that `folder` then has; None where the run begins at its first update.
    """
    found = shorter_run(cfg, folder)
    if found is None:
        return None
    before, record = found
    steps = record.steps or 0
    if steps >= schedule.total:
        return None
    why = _why_not(cfg, schedule, before)
    try:
        if not why:
            _begin_longer(cfg, folder, before, record)
    except UserError as error:
        why = str(error)
    name = f"{before.path} has these settings and {steps:,} updates"
    if why:
        say(f"{name}, but this run cannot go on from there and begins anew: {why}")
        return None
    stays = (
        ""
        if steps % schedule.val_every == 0
        else f"; the validation at its end, of update {steps:,}, stays one of this run's"
    )
    say(f"{name}: this run goes on from there (resume=force begins anew){stays}")
    return folder.read_record()


def _why_not(cfg: Any, schedule: Schedule, before: RunFolder) -> str:
    """Why the longer run cannot go on from the shorter one, as a clause; empty where it can."""
    if cfg.decay.kind == "cosine":
        return "decay=cosine lets the learning rate fall towards the end of the run"
    if cfg.decay.kind == "own" and "total" in cfg.decay.options.values():
        return f"{cfg.decay._target_} is told the run's length"
    theirs = read_config(before.path).trainer
    shorter = Schedule.make(
        schedule.batches_per_epoch,
        theirs.max_epochs,
        theirs.max_steps,
        theirs.val_every,
        theirs.val_within,
        accumulate=schedule.accumulate,
    )
    if shorter.val_every != schedule.val_every:
        return (
            f"a run of this length is validated every {schedule.val_every:,} updates and that one "
            f"was every {shorter.val_every:,} (trainer.val_every sets it)"
        )
    return ""


def _begin_longer(cfg: DictConfig, folder: RunFolder, before: RunFolder, record: RunRecord) -> None:
    """Make `folder` as if its run had been interrupted where `before` ended.

    It is there whole or not at all. Raises UserError where a checkpoint of the shorter run is
    damaged or gone.
    """
    run = config_hash(cfg)
    part = RunFolder(folder.path.with_name(f".{folder.path.name}.begun"))
    shutil.rmtree(part.path, ignore_errors=True)
    part.path.mkdir(parents=True)
    last = checkpoint.load(before.last_checkpoint, run=record.config_hash)
    best = checkpoint.load(before.best_checkpoint, run=record.config_hash)
    # The rows of its test come after the last checkpoint, and are not of the longer run.
    content, _ = read_bytes(before.metrics_path)
    kept = before.unseal_metrics(last["written"], -1) if "written" in last else content
    write_bytes(part.metrics_path, kept)
    checkpoint.save(best | {"run": run}, part.best_checkpoint)
    checkpoint.save(last | {"run": run}, part.last_checkpoint)
    if before.samples.is_dir():
        shutil.copytree(before.samples, part.samples)
    part.write_record(
        replace(
            record,
            status="interrupted",
            config_hash=run,
            steps=last["step"],
            metrics={},
            wandb=None,
            started="",
            continued=Continued(before.path.name, last["step"]),
        )
    )
    if is_there(folder.path):  # settings alone, or the caller would not begin
        shutil.rmtree(folder.path)
    part.path.rename(folder.path)
