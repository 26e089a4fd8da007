"""A trained model from its run folder: what is checked, read and put together.

torch is imported only once the folder is known to hold what is needed.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli_utils import typed_as
from odyssey.errors import UserError
from odyssey.registry import load_class
from odyssey.yaml_text import without_aliases

if TYPE_CHECKING:
    import torch
    from torch import nn

    from odyssey.tasks.base import Task


def check_folder(run: Path, checkpoint: str = "best") -> None:
    """Raise UserError where `run` is no run folder, or has no such checkpoint."""
    if not run.is_dir():
        raise UserError(
            f"{run}: there is no such run folder; {typed_as('train')} prints where a run is"
        )
    if not (run / "config.yaml").exists():
        inside = sorted(p.parent for p in run.glob("*/config.yaml"))
        hint = f"; it holds runs, such as {inside[0]}" if inside else ""
        raise UserError(f"{run} is not a run folder, as it has no config.yaml{hint}")
    if not (run / "checkpoints" / f"{checkpoint}.ckpt").exists():
        raise UserError(
            f"{run} has no checkpoints/{checkpoint}.ckpt yet: it comes with the first validation; "
            "train on first"
        )


def read_config(run: Path) -> Any:
    """The configuration of a run, from its `config.yaml`. Raises UserError."""
    from omegaconf import DictConfig, OmegaConf
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        text = (run / "config.yaml").read_text(encoding="utf-8")
        cfg = OmegaConf.load(StringIO(without_aliases(text)))
        if not isinstance(cfg, DictConfig):
            raise ValueError("not a mapping")
        return cfg
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(
            f"{run / 'config.yaml'} cannot be read ({type(error).__name__}); put back the file "
            "that training wrote"
        ) from None


def restore_model(
    run: Path, cfg: Any, task: Task, checkpoint: str, device: torch.device
) -> nn.Module:
    """The model of a run with the weights of a checkpoint, in evaluation mode on `device`.

    `task.restore` is called with what the checkpoint holds of the task. Needs no data. Raises
    UserError where the checkpoint or the cell's class is gone, or does not fit the other.
    """
    from odyssey.training.build import build_model
    from odyssey.training.checkpoint import load as read

    saved = read(run / "checkpoints" / f"{checkpoint}.ckpt", device)
    task.restore(saved["task"])
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
