"""`python train.py --help`: the groups with their choices, and every key with its meaning."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from omegaconf import MISSING

from odyssey.config import keys
from odyssey.config.fields import as_typed
from odyssey.config.schema import (
    DECAYS,
    OPTIMIZERS,
    BpttConfig,
    CellConfig,
    ClipConfig,
    Config,
    LoggerConfig,
    ModelConfig,
    ResumeConfig,
    TrainerConfig,
)
from odyssey.config.task_schema import TASKS

HEAD = """Train a recurrent cell on a task, or many as a study.

  python train.py cell=lstm task=charlm
  python train.py cell=gru task=mnist task.order=permuted bptt.length=100 clip=value
  python train.py -m cell=rnn,gru,lstm bptt.length=25,100 seed=0,1,2 study=truncation
  python train.py -m sweep=greff experiment=jsb_greff hydra.sweeper.trials=5 study=greff

A run lands in outputs/<study>/<cell>-<task>-<hash>; the same command again goes on with it, or
says that it is done. --cfg job shows the configuration and runs nothing.

-m makes a study: every combination of the values given, or what a sweep=… searches.
  hydra.launcher.n_jobs=4     runs at a time on this machine (hydra/launcher=ray_cluster, slurm: on
                              several; each needs an extra, see docs/cluster.md)
  hydra/sweeper=search        draws 'key=interval(1,2)' and 'key=tag(log,interval(1e-4,1e-1))';
                              with hydra.sweeper.trials=20, .sampler=random|sobol|tpe,
                              .draws=shared|independent, .seed=0, .only=[17]
  python scripts/status.py outputs/<study> shows how far a study is.
"""
WIDTH = 100


def help_text() -> str:
    """The whole text."""
    lines = [HEAD]
    for group, meaning in keys.GROUPS.items():
        lines.append(f"{group}=… ({meaning}):")
        for name in keys.choices(group):
            lines += _entry(f"{group}={name}", _meaning(group, name), 30)
        lines.append("")
    sections: list[tuple[str, str, Any]] = [
        ("Run", "", Config),
        ("Cell", "cell.", CellConfig),
        ("Model", "model.", ModelConfig),
        ("Truncation", "bptt.", BpttConfig),
        ("Clipping", "clip.", ClipConfig),
        ("Training", "trainer.", TrainerConfig),
        ("W&B", "logger.", LoggerConfig),
        ("Resuming", "resume.", ResumeConfig),
    ]
    sections += [(f"optimizer={n}", "optimizer.", c) for n, c in OPTIMIZERS.items()]
    sections += [(f"decay={n}", "decay.", c) for n, c in DECAYS.items()]
    sections += [(f"task={n}", "task.", c) for n, c in TASKS.items()]
    for title, prefix, config in sections:
        entries = list(_keys(config, prefix))
        if entries:
            lines.append(f"{title} (key=default):")
            for name, text in entries:
                lines += _entry(name, text, 38)
            lines.append("")
    return "\n".join(lines)


def _entry(name: str, text: str, indent: int) -> list[str]:
    """`name` and its text, which is wrapped to a column of its own."""
    head = f"  {name}".ljust(indent - 1) + " "
    return textwrap.wrap(
        head + text,
        WIDTH,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
        drop_whitespace=True,
    )


def _meaning(group: str, name: str) -> str:
    """The first sentence of a choice's file, below the command that runs it."""
    lines = []
    for line in (keys.CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(("# @package", "# python train.py")):
            lines.append(line.lstrip("# "))
    return re.split(r"\. (?=[A-Z])", " ".join(lines))[0].rstrip(".")


def _keys(config: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """`key=default` and the meaning of each key of a schema."""
    for field in dataclasses.fields(config):
        key = prefix + field.name
        text = field.metadata.get("help")
        default = field.default
        if default is dataclasses.MISSING and callable(field.default_factory):
            default = field.default_factory()
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            if prefix:
                yield from _keys(type(default), f"{key}.")
        elif text is not None and key not in keys.CHOSEN_BY and key not in keys.GROUPS:
            yield f"{key}={'' if default in (MISSING, {}) else as_typed(default)}", text
