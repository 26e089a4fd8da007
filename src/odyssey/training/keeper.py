"""The callback that keeps a run: rows of metrics, checkpoints, early stopping, interruption."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pytorch_lightning import Callback, Trainer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from odyssey.nn import flatten_state, unflatten_state
from odyssey.tasks.base import Task
from odyssey.training import checkpoint
from odyssey.training.console import Bar
from odyssey.training.module import Diverged, RecurrentModule
from odyssey.training.optim import make_decay
from odyssey.training.run_dir import RunFolder
from odyssey.training.schedule import Schedule
from odyssey.training.wandb import Tracker


class Interrupted(Exception):
    """Somebody asked the run to stop; it can go on from its last checkpoint."""


class Keeper(Callback):
    """What happens around the steps of a run, in the order in which it must."""

    def __init__(
        self,
        folder: RunFolder,
        tracker: Tracker,
        plan: Schedule,
        cfg: Any,
        bar: Bar,
        saved: Mapping[str, Any] | None,
    ) -> None:
        self.folder, self.tracker, self.plan, self.cfg, self.bar = folder, tracker, plan, cfg, bar
        self.saved = saved
        # Read once: a look into the configuration costs more than the rest of an update's care.
        self.log_every, self.checkpoint_every = cfg.trainer.log_every, cfg.trainer.checkpoint_every
        self.best: float | None = None
        self.best_step = 0
        self.best_metrics: dict[str, float] = {}
        self.worse = 0  # validations since the best one
        self.stopped = False  # by early stopping
        self.seconds = 0.0  # spent in training, over all sessions
        self.clipped = [0.0, 0]  # clipped steps, steps
        self.decay: LambdaLR | ReduceLROnPlateau | None = None
        self.interrupt = False
        self._clock = time.monotonic()
        self._speed = (0, self._clock)
        if saved is not None:
            for name, value in saved["keeper"].items():
                setattr(self, name, value)

    # -- start ------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Put optimizer, decay, carried state and generators where the checkpoint had them."""
        optimizer = trainer.optimizers[0]
        self.decay = make_decay(self.cfg.decay, optimizer, self.plan, module.task.mode)
        self._clock = time.monotonic()
        self._speed = (module.updates, self._clock)
        if self.saved is None:
            return
        optimizer.load_state_dict(self.saved["optimizer"])
        if self.decay is not None:
            self.decay.load_state_dict(self.saved["decay"])
        if self.saved["carried"] is not None:
            state = unflatten_state(module.model.stack, self.saved["carried"])  # type: ignore[arg-type]
            module.carried = [
                tuple(type(s)(*(v.to(module.device) for v in s)) for s in layer) for layer in state
            ]
        module.train_meter.sums = {
            k: v.to(module.device) for k, v in self.saved["meter"]["sums"].items()
        }
        module.train_meter.counts = dict(self.saved["meter"]["counts"])
        module.losses = self.saved["losses"].to(module.device)
        checkpoint.set_random_state(self.saved["random"])
        self.saved = None

    # -- each update ------------------------------------------------------------------------

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, module: RecurrentModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, log, save. An interruption takes hold here, where everything is consistent."""
        module.updates += 1
        step = module.updates
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if isinstance(self.decay, LambdaLR):
            self.decay.step()
        boundary = self.plan.is_boundary(step)
        if step % self.log_every == 0 or boundary:
            self._log_training(module, rate)
            module.check_finite()
        elif module.device.type == "cpu" and not math.isfinite(float(module.losses)):
            self._log_training(module, rate)
            module.check_finite()
        self.bar.update(step)
        if boundary:
            return  # the validation that follows saves, and heeds an interruption
        every = self.checkpoint_every
        if self.interrupt or (every and step % every == 0):
            self.save(module, trainer)
        if self.interrupt:
            raise Interrupted

    def _log_training(self, module: RecurrentModule, rate: float) -> None:
        step, now = module.updates, time.monotonic()
        steps = int(module.train_meter.counts["clipped"])
        means = module.train_meter.means()
        self.clipped = [self.clipped[0] + means["clipped"] * steps, self.clipped[1] + steps]
        values = {f"train/{name}": value for name, value in means.items()}
        values["train/lr"] = rate
        since, then = self._speed
        if now > then:
            values["time/steps_per_s"] = (step - since) / (now - then)
        self._speed = (step, now)
        self.report(step, values)
        self.bar.show(step, loss=means["loss"])

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Into the run folder, then to W&B."""
        epoch = self.plan.epoch(step)
        self.folder.log(step, epoch, values)
        self.tracker.log(step, epoch, values)

    # -- each validation --------------------------------------------------------------------

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """A batch's wait at most: a validation or test cut short is made again."""
        if self.interrupt:
            raise Interrupted

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: Trainer, module: RecurrentModule) -> None:  # type: ignore[override]
        """Report, keep the best, stop early, save."""
        step, task = module.updates, module.task
        metrics = module.evaluated
        self.report(step, {f"valid/{name}": value for name, value in metrics.items()})
        value = metrics[task.monitor]
        if not math.isfinite(value):
            raise Diverged(f"valid/{task.monitor} is not finite at update {step}")
        sign = 1 if task.mode == "min" else -1
        better = self.best is None or sign * value < sign * self.best
        if isinstance(self.decay, ReduceLROnPlateau):
            self.decay.step(value)
        if better:
            self.best, self.best_step, self.best_metrics = value, step, dict(metrics)
            self.worse = 0
            checkpoint.save(
                {
                    "step": step,
                    "epoch": self.plan.epoch(step),
                    "model": module.model.state_dict(),
                    "task": task.export(),
                    "metrics": dict(metrics),
                },
                self.folder.checkpoints / "best.ckpt",
            )
        else:
            self.worse += 1
        patience = self.cfg.trainer.patience
        if patience is not None and self.worse >= patience:
            self.stopped = True
            trainer.should_stop = True
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.bar.line(
            f"step {step:>6}  epoch {self.plan.epoch(step):6.2f}  valid  {shown}"
            f"{'  (best)' if better else ''}"
        )
        self.bar.show(step, **{task.monitor: value})
        if self.cfg.trainer.sample:
            self._sample(module)
        self.save(module, trainer)
        if self.interrupt:
            raise Interrupted
        self._speed = (step, time.monotonic())

    def _sample(self, module: RecurrentModule) -> None:
        if type(module.task).write_sample is Task.write_sample:
            return  # no samples: no folder either
        name = f"step-{module.updates:07d}"
        self.folder.samples.mkdir(parents=True, exist_ok=True)
        path = module.task.write_sample(
            module.sampler(), self.folder.samples / name, seed=self.cfg.seed, device=module.device
        )
        if path is not None:
            self.tracker.sample(module.updates, path)

    def count_seconds(self) -> None:
        """Bring `seconds` up to now."""
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    # -- checkpoints ------------------------------------------------------------------------

    def save(self, module: RecurrentModule, trainer: Trainer) -> None:
        """Write `last.ckpt`: all that the next update depends on."""
        self.count_seconds()
        carried = module.carried
        names = ("best", "best_step", "best_metrics", "worse", "stopped", "seconds", "clipped")
        checkpoint.save(
            {
                "step": module.updates,
                "model": module.model.state_dict(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "decay": None if self.decay is None else _plain(self.decay.state_dict()),
                "carried": None if carried is None else flatten_state(carried),
                "meter": {"sums": module.train_meter.sums, "counts": module.train_meter.counts},
                "losses": module.losses,
                "random": checkpoint.random_state(),
                "keeper": {name: getattr(self, name) for name in names},
                "task": module.task.export(),
            },
            self.folder.checkpoints / "last.ckpt",
        )

    # -- Ctrl-C -----------------------------------------------------------------------------

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Ctrl-C or SIGTERM asks for a stop at the next update; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: Any) -> None:
            if self.interrupt:
                raise KeyboardInterrupt
            self.interrupt = True
            with suppress(Exception):  # the signal came in the middle of a print, or of a bar
                self.bar.line("stopping at the next update (again to stop at once) …")

        # What a shell has set to be ignored, as for `… &` in a script, stays ignored.
        heeded = [
            n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN
        ]
        before = {n: signal.signal(n, ask) for n in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without functions, which a checkpoint must not hold."""
    return {
        k: v for k, v in state.items() if isinstance(v, (int, float, str, bool, list, type(None)))
    }
