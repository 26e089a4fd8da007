"""Whether a study's data can be had, asked once for each of its tasks before the first run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from omegaconf import DictConfig

from odyssey.config.identity import data_options
from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.registry import plain


def data_key(cfg: DictConfig, drawn: Collection[str] = ()) -> str:
    """What decides whether a run's data can be loaded, as a text; empty where it needs none.

    drawn: keys that are left out, since each trial has another value.
    """
    if cfg.task.name == "synthetic":
        return ""
    task = {
        name: value
        for name, value in plain(cfg.task).items()
        if f"task.{name}" not in NEUTRAL_KEYS and f"task.{name}" not in drawn
    }
    return json.dumps([task, cfg.data_dir], sort_keys=True)


def load(cfg: DictConfig) -> dict[str, Any]:
    """Load the data of a run and forget them; a trial's task function, for any launcher.

    Returns `status` (loaded or refused) and `errors`, sentences.
    """
    from odyssey.config.compose import finish
    from odyssey.errors import UserError
    from odyssey.training.build import load_task
    from odyssey.training.failure import last_lines
    from odyssey.training.start import Beginning

    cfg = finish(cfg)
    try:
        load_task(cfg, None if cfg.init_from is None else Beginning(cfg).learned(cfg))
    except UserError as error:
        return refused(cfg, *error.messages)
    except Exception as error:  # whatever a task of the user's own raises
        return refused(cfg, f"{_named(cfg)} cannot be loaded: {last_lines(error).splitlines()[-1]}")
    return {"status": "loaded", "errors": []}


def died(cfg: DictConfig, error: str) -> dict[str, Any]:
    """What `load` returns where its process has ended without a word; `error` says how."""
    return refused(cfg, f"{_named(cfg)} cannot be loaded: {error}")


def refused(cfg: DictConfig, *errors: str) -> dict[str, Any]:
    return {"status": "refused", "errors": list(errors)}


def errors_in(returned: Any) -> list[str]:
    """The sentences of one JobReturn of `load`."""
    value = getattr(returned, "_return_value", None)
    if isinstance(value, Mapping):
        return list(value.get("errors") or ([str(value["error"])] if value.get("error") else []))
    return [f"the data cannot be loaded: {value}"] if isinstance(value, Exception) else []


def _named(cfg: DictConfig) -> str:
    own = cfg.task.get("_target_")
    return data_options(cfg) if own is None else f"task._target_={own}"
