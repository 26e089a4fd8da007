"""`train(cfg)`: one run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import logging
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from odyssey.config.identity import config_hash, plain
from odyssey.errors import UserError
from odyssey.tasks import build as build_task
from odyssey.tasks.base import Task
from odyssey.training import checkpoint, console
from odyssey.training.bar import Bar
from odyssey.training.build import build_model, cell_name, cell_source
from odyssey.training.folder import RunFolder, write_text
from odyssey.training.keeper import Interrupted, Keeper
from odyssey.training.module import Diverged, RecurrentModule
from odyssey.training.provenance import device_name, git, versions
from odyssey.training.rounds import Plan
from odyssey.training.tracking import Tracker, check_login

DONE = ("finished", "diverged")


@dataclass
class Result:
    """What became of a run."""

    folder: Path
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    ran: bool = True  # False where the run was there already

    def objective(self, monitor: str) -> float:
        """The best validation value of `monitor`; nan where there is none."""
        return float(self.metrics.get(f"valid/{monitor}", float("nan")))


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
    if cfg.resume == "force":
        aside = folder.set_aside()
        if aside is not None:
            console.say(f"The earlier run is kept in {aside}")
    record = folder.read()
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
    if record is not None and record["status"] in DONE:
        console.done_already(folder.path, record)
        return Result(folder.path, record["status"], record["metrics"], ran=False)
    device = _device(cfg)
    with _process(cfg):
        task = build_task(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
        task.load()
        if record is not None and record["data"] != task.data:
            raise UserError(
                f"{folder.path} was trained on {record['data']['name']} with sha256 "
                f"{record['data']['sha256'][:12]}…, which is now {task.data['sha256'][:12]}…; "
                "put the old data back, or type resume=force to start anew"
            )
        return _Run(cfg, overrides, cell, folder, task, device, record).go(extra)


class _Run:
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
    ) -> None:
        self.cfg, self.cell, self.folder, self.task = cfg, cell, folder, task
        self.device = device
        self.tracker = Tracker(cfg.logger.mode)
        last = folder.checkpoints / "last.ckpt"
        self.saved = checkpoint.load(last) if record is not None and last.exists() else None
        task.device = device
        task.overfit = cfg.trainer.overfit_batch
        t = cfg.trainer
        self.plan = Plan.make(len(task.ready("train")), t.max_epochs, t.max_steps, t.val_every)
        torch.manual_seed(cfg.seed)
        self.model = build_model(cfg, task.spec)
        self.module = RecurrentModule(self.model, task, cfg)
        if self.saved is not None:
            self.model.load_state_dict(self.saved["model"])
            self.module.updates = self.saved["step"]
        task.round = lambda: (self.module.updates, self.plan.boundary(self.module.updates))
        self.record: dict[str, Any] = {
            "status": "running",
            "config_hash": config_hash(cfg),
            "cell": cell,
            "cell_source": cell_source(cfg),
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
            "versions": versions(),
            "git": git(),
            "started": record["started"] if record else time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "wandb": record["wandb"] if record else None,
            "error": None,
        }
        self._write_configuration(overrides)

    def _write_configuration(self, overrides: Sequence[str]) -> None:
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.folder.rewind(self.module.updates if self.saved is not None else -1)
        write_text(self.folder.path / "config.yaml", OmegaConf.to_yaml(self.cfg))
        write_text(self.folder.path / "overrides.yaml", OmegaConf.to_yaml(list(overrides)))
        self.folder.write(self.record)

    def go(self, extra: Sequence[Callback] = ()) -> Result:
        """Train, test, and close everything whatever happens."""
        cfg = self.cfg
        try:
            begun = self.tracker.start(
                output_dir=cfg.output_dir,
                project=cfg.logger.project,
                entity=cfg.logger.entity,
                name=self.folder.path.name,
                study=cfg.study,
                cell=self.cell,
                config=plain(cfg) | {"params": self.record["params"], "data": self.task.data},
                id=(self.record["wandb"] or {}).get("id"),
            )
            self.record["wandb"] = begun or self.record["wandb"]
            self.folder.write(self.record)
            console.opening(cfg, self.record, self.module, self.plan, self.folder.path)
            bar = Bar(self.plan, self.module.updates, cfg.trainer.progress_bar)
            keeper = Keeper(self.folder, self.tracker, self.plan, cfg, bar, self.saved)
            error: BaseException | None = None
            try:
                self._fit_and_test(keeper, extra)
                self.record["status"] = "finished"
            except Diverged as why:
                self.record["status"], self.record["error"] = "diverged", str(why)
            except (Interrupted, KeyboardInterrupt) as stop:
                self.record["status"], error = "interrupted", stop
            finally:
                bar.close()
            self._close(keeper)
            if error is not None:
                raise KeyboardInterrupt from None
        except KeyboardInterrupt:
            raise
        except BaseException as bug:
            lines = [str(bug)] if isinstance(bug, UserError) else traceback.format_exc().split("\n")
            self.record["status"] = "failed"
            self.record["error"] = "\n".join(lines[-12:])
            self.folder.write(self.record)
            failure = {"status": "failed", "error": self.record["error"]}
            self.tracker.finish(failure, exit_code=1)
            raise
        return Result(self.folder.path, self.record["status"], self.record["metrics"])

    def _fit_and_test(self, keeper: Keeper, extra: Sequence[Callback]) -> None:
        trainer = self._trainer([keeper, *extra])
        with keeper.heeding_signals():
            if not keeper.stopped and self.module.updates < self.plan.total:
                trainer.fit(self.module, datamodule=self.task)
            best = checkpoint.load(self.folder.checkpoints / "best.ckpt", self.device)
            self.model.load_state_dict(best["model"])
            trainer.test(self.module, datamodule=self.task, verbose=False)
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
        from odyssey.training.figures import learning_curves

        done, plan = self.module.updates, self.plan
        if self.record["status"] == "diverged" and keeper.best_metrics:
            self.record["metrics"] = {f"valid/{k}": v for k, v in keeper.best_metrics.items()}
        clipped, steps = keeper.clipped
        self.record |= {
            "steps": done,
            "epochs": plan.epoch(done),
            "best_step": keeper.best_step,
            "best_epoch": plan.epoch(keeper.best_step),
            "seconds": keeper.seconds,
            "clipped_share": clipped / steps if steps else None,
        }
        learning_curves(self.folder, self.record["monitor"]["name"])
        # W&B before run.json: once that says `finished`, nothing is left to do.
        summary = {k: v for k, v in self.record.items() if k not in ("metrics", "wandb")}
        self.tracker.finish(
            summary | self.record["metrics"],
            exit_code=255 if self.record["status"] == "interrupted" else 0,
        )
        self.folder.write(self.record)
        console.closing(self.folder.path, self.record)


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
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    try:
        if cfg.trainer.threads is not None:
            torch.set_num_threads(cfg.trainer.threads)
        torch.set_float32_matmul_precision("high" if cfg.trainer.precision == "tf32" else "highest")
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
        lightning.setLevel(level)
