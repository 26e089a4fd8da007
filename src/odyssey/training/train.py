"""`train(cfg)`: one run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from odyssey.config.identity import config_hash, data_hash
from odyssey.config.schema import flat
from odyssey.config.seeds import are_apart, seeds_of
from odyssey.device import resolve_device
from odyssey.errors import UserError
from odyssey.io import reason, write_bytes
from odyssey.registry import plain
from odyssey.tasks.base import Task
from odyssey.training import checkpoint, console, memory
from odyssey.training.build import (
    build_callbacks,
    build_loggers,
    build_model,
    build_trainer,
    load_task,
)
from odyssey.training.callbacks import ORDER, Checkpoints, Interrupted, Signals
from odyssey.training.confusion import Confusion
from odyssey.training.failure import NoRoom, last_lines
from odyssey.training.figures import learning_curves
from odyssey.training.items import Items
from odyssey.training.logger import RunLogger
from odyssey.training.longer import go_on_from_shorter
from odyssey.training.loop import LightningLoop, Loop
from odyssey.training.module import Diverged, RecurrentModule
from odyssey.training.program import Program, is_faster, reason_against
from odyssey.training.provenance import device_name, new_record
from odyssey.training.record import Data, MetricInfo, Monitor, RunRecord, WandbRun
from odyssey.training.run_dir import Refused, RunFolder, run_path
from odyssey.training.schedule import Schedule
from odyssey.training.start import Beginning
from odyssey.training.wandb import Tracker, prepare, run_config, run_summary

COMPILED = "compiled"  # of `trainer.loop`
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # set for deterministic sums on a GPU


@dataclass
class Result:
    """What became of a run."""

    folder: Path
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    monitor: str = ""  # the metric that says which checkpoint is best
    ran: bool = True  # False where the run was there already
    reusable: bool = False  # whether no code but Odyssey's has run in this process

    @classmethod
    def of(cls, folder: Path, record: RunRecord, *, ran: bool = True) -> Result:
        """The result that a record tells of."""
        monitor = "" if record.monitor is None else record.monitor.name
        own = (record.cell_source, record.callback_sources, record.part_sources)
        reusable = record.loop == COMPILED and not any(own)
        return cls(folder, record.status, record.metrics, monitor, ran, reusable)

    @property
    def objective(self) -> float:
        """The best validation value of `monitor`; nan where there is none."""
        return float(self.metrics.get(f"valid/{self.monitor}", math.nan))


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    *,
    extra: Sequence[Callback] = (),
    study: Mapping[str, Any] | None = None,
    accept: Callable[[Mapping[str, str]], None] | None = None,
) -> Result:
    """Train one run, resume it, or say that it is done.

    cfg: a checked configuration, as `odyssey.config.compose.compose` returns it
    overrides: the settings of the command line that made it, for `overrides.yaml`
    extra: further Lightning callbacks, called after those of `cfg.callbacks` but for the checkpoint
    study: what W&B's config says, as `search`, of the study that this is a run of
    accept: is called with the data's name and sha256 once they are read, and may refuse them by a
        UserError

    Raises UserError for what the user can mend, KeyboardInterrupt after an interruption, and
    whatever a bug raises; by then `run.json` says so.
    """
    folder, force = RunFolder(run_path(cfg)), cfg.resume.mode == "force"
    # What this machine lacks is said before a file is written or data is read.
    earlier = None if force else folder.read_record()
    if earlier is None or not earlier.done:
        prepare(cfg.logger.mode)
        resolve_device(cfg.device, cfg.trainer.precision)

    with folder.locked(), process_settings(cfg), memory.named(cfg), _files_of(folder):
        # What is there, and whether to resume it. That it is of the same data and of the same
        # source of a user's own parts is in its name, which is a hash of them.
        earlier = None if force else folder.read_record()
        left = earlier is None and not force and folder.has_work()
        if (earlier is not None or left) and cfg.resume.mode == "never":
            state = "without run.json" if earlier is None else earlier.status
            raise Refused(
                f"resume=never, but {folder.path} holds this very run ({state}); type "
                "resume=auto to go on with it, resume=force to start anew, or study=… for another"
            )
        if earlier is not None and earlier.done:
            console.done_already(folder.path, earlier)
            return Result.of(folder.path, earlier, ran=False)

        if earlier is not None:
            folder.check_places()

        # The task and its data
        beginning = None if cfg.init_from is None else Beginning(cfg)
        task = load_task(cfg, None if beginning is None else beginning.learned(cfg))
        if earlier is not None and folder.last_checkpoint.exists():
            _refuse_changed_data(task, folder, earlier)
        _refuse_data_changed_meanwhile(cfg, task, folder)
        if accept is not None:
            accept(task.data)
        # Not before the new run has its data: until then the old one stays where it is.
        if force and (aside := folder.set_aside()) is not None:
            console.say(f"The earlier run is kept in {aside}")
        elif left and (aside := folder.set_aside()) is not None:
            console.say(
                f"{folder.path} had no run.json, which says what was trained there: it is kept in "
                f"{aside}, and the run begins anew"
            )

        # The model, at its first update or where the last checkpoint left it
        device = resolve_device(cfg.device, cfg.trainer.precision)
        schedule = make_schedule(cfg, task, device)
        if earlier is None and cfg.resume.mode == "auto" and accept is None:
            earlier = go_on_from_shorter(cfg, schedule, folder)
        saved = None
        if earlier is not None and folder.last_checkpoint.exists():
            saved = _load(folder.last_checkpoint, config_hash(cfg))
            _check_best(folder, saved)
            if "written" in saved:
                folder.unseal_metrics(saved["written"], saved["step"])
        elif earlier is not None and earlier.steps:
            console.say(
                f"{folder.last_checkpoint} is not there, though {earlier.steps:,} updates were "
                "made: they are made again"
            )
        seeds = seeds_of(cfg)
        memory.check_size(cfg, task.spec, device)
        torch.manual_seed(seeds.init)
        module = RecurrentModule(build_model(cfg, task.spec), task, cfg, schedule)
        start = None if beginning is None else beginning.put_into(module.model, task)
        if are_apart(cfg):
            torch.manual_seed(seeds.order)  # noise and dropout do not follow from the weights
        task.round = lambda: schedule.round(module.updates)
        callbacks = build_callbacks(cfg.callbacks)
        loggers = build_loggers(cfg.loggers, folder.path / "loggers")
        if saved is not None:
            _restore(module.to(device), saved, folder.last_checkpoint)

        # Training, test, closing
        record = make_record(cfg, module, device, earlier)
        record.start = start
        tracker = Tracker(cfg.logger.mode)
        run = Run(cfg, folder, module, device, callbacks, record, tracker, loggers)
        run.of_study = accept is not None
        run.program = _program(run, extra)
        run.record.loop = "lightning" if run.program is None else COMPILED
        return run.go(overrides, saved, study, extra)


def make_schedule(cfg: Any, task: Task, device: torch.device) -> Schedule:
    """The schedule that the configuration and the size of the data make; the task is told of it.

    Raises UserError where an epoch would have no update.
    """
    task.device, task.overfit = device, cfg.trainer.overfit_batch
    batches = len(task.ready("train"))
    limit = cfg.trainer.lightning.get("limit_train_batches")
    if limit is not None:
        batches = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
    t = cfg.trainer
    schedule = Schedule.make(
        batches,
        t.max_epochs,
        t.max_steps,
        t.val_every,
        t.val_within,
        accumulate=t.lightning.get("accumulate_grad_batches", 1),
    )
    task.train_batches = schedule.batches_per_epoch
    return schedule


def _refuse_changed_data(task: Task, folder: RunFolder, record: RunRecord) -> None:
    """Raise Refused where the data are not those that the run was trained on."""
    now, then = Data(**task.data), record.data
    if then is not None and then != now:
        raise Refused(
            f"{folder.path} was trained on {then.name} with sha256 {then.sha256[:12]}…, which is "
            f"now {now.sha256[:12]}…; put the old data back, or type resume=force to start anew"
        )


def _refuse_data_changed_meanwhile(cfg: DictConfig, task: Task, folder: RunFolder) -> None:
    """Raise UserError where a file of the user's has changed since the run folder was named."""
    path = cfg.task.get("path")
    if path is None:
        return
    if run_path(cfg) != folder.path or data_hash(cfg) != task.data["sha256"]:
        raise UserError(f"task.path={path} has changed meanwhile: type the same command again")


def _load(path: Path, run: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A checkpoint of the run whose configuration has the hash `run`.

    Raises Refused where it is none, for the run can still be saved by whoever has its file.
    """
    try:
        return checkpoint.load(path, device, run)
    except UserError as error:
        raise Refused(*error.messages) from error


def _check_best(folder: RunFolder, saved: Mapping[str, Any]) -> None:
    """Raise Refused where `best.ckpt` is not the one that goes with `last.ckpt`.

    It is needed at the end. It may be a later one, if the run was killed between the two.
    """
    step, best, path = saved["step"], saved["best_step"], folder.best_checkpoint
    if best is None:
        return
    there = _load(path, saved.get("run", ""))["step"]
    if there != best and not there > step:
        raise Refused(
            f"{path} is of update {there}, and the best so far was update {best}; "
            f"{checkpoint.WAY_OUT}"
        )


def _restore(module: RecurrentModule, saved: Mapping[str, Any], path: Path) -> None:
    """Put the run back to where it was. Raises Refused where the checkpoint does not fit it."""
    assert module.schedule is not None
    try:
        checkpoint.check_position(saved, path, module.schedule.total)
        checkpoint.restore(module, saved)
    except UserError as error:
        raise Refused(*error.messages) from error
    except checkpoint.MISFITS as error:
        raise _misfit(path, error) from error


def _misfit(path: Path, error: Exception) -> Refused:
    """The sentence for a checkpoint whose content does not fit the run."""
    what = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(":")
    return Refused(f"{path} does not fit this run ({what}); {checkpoint.WAY_OUT}")


def make_record(
    cfg: DictConfig, module: RecurrentModule, device: torch.device, earlier: RunRecord | None
) -> RunRecord:
    """The record of a run that is about to train. `earlier` is that of its last session."""
    task, stack = module.task, module.model.stack
    record = replace(
        new_record(cfg),
        data=Data(**task.data),
        params=sum(p.numel() for p in module.model.parameters()),
        metric_info={m.name: MetricInfo(m.mode, m.label, m.unit) for m in task.measures},
        monitor=Monitor(task.monitor, task.mode),
        caveat=task.caveat,
        untested="" if task.overfit else task.untested,
        steps=module.updates,
        device=device_name(device),
        backend=stack.runs(device),  # type: ignore[operator,union-attr]
    )
    if earlier is not None:
        record = replace(
            record,
            started=earlier.started or record.started,
            wandb=earlier.wandb,
            continued=earlier.continued,
        )
    return record


def _program(run: Run, extra: Sequence[Callback]) -> Program | None:
    """The run's updates in C, or None where Lightning and torch make them.

    Raises UserError where C was asked for and is not possible.
    """
    wanted = run.cfg.trainer.loop
    if wanted == "lightning":
        return None
    own = [f"callbacks.{name}" for name in run.callbacks if name not in ORDER]
    own += [f"loggers.{name}" for name in run.loggers] + ["a callback of yours"] * len(extra)
    if own:
        why: str | None = f"{own[0]} is called by Lightning"
    else:
        why = reason_against(run.module, run.cfg, run.device)
    if why is None and (wanted == COMPILED or is_faster(run.module)):
        return Program(run.module)
    if wanted == COMPILED:
        raise UserError(f"trainer.loop=compiled is not possible, as {why}: type trainer.loop=auto")
    return None


@dataclass
class Run:
    """The parts of one run that its last steps share: training, test, closing."""

    cfg: DictConfig
    folder: RunFolder
    module: RecurrentModule
    device: torch.device
    callbacks: dict[str, Callback]
    record: RunRecord
    tracker: Tracker
    loggers: Mapping[str, Logger] = field(default_factory=dict)  # of the user's own
    of_study: bool = False  # whether it is a trial, whose words are in trials.csv
    program: Program | None = None  # its updates in C; None where Lightning and torch make them
    closed: bool = False  # whether run.json says how the run ended

    @property
    def signals(self) -> Signals:
        """The callback of that name, which no run is without."""
        return self.callbacks["signals"]  # type: ignore[return-value]

    @property
    def checkpoints(self) -> Checkpoints:
        """The callback of that name, which no run is without."""
        return self.callbacks["checkpoints"]  # type: ignore[return-value]

    def go(
        self,
        overrides: Sequence[str],
        saved: Mapping[str, Any] | None,
        study: Mapping[str, Any] | None,
        extra: Sequence[Callback],
    ) -> Result:
        """Open files and W&B, train, test, and close everything whatever happens."""
        try:
            self.open(overrides, saved, study)
            try:
                self.fit_and_test(extra)
                self.record.status = "finished"
            except Diverged as why:
                self.record.status, self.record.error = "diverged", str(why)
            except (Interrupted, KeyboardInterrupt):
                self.record.status = "interrupted"
            self.close()
        except KeyboardInterrupt:  # before the first update, or while closing
            self.break_off("interrupted", None, exit_code=255)
            raise
        except BaseException as error:
            full = NoRoom.of(error, self.folder.path)
            if full is not None:
                self.break_off("interrupted", last_lines(full), exit_code=255)
                raise full from error
            told = memory.too_large(error, self.cfg) or _about_files(error, self.folder.path)
            self.break_off("failed", last_lines(told or error), exit_code=1)
            if told is not None:
                raise told from error
            raise
        if self.record.status == "interrupted":
            raise KeyboardInterrupt
        return Result.of(self.folder.path, self.record)

    def open(
        self,
        overrides: Sequence[str],
        saved: Mapping[str, Any] | None,
        study: Mapping[str, Any] | None,
    ) -> None:
        """Write what the run is, begin its W&B run, and print what is about to happen."""
        self.checkpoints.watch(self.callbacks)
        self.checkpoints.run = self.record.config_hash
        if saved is not None:
            self.checkpoints.resume(saved)
        self.record.seconds = self.checkpoints.seconds
        self.folder.remove_parts()
        self.folder.path.mkdir(parents=True, exist_ok=True)
        if saved is not None and "written" in saved:
            kept = self.folder.unseal_metrics(saved["written"], saved["step"])
            write_bytes(self.folder.metrics_path, kept)
        else:  # from the first update, or from a checkpoint of an earlier version
            self.folder.rewind_metrics(-1 if saved is None else self.module.updates)
        self.folder.write_configuration(self.cfg, list(overrides))
        if self.record.wandb is None and self.tracker.mode != "disabled":
            # Known before W&B begins, so that a session killed then leaves no run of its own.
            self.record.wandb = WandbRun(secrets.token_hex(6))
        self.folder.write_record(self.record)
        self.tracker.start(
            folder=self.folder,
            logger=self.cfg.logger,
            cell=self.record.cell,
            config=run_config(self.cfg, self.record, study),
            id="" if self.record.wandb is None else self.record.wandb.id,
        )
        self.record.wandb = self.tracker.where or self.record.wandb
        self.folder.write_record(self.record)
        console.opening(
            self.cfg, self.record, self.module, self.folder.path, self.device, not self.of_study
        )

    def fit_and_test(self, extra: Sequence[Callback]) -> None:
        """Train to the end of the schedule, then test the best checkpoint.

        Raises Diverged, or Interrupted or KeyboardInterrupt after a signal.
        """
        module, schedule, task = self.module, self.module.schedule, self.module.task
        assert schedule is not None
        loop: Loop | LightningLoop
        callbacks = [*self.callbacks.values(), *extra]
        if self.program is not None:
            loop = Loop(module, self.program, callbacks, self.logger())
        else:
            rounds = schedule.validations_left(module.updates)
            trainer = build_trainer(self.cfg, self.device, callbacks, self.logger(), rounds)
            loop = LightningLoop(module, trainer)
        with self.signals.handled():
            try:
                if not self.checkpoints.stopped and module.updates < schedule.total:
                    loop.fit()
                self.signals.raise_if_requested()
                best = _load(self.folder.best_checkpoint, self.record.config_hash, self.device)
                try:
                    module.model.load_state_dict(best["model"])
                except checkpoint.MISFITS as error:
                    raise _misfit(self.folder.best_checkpoint, error) from error
                module.evaluated = {}
                if not task.untested or task.overfit:
                    module.items = Items(task, task.ready("test"))
                    module.confusion = Confusion.of(task)
                    loop.test()
                    module.check_tested()
                    module.items.write(self.folder.path, module.evaluated)
                    if module.confusion is not None:
                        module.confusion.write(self.folder.path)
            except SystemExit as end:
                # What Lightning makes of a KeyboardInterrupt, or of SIGTERM after a validation;
                # others are of whoever gave up.
                if isinstance(end.__context__, KeyboardInterrupt):
                    raise KeyboardInterrupt from None
                self.signals.raise_if_requested()
                raise
        self.record.metrics = {f"valid/{k}": v for k, v in module.best_metrics.items()}
        self.record.metrics |= {f"test/{k}": v for k, v in module.evaluated.items()}

    def logger(self) -> RunLogger:
        """The run's logger, with those of the user's own behind it."""
        others = list(self.loggers.values())
        logger = RunLogger(self.folder, self.tracker, self.module, others)
        logger.begin(flat(plain(self.cfg)))
        return logger

    def close(self) -> None:
        """Write how the run ended, to its folder and W&B, and print it."""
        module, record = self.module, self.record
        assert module.schedule is not None and record.monitor is not None
        if record.status == "diverged":
            self.checkpoints.count_seconds()  # since the last checkpoint
            record.metrics = {f"valid/{k}": v for k, v in module.best_metrics.items()}
        clipped, updates = module.clipped
        best = module.best_step
        record.steps, record.epochs = module.updates, module.schedule.epoch(module.updates)
        record.best_step = best
        record.best_epoch = None if best is None else module.schedule.epoch(best)
        record.seconds = self.checkpoints.seconds
        record.clipped_share = clipped / updates if updates else None
        learning_curves(self.folder, record.monitor.name)
        # W&B before run.json: once that says `finished`, nothing is left to do.
        self.tracker.finish(
            run_summary(record), exit_code=255 if record.status == "interrupted" else 0
        )
        record.wandb = self.tracker.where or record.wandb
        self.folder.write_record(record)
        self.closed = True
        console.closing(self.folder.path, record)

    def break_off(
        self, status: Literal["interrupted", "failed"], error: str | None, exit_code: int
    ) -> None:
        """Close what is open, in `run.json` and W&B, where the usual way was cut short."""
        if self.closed:
            return
        self.record.status, self.record.error = status, error
        self.record.steps = self.module.updates
        with contextlib.suppress(OSError):  # a full disk, which was the error perhaps
            self.folder.write_record(self.record)
        self.tracker.finish({"status": status, "error": error}, exit_code=exit_code)


def _about_files(error: BaseException, path: Path) -> UserError | None:
    """The sentence for a file of the run's that is not to be used; None for other errors."""
    if not isinstance(error, OSError):
        return None
    name = error.filename
    if not isinstance(name, str) or not Path(name).is_relative_to(path.parent):
        return None
    return UserError(
        f"{name} cannot be used ({reason(error)}); mend that, then the same command goes on"
    )


@contextmanager
def _files_of(folder: RunFolder) -> Iterator[None]:
    """Raise UserError for an OSError about the files of a run."""
    try:
        yield
    except OSError as error:
        told = NoRoom.of(error, folder.path) or _about_files(error, folder.path)
        if told is None:
            raise
        raise told from error


@contextmanager
def process_settings(cfg: Any) -> Iterator[None]:
    """Settings of the whole process, put back afterwards: the next run may want others."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32, dtype = torch.backends.cudnn.allow_tf32, torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    workspace = os.environ.get(CUBLAS)
    lightning = logging.getLogger("pytorch_lightning")
    summary = logging.getLogger("pytorch_lightning.callbacks.model_summary")
    levels = lightning.level, summary.level
    try:
        if cfg.trainer.threads is not None:
            torch.set_num_threads(cfg.trainer.threads)
        wanted = cfg.trainer.precision == "tf32"
        torch.set_float32_matmul_precision("high" if wanted else "highest")
        torch.backends.cudnn.allow_tf32 = wanted  # recurrent kernels; true if nobody says so
        lightning.setLevel(logging.ERROR)
        summary.setLevel(logging.INFO)  # which prints only where a callback for it was asked for
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
        # trainer.lightning may have set these.
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        os.environ.pop(CUBLAS, None)
        if workspace is not None:
            os.environ[CUBLAS] = workspace
        lightning.setLevel(levels[0])
        summary.setLevel(levels[1])
