"""The last touch to a composed configuration."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf


def finish(cfg: DictConfig) -> DictConfig:
    """Without interpolations and without Hydra's own part."""
    if "hydra" in cfg:
        cfg = OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"])
    OmegaConf.resolve(cfg)
    return cfg
