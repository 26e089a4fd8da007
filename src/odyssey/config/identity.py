"""What makes two runs the same run: the configuration that determines the result."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config import keys
from odyssey.config.schema import NEUTRAL_KEYS

OURS = "odyssey.cells."


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain dicts, lists and values."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def config_hash(cfg: DictConfig) -> str:
    """SHA-256 (hex) of the configuration without the keys that change no result."""
    content = plain(cfg)
    for key in NEUTRAL_KEYS:
        node = content
        *parents, last = key.split(".")
        for part in parents:
            node = node.get(part) or {}
        node.pop(last, None)
    # Sections that users fill are part of it only where they have.
    for section, name in ((content, "callbacks"), (content["trainer"], "lightning")):
        if not section.get(name):
            section.pop(name, None)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def cell_name(cfg: DictConfig) -> str:
    """What the cell is called in folders, tables and W&B: `lstm`; `my_cell` for my_cells.MyCell.

    The same as odyssey.cells.name_of, without torch, which looking at the class would take.
    """
    target = cfg.cell._target_
    last = target.rpartition(".")[2]
    if target.startswith(OURS) and last in _our_cells():
        return _our_cells()[last]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", last).lower()


@cache
def _our_cells() -> dict[str, str]:
    """Class -> name, as the files of conf/cell have it."""
    found = {}
    for name in keys.choices("cell"):
        file: Any = OmegaConf.load(keys.CONF / "cell" / f"{name}.yaml")
        found[file._target_.rpartition(".")[2]] = name
    return found


def run_name(cfg: DictConfig) -> str:
    """The name of the run's folder: `<cell>-<task>-<the first 8 digits of its hash>`."""
    return f"{cell_name(cfg)}-{cfg.task.name}-{config_hash(cfg)[:8]}"
