"""Checks of a composed configuration that the schema cannot make: ranges, choices, combinations.

All errors are found at once. Nothing here imports torch but the checks of a user's own cell, of a
backend that not every cell has, and of a GPU.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from odyssey import registry
from odyssey.config.fields import (
    above,
    above_up_to,
    as_typed,
    at_least,
    below_one,
    between,
    finite,
    one_of,
)
from odyssey.config.keys import subject
from odyssey.config.lightning import lightning_errors
from odyssey.config.own import find_part, one_line, subclass_of
from odyssey.config.parts import INITIALIZERS, is_function, part_errors
from odyssey.config.seeds import SEED_KEYS
from odyssey.device import DEVICES, device_error
from odyssey.errors import UserError, did_you_mean, options

if TYPE_CHECKING:
    from odyssey.cells import Cell

Check = Callable[[str, Any], list[str]]

MATRICES = ("uniform", "normal", "orthogonal", "identity", "zeros")
VECTORS = ("zeros", "uniform", "normal")
CHOICES: dict[str, tuple[str, ...]] = {
    "cell.init.input": MATRICES,
    "cell.init.recurrent": MATRICES,
    "cell.init.bias": VECTORS,
    "cell.init.vector": VECTORS,
    "model.backend": ("auto", "reference", "compiled", "library"),
    "model.init.kind": ("uniform", "normal", "orthogonal"),
    "model.init.bias": VECTORS,
    "clip.kind": ("norm", "value", "none"),
    "decay.every": ("update", "epoch", "validation"),
    "trainer.loop": ("auto", "compiled", "lightning"),
    "trainer.precision": ("64", "32", "tf32", "bf16-mixed"),
    "logger.mode": ("offline", "online", "disabled"),
    "device": DEVICES,
    "resume.mode": ("auto", "never", "force"),
}
positive = partial(above, low=0)
share = partial(between, low=0, high=1)
# A key that the optimizer or decay of a run does not have is passed over.
RANGES: dict[str, Check] = {
    **dict.fromkeys(SEED_KEYS, partial(between, low=0, high=2**32 - 1)),  # as NumPy's generators
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
    "decay.after": partial(at_least, low=1),
    "decay.final": share,
    "decay.patience": partial(at_least, low=1),
    "clip.threshold": positive,
    "trainer.max_epochs": partial(at_least, low=1),
    "trainer.max_steps": partial(at_least, low=1),
    "trainer.val_every": partial(at_least, low=1),
    "trainer.val_within": partial(at_least, low=1),
    "trainer.patience": partial(at_least, low=1),
    "trainer.log_every": partial(at_least, low=1),
    "trainer.checkpoint_every": partial(at_least, low=1),
    "trainer.threads": partial(between, low=1, high=1024),
    "plan.margin": positive,
    "plan.share": partial(above_up_to, low=0, high=1),
    "plan.alpha": partial(between, low=1e-9, high=0.499),
}


def config_errors(cfg: DictConfig, wrong: Collection[str] = ()) -> list[str]:
    """One sentence for each thing wrong with a composed configuration.

    wrong: keys and groups known to be wrong, whose values in `cfg` only stand in for others. What
    follows from them is no error of its own.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    found = [f"{key} is not set: type {key}= and a value" for key in missing]
    if set(missing) - {"cell._target_"}:
        return found
    known = {*wrong, *missing}

    def add(errors: Iterable[str]) -> None:
        for error in errors:
            if not known.intersection(re.findall(r"[\w.]*\w", error)):
                found.append(error)
                known.add(subject(error))

    checks = (_choices, _ranges, _combinations, _plan, _task, _places, _device, lightning_errors)
    for check in (*checks, part_errors):
        add(check(cfg))
    if not known & {"cell", "cell._target_"}:
        add(_cell(cfg, known))
    return found


def plain_errors(cfg: DictConfig) -> list[str]:
    """What is wrong with the values of a configuration themselves.

    No file or class that it names is looked at.
    """
    checks = (_choices, _ranges, _combinations, _own_errors)
    return [error for check in checks for error in check(cfg)]


def _choices(cfg: DictConfig) -> Iterator[str]:
    for key, names in CHOICES.items():
        value = OmegaConf.select(cfg, key)
        if not (key in INITIALIZERS and is_function(value)):
            yield from one_of(key, value, names)


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
            f"clip.threshold={as_typed(clip.threshold)} is without effect with clip=none: "
            "type clip=norm or clip=value, or leave it out"
        )
    if decay.kind == "plateau" and not 0 < decay.factor < 1:
        yield (
            f"decay.factor={as_typed(decay.factor)} is out of range with decay=plateau: "
            "type a number between 0 and 1"
        )
    if decay.kind == "exponential" and decay.factor == 0:
        yield "decay.factor=0 is the end of learning: type a number above 0, up to 1"
    if model.dropout and model.num_layers == 1:
        yield (
            f"model.dropout={as_typed(model.dropout)} is without effect with model.num_layers=1, "
            "since dropout lies between layers: type model.num_layers=2 or model.dropout=0"
        )
    if model.init.kind is not None and model.init.scale is None:
        for name in ("kind", "bias"):
            if (drawn := model.init[name]) in ("uniform", "normal"):
                yield (
                    f"model.init.{name}={drawn} is without a width: type model.init.scale=0.1 "
                    "with it"
                )
                break
    if model.init.kind is None and model.init.scale is not None:
        yield (
            f"model.init.scale={as_typed(model.init.scale)} is without effect: type "
            "model.init.kind=uniform or model.init.kind=normal with it"
        )
    for name in ("input", "recurrent", "bias", "vector"):
        kind, scale = cfg.cell.init[name], cfg.cell.init[f"{name}_scale"]
        if kind == "zeros" and scale is not None:
            yield (
                f"cell.init.{name}_scale={as_typed(scale)} is without effect with "
                f"cell.init.{name}=zeros: type cell.init.{name}=uniform or leave it out"
            )


def _plan(cfg: DictConfig) -> Iterator[str]:
    for name, example in (("baseline", "lstm"), ("metric", "accuracy")):
        if cfg.plan[name] is not None and not cfg.plan[name].strip():
            key = f"plan.{name}="
            yield f"{key} is empty: type a name, as in {key}{example}, or leave it out"
    looks = list(cfg.plan.looks or [])
    if looks and (looks[0] < 2 or any(b <= a for a, b in pairwise(looks))):
        yield (
            f"plan.looks={as_typed(looks)} is not a list of growing numbers of runs: type one, as "
            "in plan.looks=[5,10,20]"
        )


def _own_errors(cfg: DictConfig) -> list[str]:
    """What the schema of the task says of its options."""
    task: Any = OmegaConf.to_object(cfg.task)
    return list(task.errors())


def _task(cfg: DictConfig) -> Iterator[str]:
    yield from _own_errors(cfg)
    task: Any = OmegaConf.to_object(cfg.task)
    name = f"task={cfg.task.name}"
    if cfg.seeds.split is not None and (why := task.without_split()):
        yield f"seeds.split={cfg.seeds.split} is without effect with {name}, {why}: leave it out"
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


def is_study_name(name: str) -> bool:
    """Whether a study can have the name: that of a folder beside W&B's."""
    plain = name == Path(name).name and name.isprintable() and len(name.encode()) <= 200
    return plain and bool(name.strip()) and name not in (".", "..", "wandb")


def _places(cfg: DictConfig) -> Iterator[str]:
    if not is_study_name(cfg.study):
        yield f"study={cfg.study} is not a plain folder name: type one, as in study=first"
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
    start = cfg.init_from
    if start is not None and not (Path(start) / "checkpoints" / "best.ckpt").is_file():
        yield (
            f"init_from={start} is no run's folder with checkpoints/best.ckpt: type one that "
            "training has printed"
        )
    path = OmegaConf.select(cfg, "task.path")
    if path and not Path(path).exists():
        yield f"task.path={path} is not there: type the path of a file, seen from {Path.cwd()}"
    elif path and Path(path).is_dir() and cfg.task.name in ("charlm", "wordlm"):
        from odyssey.data.text_files import ENDINGS, text_files

        if cfg.task.data in ENDINGS:
            try:
                text_files(cfg.task.data, path)
            except UserError as error:
                yield from error.messages
    elif path and cfg.task.data == "file" and Path(path).is_dir():
        yield f"task.path={path} is a folder: type the path of a file in it"


def _device(cfg: DictConfig) -> list[str]:
    error = device_error(cfg.device, cfg.trainer.precision)
    return [] if error is None else [error]


def _cell(cfg: DictConfig, wrong: Collection[str]) -> list[str]:
    """What is wrong with `cfg.cell`, and with running it on `model.backend`.

    wrong: keys whose values are known to be wrong, and so are kept from the class. torch is not
    imported for a cell of the package without options, on a backend that runs any cell.
    """
    cell, backend = cfg.cell, cfg.model.backend
    entry = registry.entry_of(cell._target_)
    if entry is not None and not cell.options and backend in ("auto", "reference"):
        return _forget_bias(cfg, entry.kind, entry.forget_gate)
    kind = _class(cell._target_)
    if isinstance(kind, str):
        return [kind]
    errors = _forget_bias(cfg, kind.__name__, kind.forget_gate is not None)
    given: Any = OmegaConf.to_container(cell)
    if errors or "cell.forget_bias" in wrong:
        given["forget_bias"] = None
    if any(k.startswith("cell.init") for k in wrong):
        given["init"] = {}
    if entry is not None or "model.hidden_size" not in wrong:
        # The package's cells are the same at any size.
        size = 2 if entry is not None else cfg.model.hidden_size
        made = _made(kind, json.dumps(given), size)  # type: ignore[arg-type]  # it is hashable
        errors += [made] if isinstance(made, str) else _backend(made, backend)
    return errors


def _forget_bias(cfg: DictConfig, kind: str, has_forget_gate: bool) -> list[str]:
    bias = cfg.cell.forget_bias
    if bias is None or has_forget_gate:
        return []
    return [
        f"cell.forget_bias={as_typed(bias)} is without effect, since {kind} has no forget gate: "
        "type cell.forget_bias=null"
    ]


def _class(target: str) -> type[Cell] | str:
    """The class by that name, or what is wrong with the name."""
    from odyssey.cells import Cell

    found: type[Cell] | str = find_part(
        "cell._target_",
        target,
        "cell",
        subclass_of(Cell),
        "the name of a subclass of odyssey.cells.Cell",
        "my_cells.MyCell for class MyCell in my_cells.py",
    )
    return found


@cache
def _made(found: type[Cell], text: str, size: int) -> Cell | str:
    """A cell of H = `size`, or what its class says against it: wrong declaration, wrong options.

    text: the section `cell` as JSON, which can be a key of the cache.
    """
    import torch

    from odyssey.cells import Init

    cell = json.loads(text)
    given = cell["options"]
    first: Exception | None = None
    # The number of inputs is not known before the data are read, and some cells may want H of them.
    for inputs in (size, size + 1):
        try:
            with torch.random.fork_rng(devices=[]):
                return found(
                    inputs,
                    size,
                    init=Init(**cell["init"]),
                    forget_bias=cell["forget_bias"],
                    **given,
                )
        except Exception as error:  # whatever a user's class raises
            first = first or error
    assert first is not None
    allowed = _options(found)
    for name in given:
        if f"unexpected keyword argument '{name}'" in str(first):
            wanted = f"type one of {options(allowed)}" if allowed else "leave it out"
            return (
                f"cell.options.{name}={as_typed(given[name])} is not an option of {found.__name__}"
                f"{did_you_mean(name, allowed)}: {wanted}"
            )
    set_to = " ".join(f"cell.options.{k}={as_typed(v)}" for k, v in given.items())
    return (
        f"cell._target_={cell['_target_']} is not usable{' with ' * bool(set_to)}{set_to}: "
        f"{one_line(first)}"
    )


def _options(found: type[Cell]) -> list[str]:
    """The keyword arguments that the class adds to those of a cell."""
    from odyssey.cells import Cell

    base = inspect.signature(Cell.__init__).parameters
    names: set[str] = set()
    for kind in found.__mro__:
        if "__init__" in vars(kind) and issubclass(kind, Cell):
            own: Any = vars(kind)["__init__"]
            names |= {
                name
                for name, p in inspect.signature(own).parameters.items()
                if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and name not in base
            }
    return sorted(names)


def _backend(cell: Cell, backend: str) -> list[str]:
    from odyssey.recurrence import backends, compiled

    can = ("auto", *backends(cell))
    if backend in can:
        return []
    if backend == "compiled":
        return [str(compiled.reason_against(cell))]
    return [
        f"model.backend={backend} is not possible with {type(cell).__name__}, since torch.nn has "
        f"no such cell: type one of {options(can)}"
    ]
