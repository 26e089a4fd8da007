"""W&B's own environment variables, as the defaults of `logger.…`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from omegaconf import DictConfig

from odyssey.errors import UserError, options

# As W&B reads them; dryrun and run are its former names.
MODES = {
    "offline": "offline",
    "online": "online",
    "disabled": "disabled",
    "dryrun": "offline",
    "run": "online",
}
VARIABLES = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "dir": "WANDB_DIR",
    "notes": "WANDB_NOTES",
}


def fill_logger(logger: DictConfig, environment: Mapping[str, str] = os.environ) -> None:
    """Give the keys of `logger` that are null their value from W&B's variables, or the default.

    Raises UserError for a WANDB_MODE that is none.
    """
    if logger.mode is None:
        logger.mode = _mode(environment)
    for key, variable in VARIABLES.items():
        if logger[key] is None:
            logger[key] = environment.get(variable) or None
    if logger.project is None:
        logger.project = "odyssey"
    if logger.tags is None:
        given = environment.get("WANDB_TAGS", "").split(",")
        logger.tags = [tag.strip() for tag in given if tag.strip()]


def _mode(environment: Mapping[str, str]) -> str:
    given = environment.get("WANDB_MODE", "")
    if given.lower() not in ("", *MODES):
        raise UserError(
            f"WANDB_MODE={given} is no mode of W&B that is known here: set it to "
            f"{options(('online', 'offline', 'disabled'))}, or type logger.mode=…"
        )
    return MODES.get(given.lower(), "offline")
