"""What can be wrong with an optimizer, schedule, initializer, metric, logger or task of one's own.

torch is imported only where the configuration names such a part.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.fields import as_typed
from odyssey.config.own import find_part, one_line, option_errors, subclass_of, takes, typed
from odyssey.registry import load_class

# The keys of initializers: each takes a function of the user's own too.
INITIALIZERS = (
    *(f"cell.init.{name}" for name in ("input", "recurrent", "bias", "vector")),
    "model.init.kind",
    "model.init.bias",
)
OWN = "own"  # the choice of a group whose _target_ the user names
# The bases of tasks and metrics, by name: tasks are made from configurations, and so lie above.
TASK, METRIC = "odyssey.tasks.base.Task", "odyssey.tasks.base.TaskMetric"


def part_errors(cfg: DictConfig) -> Iterator[str]:
    """One sentence for each thing wrong with such parts."""
    if cfg.optimizer.kind == OWN:
        yield from _optimizer(cfg.optimizer)
    if cfg.decay.kind == OWN:
        yield from _decay(cfg.decay)
    for name in INITIALIZERS:
        if is_function(kind := OmegaConf.select(cfg, name)):
            yield from _initializer(name, kind)
    yield from _section(cfg, "metrics", "metric", "my_metrics.Mine for class Mine in its file")
    yield from _section(
        cfg, "loggers", "logger", "pytorch_lightning.loggers.CSVLogger, or one of your own"
    )
    if "_target_" in cfg.task:
        yield from _task(cfg.task, cfg.seeds.split)


def is_function(kind: str | None) -> bool:
    """Whether an initializer is one of the user's own, or torch's, by its module."""
    return kind is not None and "." in kind


def _optimizer(cfg: DictConfig) -> Iterator[str]:
    from torch.optim import LBFGS, Optimizer

    kind = find_part(
        "optimizer._target_",
        cfg._target_,
        "optimizer",
        subclass_of(Optimizer),
        "a subclass of torch.optim.Optimizer",
        "torch.optim.NAdam, or my_optim.Mine for class Mine in my_optim.py",
    )
    if isinstance(kind, str):
        yield kind
        return
    if issubclass(kind, LBFGS) or _needs_closure(kind):
        yield (
            f"optimizer._target_={cfg._target_} is not possible, since it evaluates the loss "
            "several times an update, and a batch is seen once: type another optimizer"
        )
        return
    if wrong := _without(kind):
        yield f"optimizer._target_={cfg._target_} is not usable: {wrong}"
        return
    given: Any = OmegaConf.to_container(cfg.options)
    yield from _taken("optimizer.options.", given, ("lr", "weight_decay"), "optimizer.")
    yield from option_errors("optimizer.options.", kind, given, ("params", "lr", "weight_decay"))
    if cfg.weight_decay and not takes(kind, "weight_decay"):
        yield (
            f"optimizer.weight_decay={as_typed(cfg.weight_decay)} is not an option of "
            f"{kind.__name__}: type optimizer.weight_decay=0"
        )


def _needs_closure(kind: Any) -> bool:
    """Whether `step` cannot be called without a closure."""
    closure = inspect.signature(kind.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _without(kind: Any) -> str | None:
    """What an optimizer's class lacks to be called; None if nothing."""
    from torch.optim import Optimizer

    if kind.step is Optimizer.step:
        return f"define step(self, closure=None) in {kind.__name__}"
    if not takes(kind.step, "closure"):
        return (
            f"let its step take the closure, as in def step(self, closure=None) of {kind.__name__}"
        )
    if not takes(kind, "lr"):
        return f"let {kind.__name__} take the learning rate, as in def __init__(self, params, lr)"
    return None


def _decay(cfg: DictConfig) -> Iterator[str]:
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    kind = find_part(
        "decay._target_",
        cfg._target_,
        "schedule",
        subclass_of(LRScheduler),
        "a subclass of torch.optim.lr_scheduler.LRScheduler",
        "torch.optim.lr_scheduler.OneCycleLR, or my_optim.Mine for class Mine in my_optim.py",
    )
    if isinstance(kind, str):
        yield kind
        return
    if issubclass(kind, ReduceLROnPlateau) and cfg.every != "validation":
        yield (
            f"decay.every={cfg.every} is not possible with {kind.__name__}, which looks at the "
            "validation: type decay.every=validation"
        )
    given: Any = OmegaConf.to_container(cfg.options)
    yield from option_errors("decay.options.", kind, given, ("optimizer",))


def _initializer(key: str, target: str) -> Iterator[str]:
    found = find_part(
        key,
        target,
        "function",
        lambda one: callable(one) and not isinstance(one, type),
        "the name of a function that fills a tensor in place",
        "torch.nn.init.xavier_normal_, or my_init.mine for the function mine in my_init.py",
    )
    if isinstance(found, str):
        yield found


def _section(cfg: DictConfig, section: str, what: str, example: str) -> Iterator[str]:
    """`metrics` or `loggers`: name -> {_target_: …, options}."""
    given: Any = OmegaConf.to_container(cfg[section])
    for name, entry in given.items():
        key = f"{section}.{name}"
        if entry is None:
            continue
        if not isinstance(name, str) or not name.isidentifier():
            yield f"{key} is not a name for a {what}: type one as a variable's, as {section}.mine"
        elif not isinstance(entry, Mapping) or not isinstance(entry.get("_target_"), str):
            yield f"{key}={typed(entry)} is not a {what}: type {key}._target_={example}"
        else:
            base, like = _base_of(what)
            options = {k: v for k, v in entry.items() if k != "_target_"}
            kind = find_part(
                f"{key}._target_", entry["_target_"], what, subclass_of(base), like, example
            )
            if isinstance(kind, str):
                yield kind
            else:
                yield from option_errors(f"{key}.", kind, options, ("save_dir",))
                if missing := _undefined(kind):
                    yield (
                        f"{key}._target_={entry['_target_']} is not usable, since "
                        f"{kind.__name__} does not define {missing}"
                    )
                elif what == "metric":
                    yield from _metric(f"{key}._target_={entry['_target_']}", kind)


def _metric(start: str, kind: Any) -> Iterator[str]:
    """What is wrong with the fields of a metric's class."""
    if kind.mode not in ("min", "max"):
        yield f'{start} has mode = {kind.mode!r}: set it to "min" or "max"'
    for field in ("label", "unit"):
        if not isinstance(value := getattr(kind, field), str):
            yield f"{start} has {field} = {value!r}: set it to a text, or leave it out"


def _base_of(what: str) -> tuple[type, str]:
    if what == "logger":
        from pytorch_lightning.loggers import Logger

        return Logger, "a subclass of pytorch_lightning.loggers.Logger"
    return load_class(METRIC), f"a subclass of {METRIC}"


def _task(cfg: DictConfig, split: int | None) -> Iterator[str]:
    kind = find_part(
        "task._target_",
        cfg._target_,
        "task",
        subclass_of(load_class(TASK)),
        f"a subclass of {TASK}",
        "my_tasks.Mine for class Mine in my_tasks.py",
    )
    if isinstance(kind, str):
        yield kind
        return
    if missing := _undefined(kind):
        yield (
            f"task._target_={cfg._target_} is not usable, since {kind.__name__} does not define "
            f"{missing}"
        )
        return
    given: Any = OmegaConf.to_container(cfg.options)
    taken = ("self", "cfg", "data_dir", "seed", "window", "split_seed", "kwargs")
    yield from option_errors("task.options.", kind.configure, given, taken)
    try:
        yield from kind.check(cfg)
        if split is not None and not kind.draws_split(cfg):
            yield (
                f"seeds.split={split} is without effect with task={cfg.name} as it is set, which "
                "draws no split: leave it out"
            )
    except Exception as error:  # whatever a user's class raises
        yield f"task._target_={cfg._target_} is not usable: {one_line(error)}"


def _undefined(kind: type) -> str:
    """The abstract methods that a class leaves undefined, with commas."""
    return ", ".join(sorted(getattr(kind, "__abstractmethods__", ())))


def _taken(
    prefix: str, given: dict[str, Any], names: tuple[str, ...], instead: str
) -> Iterator[str]:
    """A sentence for each option that has a key of its own; it is removed from `given`."""
    for name in names:
        if name in given:
            value = as_typed(given.pop(name))
            yield f"{prefix}{name}={value} has a key of its own: type {instead}{name}={value}"
