"""W&B's public API, with a sentence for each thing that may be wrong on the way there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from odyssey.errors import UserError

WAY_IN = "type `wandb login` or set WANDB_API_KEY"


def split_path(text: str, option: str = "--wandb") -> tuple[str, str]:
    """`entity/project` as the two. Raises UserError, which names `option`, for anything else."""
    parts = text.strip().strip("/").split("/")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise UserError(
            f"{option} {text} is not a W&B project: type the user or team and the project, as in "
            f"{option} my-team/odyssey"
        )
    return parts[0], parts[1]


@contextmanager
def connected(doing: str, path: str) -> Iterator[Any]:
    """A `wandb.Api` that never asks for a key at the terminal, nor leaves folders behind.

    doing, path: what a sentence about a failure says, `reading W&B's runs`, and of which project.

    Raises UserError where there is no login, it is not accepted, W&B does not answer, there is no
    such project, or it may not be read or written.
    """
    import wandb

    # It makes a folder for each run that it reads.
    with tempfile.TemporaryDirectory() as folder, _environment("WANDB_DIR", folder):
        try:
            wandb.setup(settings=wandb.Settings(silent=True))  # a silent one does not prompt
            yield wandb.Api()
        except UserError:
            raise
        except Exception as error:  # its own, its service's, requests', pydantic's
            raise UserError(_sentence(error, doing, path)) from None


def _sentence(error: Exception, doing: str, path: str) -> str:
    """What went wrong, and what to type."""
    import wandb

    why = " ".join(str(error).split()).removeprefix("input: ").rstrip(".") or type(error).__name__
    host = os.environ.get("WANDB_BASE_URL", "its server")
    if isinstance(error, wandb.errors.UsageError):
        return f"{doing} needs a W&B login, and there is none: {WAY_IN}"
    if re.search(r"busy|time[d ]*out|connect|dial tcp|no such host", why, re.IGNORECASE):
        return f"{doing}: W&B at {host} did not answer; check the network and WANDB_BASE_URL"
    if isinstance(error, wandb.errors.AuthenticationError):
        return (
            f"{doing}: W&B at {host} did not accept the login ({why}); type `wandb login --relogin`"
        )
    if re.search(r"not.?find project|project .* not found|\b404\b", why, re.IGNORECASE):
        return (
            f"{doing}: W&B has no project {path} that this login may see ({why}); check the user "
            "or team, the project's name, and `wandb login`"
        )
    if re.search(r"permission|forbidden|unauthori[sz]ed|denied|\b40[13]\b", why, re.IGNORECASE):
        return (
            f"{doing}: this login has no right to do that in {path} ({why}); ask its owner, or "
            "type `wandb login --relogin` with another account"
        )
    return f"{doing}: W&B at {host} could not do it ({why}); the same command tries again"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
