"""`python train.py … --help`: the groups with their choices, and what each key would be."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.cli_utils import SCRIPTS, columns, typed_as
from odyssey.config import keys, sources
from odyssey.config.compose import compose
from odyssey.config.fields import as_typed
from odyssey.config.schema import (
    BpttConfig,
    CellConfig,
    ClipConfig,
    Config,
    LoggerConfig,
    ModelConfig,
    PlanConfig,
    ResumeConfig,
    SeedsConfig,
    TrainerConfig,
)
from odyssey.errors import UserError

HEAD = """Train a recurrent cell on a task, or many as a study.

  python train.py cell=lstm task=charlm
  python train.py cell=gru task=mnist task.order=permuted clip=value
  python train.py -m cell=rnn,gru,lstm seed=0,1,2 study=first
  python train.py -m sweep=greff experiment=jsb_greff study=greff"""
PARAGRAPHS = (
    "A run lands in outputs/<study>/<cell>-<task>-<hash>; the same command again goes on with it, "
    "or says that it is done. --cfg job shows the configuration and runs nothing. Files of your "
    "own, laid out as conf/ is, are found with --config-dir FOLDER.",
    "-m makes a study: every combination of the values given, or what a sweep=… searches. "
    "python scripts/status.py outputs/<study> shows how far it is.",
)
OF_STUDIES = {
    "hydra.launcher.n_jobs=4": "runs at a time on this machine",
    "hydra/launcher=slurm": "or ray_cluster: on several machines; each needs an extra, see "
    "docs/cluster.md",
    "hydra/sweeper=search": "draws 'key=interval(1,2)' and 'key=tag(log,interval(1e-4,1e-1))', "
    "with hydra.sweeper.trials=20, .sampler=random|sobol|tpe, .draws=shared|independent, .seed=0, "
    ".only=[17]",
}


def help_text(words: Sequence[str] = (), width: int | None = None) -> str:
    """The whole text, with the values that a run of these words would have.

    Words that are wrong are passed over. width: of a line, in characters; None: the terminal's.
    """
    width = columns() if width is None else width
    return (
        _text(words, width)
        .replace(SCRIPTS["train"], typed_as("train"))
        .replace(SCRIPTS["status"], typed_as("status"))
    )


def _text(words: Sequence[str], width: int) -> str:
    cfg = _composed(words)
    lines = [_here(HEAD), ""]
    for paragraph in PARAGRAPHS:
        lines += [*textwrap.wrap(_here(paragraph), width, break_on_hyphens=False), ""]
    lines = lines[:-1] + _entries(OF_STUDIES.items(), width) + [""]
    for group, meaning in keys.GROUPS.items():
        lines.append(f"{group}=… ({meaning}):")
        names = [(f"{group}={n}", _meaning(group, n)) for n in sources.choices(group)]
        lines += [*_entries(names, width), ""]
    for title, prefix, schema in _sections(cfg):
        if entries := list(_keys(schema, prefix, cfg)):
            lines += [f"{title} (key=value):", *_entries(entries, width), ""]
    example = "task=mnist" if cfg.task.name != "mnist" else "task=music"
    lines += textwrap.wrap(
        f"Other choices have keys of their own: {typed_as('train')} {example} --help shows those "
        "of that task, and what would be their values.",
        width,
    )
    return "\n".join(lines)


def _here(text: str) -> str:
    """With the commands as they are typed here."""
    for name, script in SCRIPTS.items():
        text = text.replace(script, typed_as(name))
    return text


def _composed(words: Sequence[str]) -> DictConfig:
    """The configuration of the words, or of those among them that choose from a group."""
    chosen = [w for w in words if w.partition("=")[0] in keys.GROUPS]
    for attempt in (words, chosen, [w for w in chosen if w.startswith("task=")]):
        try:
            return compose(attempt)
        except UserError:
            continue
    return compose([])


def _sections(cfg: DictConfig) -> list[tuple[str, str, Any]]:
    """Title, prefix of the keys and schema of each section."""
    own = [(f"{g}={n}", f"{g}.", keys.SCHEMAS[g][n]) for g, n in _chosen(cfg).items()]
    return [
        ("Run", "", Config),
        ("Cell", "cell.", CellConfig),
        *own[-1:],
        ("Model", "model.", ModelConfig),
        ("Truncation", "bptt.", BpttConfig),
        *own[:-1],
        ("Clipping", "clip.", ClipConfig),
        ("Training", "trainer.", TrainerConfig),
        ("Plan of a study's analysis", "plan.", PlanConfig),
        ("Seeds", "seeds.", SeedsConfig),
        ("W&B", "logger.", LoggerConfig),
        ("Resuming", "resume.", ResumeConfig),
    ]


def _chosen(cfg: DictConfig) -> dict[str, str]:
    """The choice of each group of keys.SCHEMAS, the task last."""
    return {group: keys.choice_of(cfg, group) for group in keys.SCHEMAS}


def _entries(pairs: Any, width: int) -> list[str]:
    """Each name and its text, which is wrapped to a column of its own."""
    pairs = list(pairs)
    longest = max((len(name) for name, _ in pairs), default=0)
    indent = min(max(longest + 4, 20), 38 if width >= 90 else 32)
    lines = []
    for name, text in pairs:
        head = f"  {name}".ljust(indent)
        if not head.endswith("  "):  # too long for its column
            lines.append(f"  {name}")
            head = " " * indent
        wrapped = textwrap.wrap(
            text, max(width - indent, 20), break_on_hyphens=False, break_long_words=False
        )
        if not wrapped and head.strip():
            lines.append(head.rstrip())
        lines += [head + line if i == 0 else " " * indent + line for i, line in enumerate(wrapped)]
    return lines


def _meaning(group: str, name: str) -> str:
    """The first sentence of a choice's file, below the command that runs it."""
    lines = []
    for line in sources.find(group, name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(("# @package", "# python train.py", "# odyssey train")):
            lines.append(line.lstrip("# "))
    return re.split(r"\. (?=[A-Z])", " ".join(lines))[0].rstrip(".")


def _keys(schema: Any, prefix: str, cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """`key=value` and the meaning of each key of a schema."""
    for field in dataclasses.fields(schema):
        key = prefix + field.name
        text = field.metadata.get("help")
        inner = field.default_factory
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            if prefix:
                yield from _keys(inner, f"{key}.", cfg)
        elif text is not None and key not in keys.CHOSEN_BY and key not in keys.GROUPS:
            value: Any = OmegaConf.select(cfg, key)
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value)
            if isinstance(value, dict) and value:  # options of a part: one line for each
                for i, (name, inner_value) in enumerate(value.items()):
                    yield f"{key}.{name}={as_typed(inner_value)}", "" if i else text
                continue
            yield f"{key}={'' if value == {} else as_typed(value)}", text
