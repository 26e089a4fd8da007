"""What makes two runs the same run: what determines the result, wherever that lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from odyssey.code_hash import source_hash
from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.config.seeds import identify as identify_seeds
from odyssey.config.task_schema import CHORALES
from odyssey.registry import PACKAGE, cell_name, entry_of, plain


def config_hash(cfg: DictConfig) -> str:
    """SHA-256 (hex) of what determines the result of a run.

    That is the configuration without the keys that change no result, with the content of the data
    in place of its path, and with the source of classes of the user's own in place of their
    modules. Raises UserError where a file of the user's cannot be read.
    """
    content = plain(cfg)
    for key in NEUTRAL_KEYS:
        node = content
        *parents, last = key.split(".")
        for part in parents:
            node = node.get(part) or {}
        node.pop(last, None)
    identify_seeds(content)
    if (start := content.pop("init_from", None)) is not None:
        content["init_from"] = start_hash(start)
    _identify_data(content.get("task", {}))
    _identify_classes(content)
    for section in ("cell", "model"):
        init = content.get(section, {}).get("init", {})
        for name, kind in init.items():
            if isinstance(kind, str) and "." in kind and (source := source_hash(kind)) is not None:
                init[name] = f"{kind.rpartition('.')[2]} {source}"
    # Sections that users fill are part of it only where they have.
    sections = (
        (content, "callbacks"),
        (content, "metrics"),
        (content.get("trainer", {}), "lightning"),
    )
    for holder, name in sections:
        if not holder.get(name):
            holder.pop(name, None)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def data_options(cfg: DictConfig) -> str:
    """The options that choose the data, as typed: `task=charlm task.data=file task.path=a.txt`."""
    path = cfg.task.get("path")
    place = "" if path is None else f" task.path={path}"
    return f"task={cfg.task.name} task.data={cfg.task.data}{place}"


def data_hash(cfg: DictConfig) -> str | None:
    """SHA-256 (hex) of the content of the data; None where the name of the data determines it.

    Of a file of the user's it is the one that loading it gives. Raises UserError where the file
    cannot be read.
    """
    from odyssey.data.identity import content_hash

    return content_hash(cfg.task.data, cfg.task.get("path"))


@contextmanager
def unchanging() -> Iterator[None]:
    """A block, or the calls of a function, in which no data of the user's are taken to change."""
    from odyssey.data import identity

    with identity.unchanging():
        yield


def run_name(cfg: DictConfig) -> str:
    """The name of the run's folder: `<cell>-<task>-<the first 8 digits of its hash>`."""
    return f"{cell_name(cfg.cell._target_)}-{cfg.task.name}-{config_hash(cfg)[:8]}"


def start_hash(run: str) -> str:
    """SHA-256 (hex) of the checkpoint that `init_from` names by its run's folder.

    Raises UserError where it cannot be read.
    """
    from odyssey.data.identity import file_hash

    return file_hash(Path(run) / "checkpoints" / "best.ckpt", "init_from")


def _identify_data(task: dict[str, Any]) -> None:
    """Put the hash of the content in place of the path."""
    from odyssey.data.identity import content_hash

    data, path = task.get("data", ""), task.pop("path", None)
    # Options of the user's own data alone: runs on others are called as before there were these.
    for option, usual in (("resolution", CHORALES), ("size", None)):
        if data not in ("midi", "folder") and task.get(option, "") == usual:
            task.pop(option)
    digest = content_hash(data, path)
    if digest is not None:
        task["content"] = digest


def _identify_classes(value: Any) -> None:
    """Put the name and source of classes of the user's own in place of their addresses."""
    if isinstance(value, list):
        for item in value:
            _identify_classes(item)
    if not isinstance(value, dict):
        return
    target = value.get("_target_")
    if isinstance(target, str):
        if (entry := entry_of(target)) is not None:
            value["_target_"] = PACKAGE + entry.kind
        elif (source := source_hash(target)) is not None:
            value["_target_"] = f"{target.rpartition('.')[2]} {source}"
    for inner in value.values():
        _identify_classes(inner)
