"""Hydra's own part of a study's configuration: its sweeper, its launcher, and their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from odyssey.config import keys
from odyssey.config.compose import FILE_ERRORS, file_error
from odyssey.config.overrides import Setting
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

REFUSALS = (*FILE_ERRORS, ValueError, TypeError)  # Hydra's own for a word that it cannot use
# Where Hydra would put things: a study's runs know by themselves.
PLACES = ("hydra.sweep.", "hydra.run.", "hydra.output_subdir", "hydra.job.chdir")


def hydras_part(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Hydra's own part of the configuration, or what is wrong with the words for it."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(keys.CONF), version_base="1.3"):
        try:
            cfg = hydra_compose("config", list(words), return_hydra_config=True).hydra
        except REFUSALS:
            # Which of them it was; a choice before the options that it has.
            words = sorted(words, key=lambda w: "/" not in w.partition("=")[0])
            for n in range(1, len(words) + 1):
                try:
                    hydra_compose("config", list(words[:n]), return_hydra_config=True)
                except REFUSALS as error:
                    return None, [_mistake(words[n - 1], words[:n], error)]
            raise
        # A '+' adds any key, which ours would not read.
        added = [word for word in words if word.startswith("+") and _is_ours(word, cfg)]
        unknown = [_mistake(word, words) for word in added if not _is_field(word, words)]
        return (None, unknown) if unknown else (cfg, [])


def refused(settings: Sequence[Setting]) -> list[str]:
    """A sentence for each word that would make a study what it cannot be."""
    wrong = []
    for s in settings:
        if s.key in ("hydra.sweeper", "hydra.launcher"):
            instead = s.key.replace(".", "/")
            wrong.append(f"{s.typed} is not allowed for a section: type {instead}=…")
        elif s.key in ("hydra.sweeper._target_", "hydra.launcher._target_"):
            group = s.key.split(".")[1]
            wrong.append(f"{s.typed} is not allowed: type hydra/{group}= and its name")
        elif s.key.startswith(PLACES):
            wrong.append(
                f"{s.typed} is not allowed, since a study is in output_dir/study: type "
                "output_dir=… or study=…"
            )
        elif s.key == "hydra.mode":
            wrong.append(f"{s.typed} is not possible with -m: leave one of them out")
    return wrong


def resolved(cfg: Any, words: Sequence[str]) -> tuple[Any, Any, list[str]]:
    """The launcher's and the sweeper's settings with each ${…} in its place; what leads nowhere."""
    try:
        launcher, sweeper = (
            OmegaConf.to_container(part, resolve=True) for part in (cfg.launcher, cfg.sweeper)
        )
        return launcher, sweeper, []
    except OmegaConfBaseException as error:
        key = error.full_key or "hydra"
        word = next((w for w in words if w.lstrip("+").startswith(f"{key}=")), key)
        return None, None, [f"{word} is without a value, since ${{…}} leads to none: type a value"]


def sweep_file(name: str) -> list[str]:
    """What a file of conf/sweep/ sets that no run would have: all but what it is for."""
    path = keys.CONF / "sweep" / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # which Hydra says better
        return []
    if not isinstance(found, dict) or not found:
        return [
            f"sweep={name} is empty: write a study into conf/sweep/{name}.yaml, as in greff.yaml"
        ]
    hydras = found.get("hydra")
    inner = hydras if isinstance(hydras, dict) else {}
    others = [str(k) for k in found if k != "hydra"]
    others += [f"hydra.{k}" for k in inner if k not in ("sweeper", "launcher")]
    return [
        f"sweep={name} is not usable: conf/sweep/{name}.yaml sets {key}, which its runs would not "
        "have; move that to conf/experiment/ or the command line, and leave hydra.sweeper alone"
        for key in others
    ]


def _is_ours(word: str, cfg: Any) -> bool:
    """Whether it is for one of our own sweepers or launchers."""
    part = word.lstrip("+").split(".")[1:2]
    choice = cfg.runtime.choices.get(f"hydra/{part[0]}") if part else None
    return choice in ("grid", "search", "local_pool")


def _is_field(word: str, words: Sequence[str]) -> bool:
    key = word.lstrip("+").partition("=")[0]
    names = _siblings(key, words)
    return key in names or key.startswith(tuple(f"{n}." for n in names))


def _mistake(word: str, words: Sequence[str], error: BaseException | None = None) -> str:
    """The sentence for a word that Hydra, or the sweep's file, refuses."""
    key, _, text = word.lstrip("+").partition("=")
    if key == "sweep" and error is not None:
        return file_error("sweep", text, error)
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
            if not _is_field(word, words):
                names = _siblings(key, words)
                near = did_you_mean(key, names)
                return f"{word} is not an option{near}: type one of {options(names)}"
            return f"{word} is not of its type: type a value such as {_example(key)}"
    return f"{word} is not a setting that Hydra has: leave it out"


def _names(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return [n for n in loader.get_group_options(group) if not n.startswith("_")]


def _siblings(key: str, before: Sequence[str]) -> list[str]:
    """The options beside a key; of the search's sweeper, since that has the most."""
    launchers = [w for w in before if w.startswith("hydra/launcher=")]
    cfg = hydra_compose("config", ["hydra/sweeper=search", *launchers], return_hydra_config=True)
    section = key.rpartition(".")[0]
    while not OmegaConf.is_config(node := OmegaConf.select(cfg, section)):
        section = section.rpartition(".")[0]
    return [f"{section}.{k}" for k in node if k != "_target_"]


def _example(key: str) -> str:
    cfg = hydra_compose("config", ["hydra/sweeper=search"], return_hydra_config=True)
    value = OmegaConf.select(cfg, key)
    return f"{key}={value}" if value is not None and not OmegaConf.is_config(value) else f"{key}=1"
