"""Weights & Biases, mirroring the run folder: one W&B run for each run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odyssey.errors import UserError

NO_LOGIN = (
    "logger.mode=online needs a W&B login: type `wandb login`, set WANDB_API_KEY, or keep "
    "logger.mode=offline and upload later with `wandb sync`"
)


def check_login(mode: str) -> None:
    """Raise UserError where `online` was asked for and there is no key. Before anything else."""
    if mode != "online":
        return
    import wandb

    if not (os.environ.get("WANDB_API_KEY") or wandb.setup().settings.api_key or _netrc()):
        raise UserError(NO_LOGIN)


def _netrc() -> bool:
    from requests.utils import get_netrc_auth

    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return get_netrc_auth(base) is not None


class Tracker:
    """One run's W&B run, or nothing at all with `mode=disabled`."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.run: Any = None

    def start(
        self,
        *,
        output_dir: str,
        project: str,
        entity: str | None,
        name: str,
        study: str,
        cell: str,
        config: Mapping[str, Any],
        id: str | None,
    ) -> dict[str, Any] | None:
        """Begin, or go on with the run `id`; returns what `run.json` keeps of it."""
        if self.mode == "disabled":
            return None
        import wandb

        os.makedirs(output_dir, exist_ok=True)
        # A run left open by somebody else in this process would swallow this one.
        wandb.finish()
        try:
            self.run = wandb.init(
                dir=output_dir,
                mode=self.mode,  # type: ignore[arg-type]
                project=project,
                entity=entity,
                name=name,
                group=study,
                job_type=cell,
                id=id or secrets.token_hex(4),
                resume="allow" if self.mode == "online" else None,
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=False),
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"logger.mode={self.mode}: W&B could not start the run ({error}); "
                "type logger.mode=offline to log on this machine alone"
            ) from None
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        return {"id": self.run.id, "dir": _folder(self.run)}

    def log(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """One row of history."""
        if self.run is not None:
            self.run.log({"step": step, "epoch": epoch, **values})

    def sample(self, step: int, path: Path) -> None:
        """A sample file: text, or a picture beside a MIDI file."""
        if self.run is None:
            return
        import html

        import wandb

        picture = path.with_suffix(".png")
        if path.suffix == ".txt":
            text = html.escape(path.read_text(encoding="utf-8"))
            media: Any = wandb.Html(f"<pre>{text}</pre>", inject=False)
        elif picture.exists():
            media = wandb.Image(str(picture))
        else:
            return
        self.run.log({"step": step, "sample": media})

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run with its summary; nothing stays open in this process."""
        if self.run is not None:
            self.run.summary.update(dict(summary))
            self.run.finish(exit_code=exit_code)
            self.run = None


def _folder(run: Any) -> str:
    """The run's own folder (…/wandb/offline-run-…), above the `files` that W&B names."""
    return str(Path(run.dir).parent)
