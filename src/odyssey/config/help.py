"""`python train.py --help`: the groups with their choices, and every key with its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from omegaconf import MISSING

from odyssey.config.compose import groups
from odyssey.config.schema import (
    DECAYS,
    OPTIMIZERS,
    BpttConfig,
    CellConfig,
    ClipConfig,
    Config,
    LoggerConfig,
    ModelConfig,
    TrainerConfig,
)
from odyssey.config.tasks import TASKS

HEAD = """Train a recurrent cell on a task.

  python train.py cell=lstm task=charlm
  python train.py cell=gru task=mnist task.order=permuted bptt.length=100 clip=value
  python train.py experiment=jsb_greff cell=nfg
  python train.py -m cell=rnn,gru,lstm bptt.length=25,100 seed=0,1,2

A run lands in outputs/<study>/<cell>-<task>-<hash>; the same command again goes on with it, or
says that it is done.
"""


def help_text() -> str:
    """The whole text."""
    lines = [HEAD, "Choices (group=choice):"]
    lines += [f"  {name:<11}{_wrapped(choices)}" for name, choices in groups().items()]
    sections: list[tuple[str, str, Any]] = [
        ("Run", "", Config),
        ("Cell", "cell.", CellConfig),
        ("Model", "model.", ModelConfig),
        ("Truncation", "bptt.", BpttConfig),
        ("Clipping", "clip.", ClipConfig),
        ("Training", "trainer.", TrainerConfig),
        ("W&B", "logger.", LoggerConfig),
    ]
    sections += [(f"optimizer={n}", "optimizer.", c) for n, c in OPTIMIZERS.items()]
    sections += [(f"decay={n}", "decay.", c) for n, c in DECAYS.items()]
    sections += [(f"task={n}", "task.", c) for n, c in TASKS.items()]
    for title, prefix, config in sections:
        keys = list(_keys(config, prefix))
        if keys:
            lines += ["", f"{title} (key=value):"]
            lines += [f"  {name:<32}{default:<16}{text}" for name, default, text in keys]
    return "\n".join(lines)


def _wrapped(names: list[str], width: int = 86) -> str:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > width:
            lines.append(line)
            line = ""
        line += name + " "
    return ("\n" + " " * 13).join([*lines, line.rstrip()])


def _keys(config: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for field in dataclasses.fields(config):
        text = field.metadata.get("help")
        if text is None or field.name in ("kind", "name"):
            continue
        default = field.default
        if default is dataclasses.MISSING and callable(field.default_factory):
            default = field.default_factory()
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            if prefix:
                yield from _keys(type(default), f"{prefix}{field.name}.")
            continue
        if default == MISSING:
            default = ""
        elif default is None:
            default = "null"
        elif isinstance(default, bool):
            default = str(default).lower()
        yield f"{prefix}{field.name}", str(default), text
