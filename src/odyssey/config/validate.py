"""Every check that a schema cannot make: ranges, choices, combinations. All mistakes at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.errors import did_you_mean

KINDS = {
    "cell.init.input": ("uniform", "normal", "orthogonal", "identity", "zeros"),
    "cell.init.recurrent": ("uniform", "normal", "orthogonal", "identity", "zeros"),
    "cell.init.bias": ("zeros", "uniform", "normal"),
    "cell.init.vector": ("zeros", "uniform", "normal"),
    "model.backend": ("auto", "reference", "library"),
    "model.init.kind": (None, "uniform", "normal"),
    "model.init.bias": ("zeros", "uniform", "normal"),
    "clip.kind": ("norm", "value", "none"),
    "trainer.precision": ("32", "tf32", "bf16-mixed"),
    "logger.mode": ("offline", "online", "disabled"),
    "device": ("auto", "cpu", "cuda"),
    "resume": ("auto", "never", "force"),
}
# Key -> smallest value. Keys of an optimizer or decay that this run does not have are passed over.
AT_LEAST = {
    "model.hidden_size": 1,
    "model.num_layers": 1,
    "model.embedding_size": 1,
    "bptt.length": 1,
    "trainer.max_epochs": 1,
    "trainer.max_steps": 1,
    "trainer.val_every": 1,
    "trainer.patience": 1,
    "trainer.log_every": 1,
    "trainer.checkpoint_every": 1,
    "trainer.threads": 1,
    "optimizer.weight_decay": 0,
    "optimizer.eps": 0,
    "optimizer.initial_accumulator": 0,
    "decay.after": 0,
    "decay.patience": 1,
    "seed": 0,
}
ABOVE_ZERO = (
    "optimizer.lr",
    "clip.threshold",
    "model.init.scale",
    "cell.init.input_scale",
    "cell.init.recurrent_scale",
    "cell.init.bias_scale",
    "cell.init.vector_scale",
)
SHARES = {  # key -> whether 1 itself is allowed
    "model.dropout": False,
    "optimizer.momentum": False,
    "optimizer.beta1": False,
    "optimizer.beta2": False,
    "optimizer.alpha": False,
    "decay.factor": True,
    "decay.final": True,
}


def mistakes(cfg: DictConfig) -> list[str]:
    """One sentence for each thing wrong with a composed configuration."""
    return [
        *_choices(cfg),
        *_ranges(cfg),
        *_combinations(cfg),
        *_cell(cfg),
        *_task(cfg),
        *_places(cfg),
    ]


def _choices(cfg: DictConfig) -> Iterable[str]:
    for key, names in KINDS.items():
        value = OmegaConf.select(cfg, key)
        if value not in names:
            words = [n for n in names if n is not None]
            yield (
                f"{key}={value} is not a choice{did_you_mean(str(value), words)}; "
                f"choose one of {', '.join('null' if n is None else n for n in names)}"
            )


def _ranges(cfg: DictConfig) -> Iterable[str]:
    for key, least in AT_LEAST.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not value >= least:
            yield f"{key}={value} must be at least {least}"
    for key in ABOVE_ZERO:
        value = OmegaConf.select(cfg, key)
        if value is not None and not 0 < value < float("inf"):
            yield f"{key}={value} must be a positive number"
    for key, one in SHARES.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not (0 <= value < 1 or (one and value == 1)):
            yield f"{key}={value} must be from 0 to {'1' if one else 'below 1'}"


def _combinations(cfg: DictConfig) -> Iterable[str]:
    if cfg.trainer.max_epochs is None and cfg.trainer.max_steps is None:
        yield (
            "trainer.max_epochs=null with trainer.max_steps=null would never end; "
            "give one of them, as in trainer.max_epochs=5"
        )
    if cfg.clip.kind in ("norm", "value") and cfg.clip.threshold is None:
        yield f"clip.threshold=null with clip={cfg.clip.kind}; give a number, or type clip=none"
    if cfg.clip.kind == "none" and cfg.clip.threshold is not None:
        yield (
            f"clip.threshold={cfg.clip.threshold} has no effect with clip=none; "
            "type clip=norm or clip=value"
        )
    if cfg.model.dropout and cfg.model.num_layers == 1:
        yield (
            f"model.dropout={cfg.model.dropout} has no effect with model.num_layers=1, since "
            "dropout lies between layers; type model.num_layers=2 or model.dropout=0"
        )
    init = cfg.model.init
    if init.kind is not None and init.scale is None:
        yield f"model.init.kind={init.kind} needs a width; type model.init.scale=0.1"
    if init.kind is None and init.scale is not None:
        yield f"model.init.scale={init.scale} needs model.init.kind=uniform or normal"
    if cfg.trainer.precision == "bf16-mixed" and cfg.device == "cpu":
        yield "trainer.precision=bf16-mixed is for a GPU; with device=cpu type trainer.precision=32"


def _cell(cfg: DictConfig) -> Iterable[str]:
    target = cfg.cell._target_
    module, _, name = target.rpartition(".")
    if not module or not name.isidentifier():
        yield f"cell._target_={target} is not module.Class; for my_cells.py type my_cells.MyCell"
        return
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            yield (
                f"cell._target_={target}: there is no module {module}; put {module.split('.')[0]}"
                ".py into the folder you start from"
            )
        else:
            yield f"cell._target_={target}: {module} cannot be imported: {error}"
        return
    except Exception as error:  # whatever a user's file raises while it is read
        yield f"cell._target_={target}: {module} cannot be imported: {error}"
        return
    from odyssey.cells import Cell

    if not (isinstance(found, type) and issubclass(found, Cell)):
        names = [n for n in dir(importlib.import_module(module)) if n[:1].isupper()]
        yield (
            f"cell._target_={target} is not a subclass of odyssey.cells.Cell"
            f"{did_you_mean(name, names)}"
        )
        return
    if cfg.cell.forget_bias is not None and found.forget_gate is None:
        yield (
            f"cell.forget_bias={cfg.cell.forget_bias}: {name} has no forget gate; "
            "type cell.forget_bias=null"
        )


def _task(cfg: DictConfig) -> Iterable[str]:
    task: Any = OmegaConf.to_object(cfg.task)
    yield from task.mistakes()
    causal = cfg.task.name in ("charlm", "wordlm", "music")
    if causal and cfg.model.bidirectional:
        yield (
            f"model.bidirectional=true with task={cfg.task.name} would read the very symbols "
            "it is to predict; type model.bidirectional=false"
        )
    if cfg.task.name in ("mnist", "music") and cfg.model.embedding_size is not None:
        yield (
            f"model.embedding_size={cfg.model.embedding_size} has no effect with "
            f"task={cfg.task.name}, whose inputs are numbers; type model.embedding_size=null"
        )


def _places(cfg: DictConfig) -> Iterable[str]:
    study = cfg.study
    if not study or study != Path(study).name or study in (".", "..") or study == "wandb":
        yield f"study={study} must be a plain folder name, as in study=first"
    for key in ("output_dir", "data_dir"):
        value = OmegaConf.select(cfg, key)
        if value is not None and Path(value).exists() and not Path(value).is_dir():
            yield f"{key}={value} is a file; give a folder"
