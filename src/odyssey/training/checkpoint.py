"""Checkpoints: plain dictionaries of tensors and values, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odyssey.errors import UserError
from odyssey.io import write_bytes
from odyssey.nn import flatten_state, unflatten_state
from odyssey.training.module import RecurrentModule
from odyssey.training.optim import Decay


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write so that a kill at any moment leaves the file before or the file after.

    Raises OSError where the disk takes no more; the file before is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In memory first: torch would hide a full disk behind an error about its own format.
    whole = io.BytesIO()
    torch.save(dict(content), whole)
    write_bytes(path, whole.getbuffer())


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; tensors and plain values only, no code. Raises UserError."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint") from None
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); "
            "train again with resume=force"
        ) from error


def snapshot(module: RecurrentModule) -> dict[str, Any]:
    """All of the module that the next update depends on, and the best validation so far."""
    assert module.optimizer is not None
    return {
        "step": module.updates,
        "model": module.model.state_dict(),
        "optimizer": module.optimizer.state_dict(),
        "decay": _decay_state(module.decay),
        "carried": None if module.carried is None else flatten_state(module.carried),
        "meter": {"sums": module.train_meter.sums, "counts": module.train_meter.counts},
        "losses": module.losses,
        "clipped": module.clipped,
        "best_step": module.best_step,
        "best_metrics": module.best_metrics,
        "task": module.task.export(),
    }


def restore(module: RecurrentModule, saved: Mapping[str, Any]) -> None:
    """Put back what `snapshot` took, on the device that the module is on."""
    module.model.load_state_dict(saved["model"])
    module.configure_optimizers().load_state_dict(saved["optimizer"])
    if module.decay is not None:
        module.decay.scheduler.load_state_dict(saved["decay"])
    if saved["carried"] is not None:
        state = unflatten_state(module.model.stack, saved["carried"])  # type: ignore[arg-type]
        module.carried = [
            tuple(type(s)(*(v.to(module.device) for v in s)) for s in layer) for layer in state
        ]
    meter = saved["meter"]
    module.train_meter.sums = {k: v.to(module.device) for k, v in meter["sums"].items()}
    module.train_meter.counts = dict(meter["counts"])
    module.losses = saved["losses"].to(module.device)
    module.clipped = list(saved["clipped"])
    module.updates = saved["step"]
    module.best_step, module.best_metrics = saved["best_step"], dict(saved["best_metrics"])


def random_state() -> dict[str, Any]:
    """The state of torch's generators, on the CPU and on each GPU."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put back what `random_state` took; GPUs are left alone if their number has changed."""
    torch.set_rng_state(state["cpu"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def _decay_state(decay: Decay | None) -> dict[str, Any] | None:
    """A scheduler's state without functions, which a checkpoint must not hold."""
    if decay is None:
        return None
    return {k: v for k, v in decay.scheduler.state_dict().items() if _is_plain(v)}


def _is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts and tensors alone, as a checkpoint's are."""
    if isinstance(value, dict):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v) for v in value)
    return isinstance(value, (int, float, str, bool, Tensor, type(None)))
