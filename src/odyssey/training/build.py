"""From a configuration to the parts of a run: the model, its callbacks, Lightning's Trainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from torch import nn

from odyssey.cells import Cell, Init
from odyssey.config.identity import data_hash
from odyssey.config.own import takes
from odyssey.config.seeds import seeds_of
from odyssey.errors import UserError
from odyssey.nn import EncoderDecoder, HeadInit, SequenceModel, Sizes
from odyssey.registry import load_class, plain
from odyssey.tasks import build as build_task
from odyssey.tasks.base import ModelSpec, Task, TaskMetric
from odyssey.training.callbacks import ORDER
from odyssey.training.logger import RunLogger

PRECISIONS = {"32": "32-true", "tf32": "32-true", "bf16-mixed": "bf16-mixed", "64": "64-true"}
NOTHING = nullcontext()
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def build_model(cfg: Any, spec: ModelSpec) -> nn.Module:
    """A model of `cfg.cell` and `cfg.model` for a task's `spec`; weights from torch's generator.

    With trainer.precision=64 the weights are those of 32, in float64.
    """
    model = _model(cfg, spec)
    return model.double() if cfg.trainer.precision == "64" else model


def _model(cfg: Any, spec: ModelSpec) -> nn.Module:
    _check_spec(cfg, spec)
    kind = load_class(cfg.cell._target_)
    init = Init(**cfg.cell.init)

    def make_cell(input_size: int, hidden_size: int) -> Cell:
        try:
            return kind(
                input_size,
                hidden_size,
                init=init,
                forget_bias=cfg.cell.forget_bias,
                **cfg.cell.options,
            )
        except (TypeError, ValueError) as error:  # a user's cell that only some sizes suit
            raise UserError(
                f"cell._target_={cfg.cell._target_} cannot be made with {input_size} inputs and "
                f"{hidden_size} units: {error}"
            ) from error

    m = cfg.model
    sizes = Sizes(
        m.hidden_size, m.num_layers, m.bidirectional, m.dropout, m.embedding_size, m.backend
    )
    head_init = HeadInit(m.init.kind, m.init.scale, m.init.bias)
    if spec.head == "decoder":
        return EncoderDecoder(
            make_cell,
            sizes,
            input_size=spec.input_size,
            output_size=spec.output_size,
            head_init=head_init,
        )
    return SequenceModel(
        make_cell,
        sizes,
        input=spec.input,
        input_size=spec.input_size,
        output_size=spec.output_size,
        head=spec.head,
        head_init=head_init,
    )


def _check_spec(cfg: Any, spec: ModelSpec) -> None:
    """Raise UserError for settings of the model that do not go with a task's inputs.

    Of the package's tasks it is said before their data are read; of a user's own it is known now.
    """
    name = f"task={cfg.task.name}"
    if spec.causal and cfg.model.bidirectional:
        raise UserError(
            f"model.bidirectional=true is not allowed with {name}, since it would read what it is "
            "to predict: type model.bidirectional=false"
        )
    if spec.input == "real" and cfg.model.embedding_size is not None:
        raise UserError(
            f"model.embedding_size={cfg.model.embedding_size} is without effect with {name}, whose "
            "inputs are numbers: type model.embedding_size=null"
        )


def build_callbacks(cfg: DictConfig) -> dict[str, Callback]:
    """The callbacks of the section `callbacks` by their names, in the order of their calls.

    Raises UserError where one cannot be made.
    """
    own = [str(name) for name in cfg if name not in ORDER]
    names = [n for place in ORDER for n in (own if place == "*" else [place])]
    return {n: _made(f"callbacks.{n}", cfg[n]) for n in names if cfg.get(n) is not None}


def load_task(cfg: Any, adopted: Mapping[str, Any] | None = None) -> Task:
    """The task of a run with its data and its metrics, those of `cfg.metrics` too.

    adopted: what `Task.adopt` takes

    Raises UserError where the data cannot be had.
    """
    seeds = seeds_of(cfg)
    task = build_task(
        cfg.task,
        data_dir=cfg.data_dir,
        seed=seeds.order,
        window=cfg.bptt.length,
        split_seed=seeds.split,
    )
    if adopted is not None:
        task.adopt(adopted)
    task.load()
    _describe_data(cfg, task)
    task.add_metrics(build_metrics(cfg.metrics))
    return task


def _describe_data(cfg: DictConfig, task: Task) -> None:
    """Give a task of the user's own that does not say what its data are a name and a hash of them.

    That is the hash of its file; without one its options, of which the data are made.
    """
    if hasattr(task, "data"):
        return
    digest = data_hash(cfg)
    if digest is None:
        text = json.dumps(plain(cfg.task), sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
    task.data = {"name": cfg.task.data, "sha256": digest}


def build_metrics(cfg: DictConfig) -> dict[str, TaskMetric]:
    """The metrics of the section `metrics` by their names. Raises UserError."""
    given = {str(name): entry for name, entry in cfg.items()}
    return {n: _made(f"metrics.{n}", entry) for n, entry in given.items() if entry is not None}


def build_loggers(cfg: DictConfig, folder: Path) -> dict[str, Logger]:
    """Lightning's loggers of the section `loggers` by their names.

    One that has no `save_dir` of its own writes to `folder`/<its name>. Raises UserError.
    """
    found = {}
    for name, entry in {str(name): entry for name, entry in cfg.items()}.items():
        if entry is not None:
            place = {}
            if takes(load_class(entry._target_), "save_dir"):
                place["save_dir"] = str(folder / name)
            found[name] = _made(f"loggers.{name}", entry, place)
    return found


def _made(key: str, entry: DictConfig, usual: Mapping[str, Any] | None = None) -> Any:
    """The object of a class of the user's own, with its options; `usual` are taken beside them."""
    options = {**(usual or {}), **plain(entry)}
    target = options.pop("_target_")
    try:
        return load_class(target)(**options)
    except Exception as error:  # whatever a user's class raises
        what = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{key}._target_={target} cannot be made: {what}") from error


class NoProfiler(Profiler):
    """Measures nothing, and costs nothing.

    Lightning enters a profiler's context for each callback at each hook. Its own profiler for that
    case makes a generator each time, which together takes longer than all that our callbacks do.
    """

    def start(self, action_name: str) -> None:
        """Nothing."""

    def stop(self, action_name: str) -> None:
        """Nothing."""

    def profile(self, action_name: str) -> nullcontext[None]:  # type: ignore[override]
        """A context that does nothing."""
        return NOTHING


def build_trainer(
    cfg: DictConfig,
    device: torch.device,
    callbacks: Sequence[Callback],
    logger: RunLogger,
    rounds: int,
) -> Trainer:
    """Lightning's Trainer for so many rounds; a round is what lies between two validations.

    Raises UserError for further arguments of `trainer.lightning` that it does not take.
    """
    further: Any = OmegaConf.to_container(cfg.trainer.lightning, resolve=True)
    further.pop("limit_train_batches", None)  # of an epoch, which a round is not: see Schedule
    name = further.get("profiler")
    further["profiler"] = NoProfiler() if name is None else _profiler(name, logger)
    given: Mapping[str, Any] = {
        "accelerator": "cpu" if device.type == "cpu" else "gpu",
        "devices": 1,
        "precision": PRECISIONS[cfg.trainer.precision],
        "max_epochs": max(rounds, 1),
        "reload_dataloaders_every_n_epochs": 1,
        "callbacks": list(callbacks),
        "logger": logger,
        "log_every_n_steps": cfg.trainer.log_every,
        "enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks),
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    try:
        return Trainer(**{**given, **further})
    except (MisconfigurationException, TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        raise UserError(
            f"trainer.lightning or callbacks cannot be used as given: {what}"
        ) from error


def _profiler(name: str, logger: RunLogger) -> Profiler:
    """One of Lightning's profilers, which writes into the run's folder."""
    folder = logger.folder.profiles
    folder.mkdir(parents=True, exist_ok=True)
    return PROFILERS[name](dirpath=folder, filename=name)
