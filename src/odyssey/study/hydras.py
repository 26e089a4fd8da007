"""Hydra's own part of a study's configuration: its sweeper, its launcher, and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from odyssey.config import keys
from odyssey.config.files import MISTAKES, file_mistake
from odyssey.config.schema import register
from odyssey.errors import did_you_mean, options

# Launchers that come with an extra: name -> extra.
EXTRAS = {
    "ray": "ray",
    "ray_aws": "ray",
    "ray_cluster": "ray",
    "slurm": "slurm",
    "slurm_local": "slurm",
    "submitit_slurm": "slurm",
    "submitit_local": "slurm",
}


def hydras_part(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Hydra's own part of the configuration, or what is wrong with the words for it."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(keys.CONF), version_base="1.3"):
        try:
            return hydra_compose("config", list(words), return_hydra_config=True).hydra, []
        except MISTAKES:
            for n in range(1, len(words) + 1):  # which of them it was
                try:
                    hydra_compose("config", list(words[:n]), return_hydra_config=True)
                except MISTAKES as error:
                    return None, [_mistake(words[n - 1], error)]
            raise


def _mistake(word: str, error: BaseException) -> str:
    """The sentence for a word that Hydra, or the sweep's file, refuses."""
    key, _, text = word.lstrip("+").partition("=")
    if key == "sweep":
        return file_mistake("sweep", text, error)
    if key in ("hydra/sweeper", "hydra/launcher"):
        extra = EXTRAS.get(text)
        if extra is not None and key == "hydra/launcher":
            return f"{word} needs a package that is not here: type pip install -e '.[{extra}]'"
        names = _names(key)
        return f"{word} is not there{did_you_mean(text, names)}: type one of {options(names)}"
    if key.startswith(("hydra.sweeper.space", "hydra.sweeper.compare")):
        return (
            f"{word} is for a file conf/sweep/NAME.yaml: on the command line type a key with its "
            "values, as in cell=gru,lstm or 'optimizer.lr=tag(log,interval(1e-4,1e-2))'"
        )
    for section in ("hydra.sweeper.", "hydra.launcher."):
        if key.startswith(section):
            names = [f"{section}{n}" for n in _fields(section.split(".")[1], word)]
            if names and key not in names and not any(key.startswith(f"{n}.") for n in names):
                near = did_you_mean(key, names)
                return f"{word} is not an option{near}: type one of {options(names)}"
            return f"{word} is not of its type: type a value such as {_example(key)}"
    return f"{word} is not a setting that Hydra has: leave it out"


def _names(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return [n for n in loader.get_group_options(group) if not n.startswith("_")]


def _fields(part: str, word: str) -> list[str]:
    """The options of the sweeper or launcher; of the search's, since that has the most."""
    choice = ["hydra/sweeper=search"] if part == "sweeper" else []
    cfg = hydra_compose("config", choice, return_hydra_config=True).hydra[part]
    return [str(k) for k in cfg if k != "_target_"]


def _example(key: str) -> str:
    cfg = hydra_compose("config", ["hydra/sweeper=search"], return_hydra_config=True)
    value = OmegaConf.select(cfg, key)
    return f"{key}={value}" if value is not None and not OmegaConf.is_config(value) else f"{key}=1"
