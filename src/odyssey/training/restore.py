"""A trained model from its run folder: what is checked, read and put together.

torch is imported only once the folder is known to hold what is needed.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli_utils import typed_as
from odyssey.config.trust import check_trust
from odyssey.errors import UserError
from odyssey.io import is_there, read_text, reason
from odyssey.registry import load_class
from odyssey.training.record import RunRecord

if TYPE_CHECKING:
    import torch
    from torch import nn

    from odyssey.tasks.base import Task


def check_folder(run: Path, checkpoint: str = "best") -> None:
    """Raise UserError where `run` is no run folder, or has no such checkpoint."""
    try:
        there, settings = run.is_dir(), is_there(run / "config.yaml")
        weights = is_there(run / "checkpoints" / f"{checkpoint}.ckpt")
    except OSError as error:
        raise UserError(f"{run} cannot be read ({reason(error)}); type a run's folder") from None
    if not there:
        raise UserError(
            f"{run}: there is no such run folder; {typed_as('train')} prints where a run is"
        )
    if not settings:
        inside = sorted(p.parent for p in run.glob("*/config.yaml"))
        hint = f"; it holds runs, such as {inside[0]}" if inside else ""
        raise UserError(f"{run} is not a run folder, as it has no config.yaml{hint}")
    record = _record(run)
    if not weights and record is not None and record.status == "finished":
        raise UserError(
            f"{run} has no checkpoints/{checkpoint}.ckpt any more; put it back, or train again "
            "with resume=force"
        )
    if not weights:
        raise UserError(
            f"{run} has no checkpoints/{checkpoint}.ckpt yet: it comes with the first validation; "
            "train on first"
        )


def _record(run: Path) -> RunRecord | None:
    """What run.json says, where it can be read."""
    with suppress(OSError, ValueError):
        return RunRecord.load(read_text(run / "run.json")[0])
    return None


def check_parts(run: Path, cfg: Any, trust: bool, option: str) -> None:
    """Raise UserError where a run names code of others that may not be run; see check_trust."""
    record = _record(run)
    check_trust(run, cfg, {} if record is None else record.sources(), trust, option)


def restore_model(
    run: Path, cfg: Any, task: Task, checkpoint: str, device: torch.device
) -> nn.Module:
    """The model of a run with the weights of a checkpoint, in evaluation mode on `device`.

    `task.restore` is called with what the checkpoint holds of the task. Needs no data. Raises
    UserError where the checkpoint or the cell's class is gone, or does not fit the other.
    """
    from odyssey.training.build import build_model
    from odyssey.training.checkpoint import MISFITS
    from odyssey.training.checkpoint import load as read

    path = run / "checkpoints" / f"{checkpoint}.ckpt"
    record = _record(run)
    saved = read(path, device, "" if record is None else record.config_hash)
    try:
        task.restore(saved["task"])
    except MISFITS as error:
        raise UserError(
            f"{path} does not fit the task of {run / 'config.yaml'}; put back the files that "
            "training wrote"
        ) from error
    try:
        load_class(cfg.cell._target_)
    except (ImportError, AttributeError):
        raise UserError(
            f"the cell of {run}, {cfg.cell._target_}, is not to be found; start from the folder "
            "that holds its file"
        ) from None
    except Exception as error:  # whatever the user's file raises
        what = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the cell of {run}, {cfg.cell._target_}, cannot be imported: {what}"
        ) from error
    try:
        model = build_model(cfg, task.spec).to(device).eval()
        model.load_state_dict(saved["model"])
    except RuntimeError as error:
        raise UserError(
            f"the weights of {run} do not fit its cell, {cfg.cell._target_}, as it is now; put "
            f"back the code it was trained with ({str(error).splitlines()[0]})"
        ) from None
    return model
