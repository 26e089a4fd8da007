"""One run from its first update, or from where it stopped, to its end, whatever ends it."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from odyssey.code_hash import code_version, source_hash
from odyssey.config.identity import config_hash
from odyssey.errors import UserError
from odyssey.tasks.base import Task
from odyssey.training import checkpoint, console
from odyssey.training.build import build_model
from odyssey.training.console import Bar
from odyssey.training.failure import last_lines
from odyssey.training.figures import learning_curves
from odyssey.training.keeper import Interrupted, Keeper
from odyssey.training.module import Diverged, RecurrentModule
from odyssey.training.provenance import device_name, git, versions
from odyssey.training.run_dir import RunFolder, write_text
from odyssey.training.schedule import Schedule
from odyssey.training.wandb import Tracker, run_config, run_summary

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@dataclass
class Result:
    """What became of a run."""

    folder: Path
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    monitor: str = ""  # the metric that says which checkpoint is best
    ran: bool = True  # False where the run was there already

    @property
    def objective(self) -> float:
        """The best validation value of `monitor`; nan where there is none."""
        return float(self.metrics.get(f"valid/{self.monitor}", float("nan")))


class Run:
    """The parts of a run that its steps share."""

    def __init__(
        self,
        cfg: DictConfig,
        overrides: Sequence[str],
        cell: str,
        folder: RunFolder,
        task: Task,
        device: torch.device,
        record: dict[str, Any] | None,
        study: Mapping[str, Any] | None = None,
    ) -> None:
        self.cfg, self.cell, self.folder, self.task = cfg, cell, folder, task
        self.overrides, self.device, self.study = list(overrides), device, study
        self.tracker = Tracker(cfg.logger.mode)
        self.closed = False  # whether run.json says how the run ended
        last = folder.checkpoints / "last.ckpt"
        self.saved = checkpoint.load(last) if record is not None and last.exists() else None
        task.device = device
        task.overfit = cfg.trainer.overfit_batch
        t = cfg.trainer
        self.plan = Schedule.make(len(task.ready("train")), t.max_epochs, t.max_steps, t.val_every)
        torch.manual_seed(cfg.seed)
        self.model = build_model(cfg, task.spec)
        self.module = RecurrentModule(self.model, task, cfg)
        if self.saved is not None:
            self.model.load_state_dict(self.saved["model"])
            self.module.updates = self.saved["step"]
        task.round = lambda: (self.module.updates, self.plan.boundary(self.module.updates))
        stack: Any = self.model.stack
        self.record: dict[str, Any] = {
            "status": "running",
            "config_hash": config_hash(cfg),
            "cell": cell,
            "cell_source": source_hash(cfg.cell._target_),
            "task": cfg.task.name,
            "data": task.data,
            "seed": cfg.seed,
            "params": sum(p.numel() for p in self.model.parameters()),
            "metrics": {},
            "monitor": {"name": task.monitor, "mode": task.mode},
            "best_epoch": None,
            "best_step": None,
            "steps": self.module.updates,
            "seconds": self.saved["keeper"]["seconds"] if self.saved else 0.0,
            "clipped_share": None,
            "device": device_name(device),
            "backend": stack.chosen(device),
            "versions": versions(),
            "code": code_version(),
            "git": git(),
            "started": record["started"] if record else time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "wandb": record["wandb"] if record else None,
            "error": None,
        }

    def _write_configuration(self) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.folder.rewind(self.module.updates if self.saved is not None else -1)
        write_text(self.folder.path / "config.yaml", OmegaConf.to_yaml(self.cfg))
        write_text(self.folder.path / "overrides.yaml", OmegaConf.to_yaml(self.overrides))
        self.folder.write(self.record)

    def go(self, extra: Sequence[Callback] = ()) -> Result:
        """Train, test, and close everything whatever happens."""
        try:
            self._write_configuration()
            self._open()
            bar = Bar(self.plan, self.module.updates, self.cfg.trainer.progress_bar)
            keeper = Keeper(self.folder, self.tracker, self.plan, self.cfg, bar, self.saved)
            try:
                self._fit_and_test(keeper, extra)
                self.record["status"] = "finished"
            except Diverged as why:
                self.record["status"], self.record["error"] = "diverged", str(why)
            except (Interrupted, KeyboardInterrupt):
                self.record["status"] = "interrupted"
            finally:
                bar.close()
            self._close(keeper)
        except KeyboardInterrupt:  # before the first update, or while closing
            self._break_off("interrupted", None, exit_code=255)
            raise
        except BaseException as bug:
            full = _cannot_write(bug, self.folder.path)
            self._break_off("failed", last_lines(full or bug), exit_code=1)
            if full is not None:
                raise full from bug
            raise
        if self.record["status"] == "interrupted":
            raise KeyboardInterrupt
        return Result(
            self.folder.path, self.record["status"], self.record["metrics"], self.task.monitor
        )

    def _open(self) -> None:
        """Begin the W&B run, and say what is about to happen."""
        cfg = self.cfg
        begun = self.tracker.start(
            output_dir=cfg.output_dir,
            project=cfg.logger.project,
            entity=cfg.logger.entity,
            name=self.folder.path.name,
            study=cfg.study,
            cell=self.cell,
            config=run_config(cfg, self.record, self.study),
            id=(self.record["wandb"] or {}).get("id"),
        )
        self.record["wandb"] = begun or self.record["wandb"]
        self.folder.write(self.record)
        console.opening(cfg, self.record, self.module, self.plan, self.folder.path, self.device)

    def _fit_and_test(self, keeper: Keeper, extra: Sequence[Callback]) -> None:
        trainer = self._trainer([keeper, *extra])
        with keeper.heeding_signals():
            try:
                if not keeper.stopped and self.module.updates < self.plan.total:
                    trainer.fit(self.module, datamodule=self.task)
                best = checkpoint.load(self.folder.checkpoints / "best.ckpt", self.device)
                self.model.load_state_dict(best["model"])
                trainer.test(self.module, datamodule=self.task, verbose=False)
            except SystemExit as end:
                # What Lightning makes of a KeyboardInterrupt; others are of whoever gave up.
                if isinstance(end.__context__, KeyboardInterrupt):
                    raise KeyboardInterrupt from None
                raise
        found = {f"valid/{k}": v for k, v in keeper.best_metrics.items()}
        found |= {f"test/{k}": v for k, v in self.module.evaluated.items()}
        self.record["metrics"] = found

    def _trainer(self, callbacks: list[Callback]) -> Trainer:
        precision: Any = "bf16-mixed" if self.cfg.trainer.precision == "bf16-mixed" else "32-true"
        return Trainer(
            accelerator=self.device.type if self.device.type == "cpu" else "gpu",
            devices=1,
            precision=precision,
            max_epochs=max(self.plan.rounds(self.module.updates), 1),
            reload_dataloaders_every_n_epochs=1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )

    def _close(self, keeper: Keeper) -> None:
        done, plan = self.module.updates, self.plan
        if self.record["status"] == "diverged":
            keeper.count_seconds()  # since the last checkpoint
            self.record["metrics"] = {f"valid/{k}": v for k, v in keeper.best_metrics.items()}
        clipped, steps = keeper.clipped
        best = keeper.best_step if keeper.best is not None else None
        self.record |= {
            "steps": done,
            "epochs": plan.epoch(done),
            "best_step": best,
            "best_epoch": None if best is None else plan.epoch(best),
            "seconds": keeper.seconds,
            "clipped_share": clipped / steps if steps else None,
        }
        learning_curves(self.folder, self.record["monitor"]["name"])
        # W&B before run.json: once that says `finished`, nothing is left to do.
        self.tracker.finish(
            run_summary(self.record),
            exit_code=255 if self.record["status"] == "interrupted" else 0,
        )
        self.folder.write(self.record)
        self.closed = True
        console.closing(self.folder.path, self.record)

    def _break_off(self, status: str, error: str | None, exit_code: int) -> None:
        """Close what is open, in `run.json` and W&B, where the usual way was cut short."""
        if self.closed:
            return
        self.record |= {"status": status, "error": error, "steps": self.module.updates}
        with contextlib.suppress(OSError):  # a full disk, which was the error perhaps
            self.folder.write(self.record)
        self.tracker.finish({"status": status, "error": error}, exit_code=exit_code)


def _cannot_write(error: BaseException, path: Path) -> UserError | None:
    """The sentence for a disk that takes no more; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        return None
    return UserError(
        f"{path}: nothing more can be written there ({error.strerror}); make room, then the same "
        "command goes on from the last checkpoint"
    )
