"""What a configuration says to Lightning: `callbacks`, and `trainer.lightning` for its Trainer.

Lightning, and the file of a user's own callback, take torch, and are imported only where the
configuration names something of theirs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.fields import at_least, one_of
from odyssey.config.own import find_part, option_errors, subclass_of, typed
from odyssey.config.schema import CALLBACKS
from odyssey.errors import did_you_mean, options

OURS = "odyssey.training.callbacks."
# Callbacks without which a run would not keep what is promised of it, and what is lost.
REQUIRED = {
    "metrics": "without it there is no metrics.csv, and nobody sees that a loss is not finite",
    "signals": "without it Ctrl-C would lose the updates since the last checkpoint",
    "checkpoints": "without it a run could not resume, nor be tested at its best validation",
}
COUNT = "a run is a count of updates, from which it resumes exactly"
ONE_PROCESS = "one process trains a run, whose carried state and order of batches are its own"
NOTHING = "nothing in its place"
# Arguments of the Trainer that would break a promise: why, and what to type instead.
REFUSED: dict[str, tuple[str, str]] = {
    "accelerator": ("device says where a run is trained", "device=cpu or device=cuda"),
    "strategy": (ONE_PROCESS, "-m with hydra.launcher.n_jobs=2, to train several runs at a time"),
    "devices": (ONE_PROCESS, "-m with hydra.launcher.n_jobs=2, to train several runs at a time"),
    "num_nodes": (ONE_PROCESS, "-m with hydra/launcher=slurm, to train runs on several machines"),
    "sync_batchnorm": (ONE_PROCESS, NOTHING),
    "use_distributed_sampler": (ONE_PROCESS, NOTHING),
    "precision": ("trainer.precision says it", "trainer.precision=64"),
    "logger": (
        "the section loggers has them",
        "loggers.csv._target_=pytorch_lightning.loggers.CSVLogger",
    ),
    "callbacks": ("the section callbacks has them", "callbacks.mine._target_=my_callbacks.Mine"),
    "fast_dev_run": ("it would skip the callbacks that keep a run", "trainer.max_steps=1"),
    "max_epochs": (COUNT, "trainer.max_epochs={value}"),
    "min_epochs": (COUNT, "trainer.max_epochs=5"),
    "max_steps": (COUNT, "trainer.max_steps={value}"),
    "min_steps": (COUNT, "trainer.max_steps=1000"),
    "max_time": (
        "the result would hang on the speed of the machine",
        "trainer.max_steps=1000",
    ),
    "overfit_batches": ("trainer.overfit_batch does it", "trainer.overfit_batch=true"),
    "val_check_interval": (COUNT, "trainer.val_every=500"),
    "check_val_every_n_epoch": (COUNT, "trainer.val_every=500"),
    "limit_predict_batches": ("a run predicts nothing", NOTHING),
    "log_every_n_steps": ("trainer.log_every says it", "trainer.log_every={value}"),
    "enable_checkpointing": (
        "a run resumes from its checkpoints",
        "trainer.checkpoint_every=null, for those at validations alone",
    ),
    "enable_progress_bar": ("trainer.progress_bar says it", "trainer.progress_bar=false"),
    "gradient_clip_val": ("clip says it", "clip=norm clip.threshold={value}"),
    "gradient_clip_algorithm": ("clip says it", "clip=norm or clip=value"),
    "reload_dataloaders_every_n_epochs": (COUNT, NOTHING),
    "barebones": ("it would switch off what keeps a run", "trainer.log_every=1000"),
    "plugins": (
        "an object cannot be written in a configuration",
        "callbacks.mine._target_=my_callbacks.Mine for code of your own",
    ),
    "default_root_dir": ("a run has its folder", "output_dir={value}"),
    "model_registry": ("checkpoints lie in the folder of the run", NOTHING),
    "enable_autolog_hparams": ("config.yaml holds the settings", NOTHING),
}


def lightning_errors(cfg: DictConfig) -> Iterator[str]:
    """One sentence for each thing wrong with `callbacks` and `trainer.lightning`."""
    yield from _callback_errors(cfg)
    yield from _trainer_errors(cfg)


# -- callbacks -------------------------------------------------------------------------------


def _callback_errors(cfg: DictConfig) -> Iterator[str]:
    given: Any = OmegaConf.to_container(cfg.callbacks)
    for name in CALLBACKS:
        if name in REQUIRED and given.get(name) is None:
            yield f"callbacks.{name}=null is not allowed, since {REQUIRED[name]}: leave it out"
    if given.get("early_stopping") is None and cfg.trainer.patience is not None:
        yield (
            "callbacks.early_stopping=null is without early stopping, which "
            f"trainer.patience={cfg.trainer.patience} asks for: type trainer.patience=null"
        )
    for name, entry in given.items():
        key = f"callbacks.{name}"
        if entry is None and name in CALLBACKS:
            continue
        if not isinstance(name, str) or not name.isidentifier():
            yield f"{key} is not a name for a callback: type one as a variable's, as callbacks.mine"
        elif not isinstance(entry, Mapping) or not isinstance(entry.get("_target_"), str):
            instead = f"{key}=null" if name in CALLBACKS else f"{key}._target_=my_callbacks.Mine"
            yield f"{key}={typed(entry)} is not a callback: type {instead}"
        elif name in CALLBACKS:
            yield from _ours(cfg, name, entry)
        else:
            yield from _own(key, dict(entry))


def _ours(cfg: DictConfig, name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """A callback of Odyssey's own: its class is fixed, and its arguments are options elsewhere."""
    key, arguments = f"callbacks.{name}", CALLBACKS[name]
    if not entry["_target_"].startswith(OURS):
        off = f"{key}=null and " if name not in REQUIRED else ""
        yield (
            f"{key}._target_={entry['_target_']} is not possible, since {name} is Odyssey's own: "
            f"type {off}callbacks.my_{name}._target_={entry['_target_']}"
        )
        return
    for argument, value in entry.items():
        option = arguments.get(argument)
        start = f"{key}.{argument}={typed(value)}"
        if option is not None:
            if value != OmegaConf.select(cfg, option):
                yield f"{start} is set by {option}: type {option}={typed(value)}"
        elif argument != "_target_":
            yield f"{start} is not an option of {name}: leave it out"


def _own(key: str, entry: dict[str, Any]) -> Iterator[str]:
    """A user's own callback, or one of Lightning's."""
    from pytorch_lightning import Callback

    kind = find_part(
        f"{key}._target_",
        entry.pop("_target_"),
        "callback",
        subclass_of(Callback),
        "a subclass of pytorch_lightning.Callback",
        "my_callbacks.Mine for class Mine in its file",
    )
    if isinstance(kind, str):
        yield kind
    else:
        yield from option_errors(f"{key}.", kind, entry)


# -- trainer.lightning -----------------------------------------------------------------------

Check = Callable[[str, Any], list[str]]


def _trainer_errors(cfg: DictConfig) -> Iterator[str]:
    given: Any = OmegaConf.to_container(cfg.trainer.lightning)
    if not given:
        return
    from pytorch_lightning import Trainer

    known = [name for name in inspect.signature(Trainer.__init__).parameters if name != "self"]
    free = sorted(set(known) - set(REFUSED))
    for name, value in given.items():
        key = f"trainer.lightning.{name}"
        if name in REFUSED and not (name in ("devices", "num_nodes") and value in (1, "1")):
            why, instead = REFUSED[name]
            instead = instead.format(value=typed(value))
            yield f"{key}={typed(value)} is not allowed, since {why}: type {instead}"
        elif name not in known:
            yield (
                f"{key}={typed(value)} is not an argument of Lightning's Trainer"
                f"{did_you_mean(str(name), known)}: type one of {options(free)}"
            )
        elif name in CHECKS:
            yield from CHECKS[name](key, value)


def _count(key: str, value: Any) -> list[str]:
    if type(value) is not int:
        return [f"{key}={typed(value)} is not a whole number: type one, as in {key}=2"]
    return at_least(key, value, 1)


def _limit(key: str, value: Any) -> list[str]:
    """A number of batches, or a share of them."""
    if type(value) is int:
        return at_least(key, value, 1)
    if type(value) is float and 0 < value <= 1:
        return []
    return [
        f"{key}={typed(value)} is not a limit: type a whole number of batches, or a share above 0 "
        "and up to 1.0"
    ]


def _switch(key: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return []
    return [f"{key}={typed(value)} is not true or false: type {key}=true or {key}=false"]


CHECKS: dict[str, Check] = {
    "accumulate_grad_batches": _count,
    "limit_train_batches": _limit,
    "limit_val_batches": _limit,
    "limit_test_batches": _limit,
    "num_sanity_val_steps": lambda key, value: (
        at_least(key, value, -1) if type(value) is int else _count(key, value)
    ),
    "profiler": lambda key, value: (
        one_of(key, value, ("simple", "advanced", "pytorch")) if value is not None else []
    ),
    "detect_anomaly": _switch,
    "enable_model_summary": _switch,
    "inference_mode": _switch,
    "benchmark": _switch,
    "deterministic": lambda key, value: [] if value == "warn" else _switch(key, value),
}
