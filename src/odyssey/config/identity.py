"""What makes two runs the same run: the configuration that determines the result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.registry import cell_name


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


def run_name(cfg: DictConfig) -> str:
    """The name of the run's folder: `<cell>-<task>-<the first 8 digits of its hash>`."""
    return f"{cell_name(cfg.cell._target_)}-{cfg.task.name}-{config_hash(cfg)[:8]}"
