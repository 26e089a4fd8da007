"""The tasks, by name. Each module is imported when its task is built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from odyssey.errors import UserError, did_you_mean, options
from odyssey.registry import load_class

if TYPE_CHECKING:
    from odyssey.tasks.base import Task

TASKS = {  # name -> module:class or function
    "charlm": "odyssey.tasks.language_model:CharLM",
    "wordlm": "odyssey.tasks.language_model:WordLM",
    "sentiment": "odyssey.tasks.sentiment:Sentiment",
    "mnist": "odyssey.tasks.mnist:Mnist",
    "music": "odyssey.tasks.music:Music",
    "synthetic": "odyssey.tasks.synthetic:synthetic",
}


def build(
    cfg: Any, *, data_dir: str | None, seed: int, window: int | None, split_seed: int = 0
) -> Task:
    """The task `cfg.name`, not loaded yet; the arguments are those of `Task`. Raises UserError."""
    given: dict[str, Any] = {"data_dir": data_dir, "seed": seed, "window": window}
    if split_seed:  # which a class of the user's own need not take
        given["split_seed"] = split_seed
    if getattr(cfg, "_target_", None) is not None:
        try:
            own: Task = load_class(cfg._target_)(cfg, **given)
            return own
        except (TypeError, ValueError) as error:
            raise UserError(f"task._target_={cfg._target_} cannot be made: {error}") from error
    if cfg.name not in TASKS:
        hint = did_you_mean(cfg.name, TASKS)
        raise UserError(f"task={cfg.name} is unknown{hint}: type one of {options(TASKS)}")
    module, _, maker = TASKS[cfg.name].partition(":")
    task: Task = getattr(import_module(module), maker)(cfg, **given)
    return task
