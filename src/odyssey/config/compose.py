"""Composing a configuration from the command line, and saying what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from odyssey.config.resolve import finish
from odyssey.config.schema import register
from odyssey.config.validate import mistakes
from odyssey.errors import UserError, did_you_mean, options

CONF = Path(__file__).parents[3] / "conf"


def groups() -> dict[str, list[str]]:
    """Each configuration group and its choices."""
    return {
        folder.name: sorted(p.stem for p in folder.glob("*.yaml"))
        for folder in sorted(CONF.iterdir())
        if folder.is_dir()
    }


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration that these overrides make.

    Raises UserError with one message for each mistake found.
    """
    found = [why for o in overrides if (why := _malformed(o))]
    good = [o for o in overrides if not _malformed(o)]
    try:
        cfg = _compose(good)
    except (HydraException, OmegaConfBaseException) as first:
        wrong, good = _each(good)
        found += wrong or [_sentence(first, good)]
        try:
            cfg = _compose(good)
        except (HydraException, OmegaConfBaseException):
            raise UserError(*found) from None
    found += mistakes(cfg)
    if found:
        raise UserError(*found)
    return cfg


def _compose(overrides: Sequence[str]) -> DictConfig:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra_compose("config", overrides=list(overrides))
    return finish(cfg)


def _each(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which overrides are wrong by themselves, each with its sentence; and the others.

    Choices of groups come first, since they decide which keys there are.
    """
    wrong: list[str] = []
    good: list[str] = []
    known = groups()
    for override in sorted(overrides, key=lambda o: o.split("=")[0] not in known):
        try:
            _compose([*good, override])
            good.append(override)
        except (HydraException, OmegaConfBaseException) as error:
            wrong.append(_sentence(error, [override]))
    return wrong, good


def _malformed(override: str) -> str | None:
    """What is wrong with the form of an override, if anything."""
    name = override.split("=")[0].lstrip("+~")
    if override.startswith(("+", "~")) and not name.startswith(("cell.options", "hydra")):
        return (
            f"{override}: keys cannot be added or removed, since nothing would read them; "
            f"drop the '{override[: len(override) - len(override.lstrip('+~'))]}' to set a key"
        )
    try:
        OverridesParser.create().parse_overrides([override])
    except OverrideParseException:
        if "=" not in override:
            return f"{override}: an override is written key=value, as in optimizer.lr=1e-3"
        return (
            f"{override}: cannot be read as key=value; put quotes around the value: '{name}=\"…\"'"
        )
    return None


def _sentence(error: BaseException, overrides: Sequence[str]) -> str:
    """Hydra's error in one sentence that says what to type."""
    shown = " ".join(overrides)
    cause = error.__cause__ or error
    text = str(cause)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        names = groups().get(group, list(error.options or []))
        return (
            f"{group}={name}: there is no such {group}{did_you_mean(name, names)}; "
            f"choose one of {options(names)}"
        )
    full = re.search(r"full_key: (\S+)", text)
    key = full.group(1) if full else shown.split("=")[0]
    value = next((o.split("=", 1)[1] for o in overrides if o.startswith(f"{key}=")), "")
    if match := re.search(r"Key '(\w+)' (?:is )?not in", text):
        return _unknown_key(key, match.group(1))
    if "group" in str(error) and "Could not override" in str(error):
        return _unknown_key(shown.split("=")[0], shown.split("=")[0].split(".")[-1])
    first = text.splitlines()[0] if text else type(error).__name__
    if match := re.search(r"could not be converted to (\w+)", first):
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
        return f"{key}={value} must be {kind.get(match.group(1), match.group(1))}"
    if "is not optional" in first or "not a subclass" in first or "NoneType" in first:
        return f"{key}={value} must not be null"
    if isinstance(error, ConfigCompositionException) and not full:
        first = str(error).splitlines()[0]
    return f"{shown}: {first}"


def _unknown_key(key: str, word: str) -> str:
    """There is no such key; here are those beside where it would be."""
    parent = key.rpartition(".")[0]
    try:
        node: Any = _compose([])
        for part in parent.split(".") if parent else []:
            node = node[part]
        names = [str(k) for k in node if k not in ("hydra",)]
    except (HydraException, OmegaConfBaseException, TypeError):
        names = []
    if not names:
        return f"{key}: there is no such key; `python train.py --help` lists them"
    prefix = f"{parent}." if parent else ""
    return (
        f"{key}: there is no such key{did_you_mean(word, names)}; "
        f"{prefix or 'the top level '}has {options(names)}"
    )
