"""Every check that a schema cannot make: ranges, choices, combinations. All mistakes at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.cells import cell_mistakes
from odyssey.config.checks import above, at_least, below_one, between, finite, one_of, shown
from odyssey.config.keys import named_by

Check = Callable[[str, Any], list[str]]

MATRICES = ("uniform", "normal", "orthogonal", "identity", "zeros")
VECTORS = ("zeros", "uniform", "normal")
CHOICES: dict[str, tuple[str, ...]] = {
    "cell.init.input": MATRICES,
    "cell.init.recurrent": MATRICES,
    "cell.init.bias": VECTORS,
    "cell.init.vector": VECTORS,
    "model.backend": ("auto", "reference", "compiled", "library"),
    "model.init.kind": ("uniform", "normal"),
    "model.init.bias": VECTORS,
    "clip.kind": ("norm", "value", "none"),
    "trainer.precision": ("32", "tf32", "bf16-mixed"),
    "logger.mode": ("offline", "online", "disabled"),
    "device": ("auto", "cpu", "cuda"),
    "resume.mode": ("auto", "never", "force"),
}
positive = partial(above, low=0)
share = partial(between, low=0, high=1)
# Keys that the optimizer or decay of a run does not have are passed over.
RANGES: dict[str, Check] = {
    "seed": partial(between, low=0, high=2**32 - 1),  # what NumPy's generators take too
    "cell.forget_bias": finite,
    "cell.init.input_scale": positive,
    "cell.init.recurrent_scale": positive,
    "cell.init.bias_scale": positive,
    "cell.init.vector_scale": positive,
    "model.hidden_size": partial(between, low=1, high=100_000),
    "model.num_layers": partial(between, low=1, high=1000),
    "model.embedding_size": partial(between, low=1, high=100_000),
    "model.dropout": below_one,
    "model.init.scale": positive,
    "bptt.length": partial(at_least, low=1),
    "optimizer.lr": positive,
    "optimizer.weight_decay": partial(at_least, low=0),
    "optimizer.eps": partial(at_least, low=0),
    "optimizer.initial_accumulator": partial(at_least, low=0),
    "optimizer.momentum": below_one,
    "optimizer.beta1": below_one,
    "optimizer.beta2": below_one,
    "optimizer.alpha": below_one,
    "decay.factor": share,
    "decay.after": partial(at_least, low=0),
    "decay.final": share,
    "decay.patience": partial(at_least, low=1),
    "clip.threshold": positive,
    "trainer.max_epochs": partial(at_least, low=1),
    "trainer.max_steps": partial(at_least, low=1),
    "trainer.val_every": partial(at_least, low=1),
    "trainer.patience": partial(at_least, low=1),
    "trainer.log_every": partial(at_least, low=1),
    "trainer.checkpoint_every": partial(at_least, low=1),
    "trainer.threads": partial(between, low=1, high=1024),
}


def mistakes(
    cfg: DictConfig, wrong: Collection[str] = (), typed: Collection[str] | None = None
) -> list[str]:
    """One sentence for each thing wrong with a composed configuration.

    wrong: keys and groups known to be wrong, whose values here are only stand-ins. What follows
    from them is no mistake of its own.
    typed: keys and groups of the command line. With them, where something else is wrong already,
    the cell is looked at only if the command line says something about it: that costs an import
    of torch.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    found = [f"{key} is not set: type {key}= and a value" for key in missing]
    if set(missing) - {"cell._target_"}:
        return found
    known = {*wrong, *missing}

    def note(sentences: Iterable[str]) -> None:
        for sentence in sentences:
            words = re.findall(r"[\w.]*\w", sentence)
            if not known.intersection(words):
                found.append(sentence)
                known.add(named_by(sentence))

    for check in (_choices, _ranges, _combinations, _task, _places, _device):
        note(check(cfg))
    if not known & {"cell", "cell._target_"} and (not known or _is_about_the_cell(cfg, typed)):
        note(cell_mistakes(cfg, known))
    return found


def _is_about_the_cell(cfg: DictConfig, typed: Collection[str] | None) -> bool:
    if typed is None or not cfg.cell._target_.startswith("odyssey.cells."):
        return True
    return any(k == "model.backend" or k.split(".")[0] == "cell" and k != "cell" for k in typed)


def _choices(cfg: DictConfig) -> Iterator[str]:
    for key, names in CHOICES.items():
        yield from one_of(key, OmegaConf.select(cfg, key), names)


def _ranges(cfg: DictConfig) -> Iterator[str]:
    for key, check in RANGES.items():
        yield from check(key, OmegaConf.select(cfg, key))


def _combinations(cfg: DictConfig) -> Iterator[str]:
    trainer, clip, model, decay = cfg.trainer, cfg.clip, cfg.model, cfg.decay
    if trainer.max_epochs is None and trainer.max_steps is None:
        yield (
            "trainer.max_epochs=null is endless with trainer.max_steps=null: type one of them as "
            "a number, as in trainer.max_epochs=5"
        )
    if clip.kind in ("norm", "value") and clip.threshold is None:
        yield (
            f"clip.threshold=null is not allowed with clip={clip.kind}: type a number, or clip=none"
        )
    if clip.kind == "none" and clip.threshold is not None:
        yield (
            f"clip.threshold={shown(clip.threshold)} is without effect with clip=none: "
            "type clip=norm or clip=value, or leave it out"
        )
    if decay.kind == "plateau" and not 0 < decay.factor < 1:
        yield (
            f"decay.factor={shown(decay.factor)} is out of range with decay=plateau: "
            "type a number between 0 and 1"
        )
    if decay.kind == "exponential" and decay.factor == 0:
        yield "decay.factor=0 is the end of learning: type a number above 0, up to 1"
    if model.dropout and model.num_layers == 1:
        yield (
            f"model.dropout={shown(model.dropout)} is without effect with model.num_layers=1, "
            "since dropout lies between layers: type model.num_layers=2 or model.dropout=0"
        )
    if model.init.kind is not None and model.init.scale is None:
        yield (
            f"model.init.kind={model.init.kind} is without a width: type model.init.scale=0.1 "
            "with it"
        )
    if model.init.kind is None and model.init.scale is not None:
        yield (
            f"model.init.scale={shown(model.init.scale)} is without effect: type "
            "model.init.kind=uniform or model.init.kind=normal with it"
        )
    for name in ("input", "recurrent", "bias", "vector"):
        kind, scale = cfg.cell.init[name], cfg.cell.init[f"{name}_scale"]
        if kind == "zeros" and scale is not None:
            yield (
                f"cell.init.{name}_scale={shown(scale)} is without effect with "
                f"cell.init.{name}=zeros: type cell.init.{name}=uniform or leave it out"
            )


def _task(cfg: DictConfig) -> Iterator[str]:
    task: Any = OmegaConf.to_object(cfg.task)
    yield from task.mistakes()
    name = f"task={cfg.task.name}"
    reversal = cfg.task.name == "synthetic" and cfg.task.kind == "reversal"
    if cfg.model.bidirectional and (cfg.task.name in ("charlm", "wordlm", "music") or reversal):
        yield (
            f"model.bidirectional=true is not allowed with {name}{' task.kind=reversal' * reversal}"
            ", since it would read the very symbols it is to predict: type "
            "model.bidirectional=false"
        )
    adding = cfg.task.name == "synthetic" and cfg.task.kind == "adding"
    if cfg.model.embedding_size is not None and (cfg.task.name in ("mnist", "music") or adding):
        yield (
            f"model.embedding_size={cfg.model.embedding_size} is without effect with {name}"
            f"{' task.kind=adding' * adding}, whose inputs are numbers: type "
            "model.embedding_size=null"
        )


def _places(cfg: DictConfig) -> Iterator[str]:
    study = cfg.study
    plain = study == Path(study).name and study.isprintable() and len(study.encode()) <= 200
    if not study.strip() or not plain or study in (".", "..", "wandb"):
        yield f"study={study} is not a plain folder name: type one, as in study=first"
    for key in ("output_dir", "data_dir"):
        value = OmegaConf.select(cfg, key)
        if value is None:
            continue
        if not value.strip() or not value.isprintable():
            yield f"{key}={value} is not a folder: type one, as in {key}=my_runs"
            continue
        there = next(p for p in (Path(value), *Path(value).absolute().parents) if p.exists())
        if not there.is_dir():
            yield f"{key}={value} is not a folder, since {there} is a file: type a folder"
        elif key == "output_dir" and not os.access(there, os.W_OK):
            yield f"{key}={value} is not writable: type a folder that you may write to"
    path = OmegaConf.select(cfg, "task.path")
    if path and not Path(path).exists():
        yield f"task.path={path} is not there: type the path of a file, seen from {Path.cwd()}"
    elif path and cfg.task.data == "file" and Path(path).is_dir():
        yield f"task.path={path} is a folder: type the path of a text file in it"


def _device(cfg: DictConfig) -> Iterator[str]:
    bf16 = cfg.trainer.precision == "bf16-mixed"
    if bf16 and cfg.device == "cpu":
        yield (
            "trainer.precision=bf16-mixed is for GPUs: with device=cpu type trainer.precision=32"
        )
    elif cfg.device == "cuda" or bf16:
        import torch

        if torch.cuda.is_available():
            return
        if cfg.device == "cuda":
            yield (
                "device=cuda is not to be had, since torch sees no GPU here: type device=cpu or "
                "device=auto"
            )
        else:
            yield (
                "trainer.precision=bf16-mixed is for GPUs, and torch sees none here: type "
                "trainer.precision=32"
            )
