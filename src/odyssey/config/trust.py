"""Code that a run's folder names and that is not Odyssey's: run only for who asks for it.

A folder may come from somebody else. What its `config.yaml` names as a cell or a task is imported
to build the model, and importing a module runs it, whatever module that is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from odyssey.cli_utils import see_current_folder
from odyssey.code_hash import source_hash, spec_of
from odyssey.config.parts import INITIALIZERS
from odyssey.errors import UserError
from odyssey.registry import entry_of

TARGET = "_target_"
# What torch has for the keys of such parts, and is known to do no more than they are to do.
OF_TORCH = {
    **dict.fromkeys(INITIALIZERS, re.compile(r"torch\.nn\.init\.\w+_")),
    f"optimizer.{TARGET}": re.compile(r"torch\.optim\.[A-Z]\w+"),
    f"decay.{TARGET}": re.compile(r"torch\.optim\.lr_scheduler\.[A-Z]\w+"),
}


# The tasks of Odyssey's that are named as a user's own are.
OF_ODYSSEY = ("odyssey.tasks.series.Series",)


def own_parts(cfg: Any) -> dict[str, str]:
    """What is imported to build a run's model and task, and is not Odyssey's: key -> target."""
    keys = [f"cell.{TARGET}", f"task.{TARGET}", *INITIALIZERS]
    keys += [f"metrics.{name}.{TARGET}" for name, entry in cfg.metrics.items() if entry is not None]
    found = {key: OmegaConf.select(cfg, key) for key in keys}
    return {key: target for key, target in found.items() if target and _is_own(key, target)}


def _is_own(key: str, target: Any) -> bool:
    """Whether the value of a key names code that is neither Odyssey's nor torch's."""
    if key in OF_TORCH:
        return "." in str(target) and OF_TORCH[key].fullmatch(str(target)) is None
    if key == f"task.{TARGET}" and target in OF_ODYSSEY:
        return False
    return key != f"cell.{TARGET}" or entry_of(str(target)) is None


def check_trust(
    run: Path, cfg: Any, recorded: Mapping[str, str | None], trust: bool, option: str
) -> None:
    """See that what the configuration of a run names may be imported, and is what it was.

    recorded: key -> SHA-256 of the source of such a part when the run was trained
    trust: whether the user has said that code of others may be run
    option: how that is said, as `--trust`

    Raises UserError, before anything is imported, where it may not be.
    """
    for key, target in own_parts(cfg).items():
        if not trust:
            raise UserError(
                f"{run} has {key}={target}, which is no part of Odyssey's and would be run: give "
                f"{option} if you know whose code it is"
            )
        see_current_folder()
        then, now = recorded.get(key), source_hash(target)
        # An installed package's part has no hash, then as now.
        if then != now and _is_there(target):
            raise UserError(
                f"the source of {key}={target} is not that which {run} was trained with (sha256 "
                f"{_short(then)} then, {_short(now)} now): put the old file back, or start from "
                "the folder that has it"
            )


def _short(sha256: str | None) -> str:
    return f"{sha256[:12]}…" if sha256 else "none"


def _is_there(target: str) -> bool:
    """Whether there is the module of a class or function, in memory or as a file."""
    module = target.rpartition(".")[0]
    try:
        return module in sys.modules or spec_of(module) is not None
    except (ImportError, ValueError, AttributeError):  # of a finder that is not Python's
        return False


def own_words(words: Iterable[str]) -> list[str]:
    """The words of a command line that name such code, or where Hydra is to look for some."""
    found = []
    for word in words:
        key, _, value = word.partition("=")
        name = key.lstrip("+~").partition("@")[0]
        target = value.strip("'\"")
        inside = TARGET in value or name.startswith("hydra")
        if inside or ((name.endswith(TARGET) or name in INITIALIZERS) and _is_own(name, target)):
            found.append(word)
    return found
