"""Optimizers and learning-rate decay: torch's own, under the configuration's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from odyssey.config.own import takes
from odyssey.errors import UserError
from odyssey.registry import load_class, plain
from odyssey.training.schedule import Schedule


def make_optimizer(cfg: Any, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer of `cfg`, one of the dataclasses in odyssey.config.schema.OPTIMIZERS.

    Raises UserError where a class of the user's own cannot be made.
    """
    common = {"lr": cfg.lr, "weight_decay": cfg.weight_decay}
    if cfg.kind == "sgd":
        if cfg.scale_lr_by_momentum:
            common["lr"] = cfg.lr * (1 - cfg.momentum)
        # torch refuses Nesterov's form without momentum, where it would change nothing.
        nesterov = cfg.nesterov and cfg.momentum > 0
        return torch.optim.SGD(parameters, momentum=cfg.momentum, nesterov=nesterov, **common)
    if cfg.kind in ("adam", "adamw"):
        kind = torch.optim.Adam if cfg.kind == "adam" else torch.optim.AdamW
        return kind(parameters, betas=(cfg.beta1, cfg.beta2), eps=cfg.eps, **common)
    if cfg.kind == "rmsprop":
        return torch.optim.RMSprop(
            parameters, alpha=cfg.alpha, eps=cfg.eps, momentum=cfg.momentum, **common
        )
    if cfg.kind == "adagrad":
        return torch.optim.Adagrad(
            parameters,
            eps=cfg.eps,
            initial_accumulator_value=cfg.initial_accumulator,
            **common,
        )
    if cfg.kind == "own":
        kind = load_class(cfg._target_)
        if not takes(kind, "weight_decay"):
            del common["weight_decay"]
        try:
            made: Optimizer = kind(parameters, **common, **plain(cfg.options))
        except Exception as error:  # whatever a user's class raises
            raise UserError(
                f"optimizer._target_={cfg._target_} cannot be made: {_in_one_line(error)}"
            ) from error
        return made
    raise ValueError(f"no optimizer is called {cfg.kind!r}")


@dataclass
class Decay:
    """A schedule of torch.optim.lr_scheduler, and when it makes a step.

    every: updates between two steps; None: a step at each validation.
    """

    scheduler: LRScheduler
    every: int | None = 1

    def after_update(self, updates: int) -> None:
        """Make a step if one is due after so many updates."""
        if self.every is not None and updates % self.every == 0:
            self.scheduler.step()

    def after_validation(self, value: float) -> None:
        """Make a step if there is one at each validation; `value` is that of the monitor."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(value)
        elif self.every is None:
            self.scheduler.step()


def make_decay(
    cfg: Any, optimizer: Optimizer, plan: Schedule, mode: Literal["min", "max"]
) -> Decay | None:
    """The schedule of `cfg`; None where the learning rate stays as it is.

    Raises UserError where a class of the user's own cannot be made.
    """
    if cfg.kind == "exponential":
        # After epoch e (from 1) the rate falls if e >= after, as in char-rnn.
        def factor(step: int) -> float:
            falls = max(0, step // plan.steps_per_epoch - cfg.after + 1)
            return cfg.factor**falls

        return Decay(LambdaLR(optimizer, factor))
    if cfg.kind == "cosine":

        def half_wave(step: int) -> float:
            done = min(step / plan.total, 1.0)
            return cfg.final + (1 - cfg.final) * 0.5 * (1 + math.cos(math.pi * done))

        return Decay(LambdaLR(optimizer, half_wave))
    if cfg.kind == "plateau":
        # A metric is better here when the checkpoint `best` says so: any improvement counts.
        # eps=0: torch would leave a small rate that falls by less than 1e-8 where it is.
        plateau = ReduceLROnPlateau(
            optimizer, mode, factor=cfg.factor, patience=cfg.patience - 1, threshold=0.0, eps=0.0
        )
        return Decay(plateau, None)
    return _own_decay(cfg, optimizer, plan, mode) if cfg.kind == "own" else None


def _own_decay(cfg: Any, optimizer: Optimizer, plan: Schedule, mode: str) -> Decay:
    kind = load_class(cfg._target_)
    updates = {"update": 1, "epoch": plan.steps_per_epoch, "validation": plan.val_every}
    unit = updates[cfg.every]
    steps = {"total": -(-plan.total // unit), "epoch": max(plan.steps_per_epoch // unit, 1)}
    options = {
        name: steps.get(value, value) if isinstance(value, str) else value
        for name, value in plain(cfg.options).items()
    }
    if issubclass(kind, ReduceLROnPlateau):
        options = {"mode": mode} | options
    try:
        scheduler = kind(optimizer, **options)
    except Exception as error:  # whatever a user's class raises
        raise UserError(
            f"decay._target_={cfg._target_} cannot be made: {_in_one_line(error)}"
        ) from error
    return Decay(scheduler, None if cfg.every == "validation" else unit)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def clip_gradients(
    parameters: Iterable[nn.Parameter], kind: str, threshold: float | None
) -> tuple[Tensor, Tensor]:
    """Clip in place; returns the L2 norm before clipping and whether the step was clipped.

    kind `norm` scales the whole gradient down to `threshold` (Pascanu et al. 2013, arXiv
    1211.5063); `value` clips every entry to [-threshold, threshold]; `none` leaves it. Both
    results are tensors on the parameters' device (the second 0 or 1), so nothing waits for a GPU.
    """
    params = [p for p in parameters if p.grad is not None]
    grads = [p.grad for p in params if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    if kind == "none" or threshold is None or not grads:
        return norm, torch.zeros_like(norm)
    if kind == "norm":
        # Not torch's clip_grads_with_norm_, which divides by norm + 1e-6: that clips a norm at or
        # just below the threshold too, and clips to too little where the threshold is small.
        factor = (threshold / norm).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor)
        return norm, (norm > threshold).to(norm.dtype)
    largest = nn.utils.get_total_norm(grads, norm_type=float("inf"))
    nn.utils.clip_grad_value_(params, threshold)
    return norm, (largest > threshold).to(norm.dtype)
