"""What does not fit into memory: known from the counts before it is allocated, or said once it is.

The memory that counts is this process's: the GPU's that it trains on, or the machine's, less where
a control group limits it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from odyssey.errors import UserError
from odyssey.tasks.base import ModelSpec
from odyssey.training.build import build_model

LARGE = 1 << 26  # weights; smaller models are made without being counted before
COPIES = {"sgd": 2, "rmsprop": 3, "adagrad": 3}  # weights, gradients, the optimizer's state
MOST_COPIES = 4  # Adam's, which has two numbers for each weight
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# What makes a run smaller, by what most often is the reason.
SIZES = (
    "model.hidden_size",
    "model.num_layers",
    "model.embedding_size",
    "task.batch_size",
    "task.eval_batch_size",
    "bptt.length",
    "task.length",
    "task.eval_size",
)
# Of the errors of torch that are RuntimeErrors without a class of their own.
REFUSED = re.compile(
    r"can't allocate memory|not enough memory|out of memory|alloc_failed|invalid buffer size"
    r"|storage size calculation overflowed|integer multiplication overflow",
    re.IGNORECASE,
)


def machine_memory() -> int | None:
    """The bytes of memory that this process may have; None where that cannot be known."""
    found = []
    with suppress(OSError, ValueError, AttributeError):  # not on every system
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in LIMITS:
        with suppress(OSError, ValueError):  # the word max is no limit
            found.append(int(Path(limit).read_text(encoding="utf-8")))
    return min(found, default=None)


def check_size(cfg: Any, spec: ModelSpec, device: torch.device) -> None:
    """Raise UserError where the weights alone, with all that training keeps of each, do not fit."""
    count = count_weights(cfg, spec)
    if count is None:
        return
    width = 8 if cfg.trainer.precision == "64" else 4
    if device.type == "cuda":
        place = "the GPU"
        memory: int | None = torch.cuda.get_device_properties(device).total_memory
    else:
        place, memory = "this machine", machine_memory()
    copies = COPIES.get(cfg.optimizer.get("kind") or "", MOST_COPIES)
    needed = count * width * copies
    if memory is not None and needed > memory:
        raise UserError(
            f"the {count:,} parameters take {_bytes(count * width)}, and {_bytes(needed)} with "
            f"gradients and the optimizer's state, but {place} has {_bytes(memory)}: make "
            f"{_smaller(cfg, SIZES[:3])} smaller"
        )


def count_weights(cfg: Any, spec: ModelSpec) -> int | None:
    """The parameters that a large model would have; None for a small one, and if it is not known.

    The model is made without memory for its weights, which a cell of a user's own may not allow.
    """
    m = cfg.model
    sizes = max(m.hidden_size, m.embedding_size or 0, spec.input_size, spec.output_size)
    if sizes * m.hidden_size * m.num_layers < LARGE:
        return None
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return sum(p.numel() for p in build_model(cfg, spec).parameters())
    except Exception as error:
        if REFUSED.search(str(error)):  # more weights than can be counted
            raise
        return None


@contextmanager
def named(cfg: Any) -> Iterator[None]:
    """Turn an error for want of memory into a UserError that names what to make smaller."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (why := too_large(error, cfg)) is not None:
            raise why from error
        raise


def too_large(error: BaseException, cfg: Any) -> UserError | None:
    """The sentence for an error for want of memory; None for others."""
    out = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not out and not (isinstance(error, RuntimeError) and REFUSED.search(str(error))):
        return None
    on_gpu = isinstance(error, torch.OutOfMemoryError) or "CUDA" in str(error)
    wanted = re.search(r"allocate (?:about )?([\d.]+ [KMGTP]?i?B)|allocate (\d+) bytes", str(error))
    much = ""
    if wanted:
        much = f" ({wanted[1] or _bytes(int(wanted[2]))} more were asked for)"
    return UserError(
        f"the run does not fit into the memory of {'the GPU' if on_gpu else 'this machine'}{much}: "
        f"make {_smaller(cfg, SIZES)} smaller"
    )


def _smaller(cfg: Any, keys: tuple[str, ...]) -> str:
    """The settings among `keys` that the run has, with their values: a, b or c."""
    values = {key: OmegaConf.select(cfg, key) for key in keys}
    there = [f"{key}={value}" for key, value in values.items() if value is not None]
    if values.get("model.num_layers") == 1:
        there.remove("model.num_layers=1")
    return " or ".join([", ".join(there[:-1]), there[-1]] if there[1:] else there)


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if count < 1000 or unit == "PB":
            break
        count /= 1000
    return f"{count:,.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
