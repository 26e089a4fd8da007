"""Optimizers and learning-rate decay: torch's own, under the configuration's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from odyssey.training.rounds import Plan


def make_optimizer(cfg: Any, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer of `cfg`, one of the dataclasses in odyssey.config.schema.OPTIMIZERS."""
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
    raise ValueError(f"no optimizer is called {cfg.kind!r}")


def make_decay(
    cfg: Any, optimizer: Optimizer, plan: Plan, mode: Literal["min", "max"]
) -> LambdaLR | ReduceLROnPlateau | None:
    """The scheduler of `cfg`: a LambdaLR is stepped each update, a plateau each validation."""
    if cfg.kind == "exponential":
        # After epoch e (from 1) the rate falls if e >= after, as in char-rnn.
        def factor(step: int) -> float:
            falls = max(0, step // plan.steps_per_epoch - max(cfg.after, 1) + 1)
            return cfg.factor**falls

        return LambdaLR(optimizer, factor)
    if cfg.kind == "cosine":

        def half_wave(step: int) -> float:
            done = min(step / plan.total, 1.0)
            return cfg.final + (1 - cfg.final) * 0.5 * (1 + math.cos(math.pi * done))

        return LambdaLR(optimizer, half_wave)
    if cfg.kind == "plateau":
        # A metric is better here when the checkpoint `best` says so: any improvement counts.
        # eps=0: torch would leave a small rate that falls by less than 1e-8 where it is.
        return ReduceLROnPlateau(
            optimizer, mode, factor=cfg.factor, patience=cfg.patience - 1, threshold=0.0, eps=0.0
        )
    return None
