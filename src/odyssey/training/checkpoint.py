"""Checkpoints: plain dictionaries of tensors and values, written whole or not at all.

A file ends in the SHA-256 of all before it, as the comment that a zip file may have: torch and
others read it as they read any.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odyssey.errors import UserError
from odyssey.io import read_bytes, reason, write_bytes
from odyssey.nn import flatten_state, unflatten_state
from odyssey.training.module import RecurrentModule
from odyssey.training.optim import Decay

SEALED = "sealed"  # a key that says the file has its SHA-256
END = b"PK\x05\x06"  # how a zip file's last record begins, which has 22 bytes without a comment
COMMENT = re.compile(rb"sha256=([0-9a-f]{64})\Z")
WAY_OUT = "put it back, or train again with resume=force"
# Keys of best.ckpt, and of last.ckpt, with the types of their values.
BEST: dict[str, tuple[type, ...]] = {"step": (int,), "model": (dict,), "task": (object,)}
LAST: dict[str, tuple[type, ...]] = BEST | {
    "optimizer": (dict,),
    "decay": (dict, type(None)),
    "carried": (object,),
    "meter": (dict,),
    "losses": (Tensor,),
    "clipped": (list, tuple),
    "best_step": (int, type(None)),
    "best_metrics": (dict,),
    "random": (dict,),
    "seconds": (int, float),
    "stopped": (bool,),
    "callbacks": (dict,),
}
# What code that expects something else of a value may raise.
MISFITS = (RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError)


def save(content: Mapping[str, Any], path: Path) -> None:
    """Write so that a kill at any moment leaves the file before or the file after.

    Raises OSError where the disk takes no more; the file before is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In memory first: torch would hide a full disk behind an error about its own format.
    whole = io.BytesIO()
    torch.save({**content, SEALED: True}, whole)
    write_bytes(path, _seal(whole.getvalue()))


def _seal(content: bytes) -> bytes:
    """The file with its SHA-256 at the end."""
    assert content[-22:].startswith(END)
    comment = f"sha256={hashlib.sha256(content).hexdigest()}".encode()
    return b"".join((content[:-2], len(comment).to_bytes(2, "little"), comment))


def _unseal(content: bytes) -> tuple[bytes, str | None]:
    """The file as torch wrote it, and the SHA-256 that it is to have; None where it says none."""
    found = COMMENT.search(content[-71:])
    if found is None:
        return content, None
    return content[:-73] + b"\0\0", found[1].decode()


def load(path: Path, device: torch.device | str = "cpu", run: str = "") -> dict[str, Any]:
    """Read `best.ckpt` or `last.ckpt`; tensors and plain values only, no code.

    run: the hash of the run's configuration, where it is known; a checkpoint of another is refused.

    Raises UserError where there is no such file, or not one that a run has written so.
    """
    try:
        content, digest = _unseal(read_bytes(path)[0])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)}); {WAY_OUT}") from None
    if digest is not None and digest != hashlib.sha256(content).hexdigest():
        raise UserError(
            f"{path} has been damaged since it was written: it is not of its SHA-256; {WAY_OUT}"
        )
    try:
        saved = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); {WAY_OUT}"
        ) from error
    if wrong := _wrong(saved, path.stem, digest, run):
        raise UserError(f"{path} {wrong}; {WAY_OUT}")
    return saved


def _wrong(saved: Any, name: str, digest: str | None, run: str) -> str:
    """What is wrong with the content of a checkpoint, as the end of a sentence; or nothing."""
    if not isinstance(saved, dict):
        return f"is not a checkpoint, but a {type(saved).__name__}"
    if saved.get(SEALED) and digest is None:
        return "has been changed since it was written: it is without its SHA-256"
    if run and saved.get("run", run) != run:
        return "is the checkpoint of another run"
    if name == "last" and "step" in saved and "callbacks" not in saved:
        return "was written by an earlier version of Odyssey, which alone can go on from there"
    for key, kinds in (LAST if name == "last" else BEST).items():
        if key not in saved:
            return f"is not the checkpoint of a run, as it has no {key}"
        if not isinstance(saved[key], kinds) or (int in kinds and isinstance(saved[key], bool)):
            return f"is not the checkpoint of a run, as its {key} is no {kinds[0].__name__}"
    return ""


def check_position(saved: Mapping[str, Any], path: Path, total: int) -> None:
    """Raise UserError where `last.ckpt` is of an update that the run does not have.

    total: updates of the whole run.
    """
    step, best, seconds = saved["step"], saved["best_step"], saved["seconds"]
    if not 0 <= step <= total:
        raise UserError(f"{path} is of update {step}, and the run has {total:,}; {WAY_OUT}")
    if best is not None and not 0 <= best <= step:
        raise UserError(f"{path} has its best at update {best}, and ends at {step}; {WAY_OUT}")
    state, usual = saved["random"].get("cpu"), torch.get_rng_state()
    if not isinstance(state, Tensor) or (state.dtype, state.shape) != (usual.dtype, usual.shape):
        raise UserError(f"{path} has no state of torch's random numbers; {WAY_OUT}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"{path} has taken {seconds} seconds; {WAY_OUT}")


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
