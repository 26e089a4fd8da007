"""A run that is done, logged as a further W&B run, from its folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from odyssey.config.identity import plain
from odyssey.training.folder import RunFolder
from odyssey.training.tracking import Tracker
from odyssey.training.wandb_parts import entries


def mirror(path: Path, mode: str, study: Mapping[str, Any] | None) -> None:
    """Log all that the folder `path` of a finished or diverged run holds.

    Raises UserError where W&B cannot start.
    """
    folder = RunFolder(path)
    cfg = OmegaConf.load(path / "config.yaml")
    record = folder.read()
    assert record is not None and isinstance(cfg, DictConfig)
    tracker = Tracker(mode)
    tracker.start(
        output_dir=str(path.parent.parent),
        project=cfg.logger.project,
        entity=cfg.logger.entity,
        name=path.name,
        study=path.parent.name,
        cell=record["cell"],
        config=configuration(cfg, record, study),
        id=None,
    )
    for entry in entries(folder, -1):
        tracker.log(entry.step, entry.epoch, entry.values)
        if entry.sample is not None:
            tracker.sample(entry.step, entry.sample)
    tracker.finish(summary(record), exit_code=0)


def configuration(
    cfg: DictConfig, record: Mapping[str, Any], study: Mapping[str, Any] | None
) -> dict[str, Any]:
    """W&B's config of a run; its `search` says of which study it is a trial."""
    config = plain(cfg) | {"params": record["params"], "data": record["data"]}
    return config if study is None else config | {"search": dict(study)}


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """W&B's summary of a run: what run.json says, its metrics among the rest."""
    rest = {k: v for k, v in record.items() if k not in ("metrics", "wandb")}
    return rest | record["metrics"]
