"""Composing a configuration from the overrides of a command line, with every error in them.

The files of conf/ are composed by Hydra, once for each set of choices of the groups. The keys of
the command line are then set one by one, as Hydra sets them, so that each wrong one is known by
itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]

from odyssey.config import keys, sources
from odyssey.config.environment import fill_logger
from odyssey.config.overrides import OPTIONS, Setting, choice_errors, parse_overrides
from odyssey.config.schema import CALLBACKS, flat, register
from odyssey.config.validate import config_errors
from odyssey.errors import UserError, did_you_mean, options
from odyssey.registry import cell_name, entry_of, plain, snake_case

# What Hydra raises for a file of conf/ that cannot be used; OSError where it holds a bare number.
FILE_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, OSError)

Choices = tuple[tuple[str, str], ...]  # (group, name) for each group that is chosen


@dataclass
class Composed:
    """A configuration without the settings that are wrong, and their errors: key -> sentence."""

    cfg: DictConfig
    absent: dict[str, str] = field(default_factory=dict)  # there is no such key
    refused: dict[str, str] = field(default_factory=dict)  # the value is not of the key's type
    invalid: dict[str, str] = field(default_factory=dict)  # out of range, or in a wrong combination

    def errors(self) -> dict[str, str]:
        """All of them, in the order in which they are printed."""
        return self.absent | self.refused | self.invalid


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration that these overrides make.

    Raises UserError with one sentence for each error found.
    """
    sources.use(overrides)
    settings, errors = parse_overrides(overrides)
    settings = [s for s in settings if not s.is_of_hydra]
    # Keys and groups whose value is not known, since what was typed for them is wrong.
    unknown = {keys.subject(error): error for error in errors}
    chosen: Choices = ()
    for s in sorted(settings, key=lambda s: s.key not in keys.OPTIONAL):
        if s.key in keys.GROUPS:
            wrong = choice_errors(s)
            errors += wrong
            if wrong:
                unknown[s.key] = s.text
            elif s.value is not None:  # null is what an optional group is anyway
                chosen += ((s.key, s.value),)
    try:
        base(chosen)
    except FILE_ERRORS:
        chosen, refused, wrong = _usable(chosen)
        unknown |= refused
        errors += wrong
    composed = _compose(chosen, [s for s in settings if s.key not in keys.GROUPS], unknown)
    errors += composed.errors().values()
    if errors:
        raise UserError(*errors)
    return composed.cfg


def finish(cfg: DictConfig) -> DictConfig:
    """The configuration of a run: without interpolations and without Hydra's own section."""
    if "hydra" in cfg:
        cfg = OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"])
    OmegaConf.resolve(cfg)
    if "logger" in cfg:
        fill_logger(cfg.logger)
    task = cfg.get("task")
    if task is not None and task.name == keys.OWN and not OmegaConf.is_missing(task, "_target_"):
        task.name = snake_case(task._target_.rpartition(".")[2])
    return cfg


def base(chosen: Choices) -> DictConfig:
    """What the files say with these choices: the slow part, the same for all values of keys."""
    return _base(chosen, sources.current())


def changed(cfg: DictConfig) -> dict[str, Any]:
    """What differs from the run of no words: choices of groups, and keys that these do not set."""
    default, choices = base(()), {}
    for group in keys.SCHEMAS:
        choices[group] = keys.choice_of(cfg, group)
    choices["clip"] = cfg.clip.kind
    if entry_of(cfg.cell._target_) is not None:
        choices = {"cell": cell_name(cfg.cell._target_), **choices}
    usual = {g: keys.choice_of(default, g) for g in keys.SCHEMAS} | {"clip": default.clip.kind}
    usual["cell"] = cell_name(default.cell._target_)
    chosen = {g: name for g, name in choices.items() if name != usual[g]}
    start = flat(plain(finish(copy.deepcopy(base(tuple(chosen.items()))))))
    # What our callbacks are told is said by keys of the trainer.
    told = tuple(f"callbacks.{name}." for name in CALLBACKS)
    values = {k: v for k, v in flat(plain(cfg)).items() if not k.startswith(told)}
    return chosen | {k: v for k, v in values.items() if k not in start or start[k] != v}


@lru_cache(maxsize=256)
def _base(chosen: Choices, where: sources.Sources) -> DictConfig:
    register()
    GlobalHydra.instance().clear()
    words = [f"{group}={name}" for group, name in chosen]
    with initialize_config_dir(str(sources.CONF), version_base="1.3"):
        return hydra_compose(where.primary, overrides=words)


def _usable(chosen: Choices) -> tuple[Choices, dict[str, str], list[str]]:
    """The choices whose files can be composed together; the others; and an error for each of these.

    A choice is left out where its file is wrong, and where it does not go with one before it.
    """
    usable: Choices = ()
    refused: dict[str, str] = {}
    errors = []
    for group, name in chosen:
        try:
            base((*usable, (group, name)))
            usable += ((group, name),)
        except FILE_ERRORS as error:
            refused[group] = name
            try:
                base(((group, name),))
            except FILE_ERRORS:
                errors.append(file_error(group, name, error))
            else:
                errors.append(_clash_error(group, name, "=".join(usable[0]), error))
    return usable, refused, errors


def _compose(chosen: Choices, settings: Sequence[Setting], unknown: Mapping[str, str]) -> Composed:
    """Set the keys one by one, and find what is wrong with them.

    unknown: keys and groups without a known value -> what was typed. Where it is the choice of a
    group, a key is wrong only if it is so with every choice that may have been meant.
    """
    open_keys = _open_keys(chosen, settings, unknown)
    likely = _likely_choices(chosen, settings, unknown, open_keys)
    try:
        start = base((*chosen, *likely.items()))
    except FILE_ERRORS:  # a likely choice that does not go with the others
        start = base(chosen)
    composed = Composed(copy.deepcopy(start))
    for setting in settings:
        _set(composed, setting)
    for setting in settings:
        if "${" in setting.text:
            _check_reference(composed, setting, start)
    composed.cfg = finish(composed.cfg)
    for key in list(composed.absent):
        if any(choice.partition("=")[0] in likely for choice in keys.key_choices().get(key, ())):
            del composed.absent[key]
    wrong = {*composed.absent, *composed.refused, *unknown, *likely, *open_keys}
    composed.invalid = {keys.subject(error): error for error in config_errors(composed.cfg, wrong)}
    return composed


def _open_keys(chosen: Choices, settings: Sequence[Setting], unknown: Collection[str]) -> set[str]:
    """Keys and groups that are not typed and that a preset may set of which no more is known."""
    presets = [keys.preset_keys(preset) for preset in keys.PRESETS if preset in unknown]
    typed = [*(s.key for s in settings), *(group for group, _ in chosen)]
    return set().union(*presets).difference(typed)


def _likely_choices(
    chosen: Choices,
    settings: Sequence[Setting],
    unknown: Mapping[str, str],
    open_keys: Collection[str],
) -> dict[str, str]:
    """Group -> choice, for each group whose choice is not known and that has keys by its choice."""
    typed = {s.key: s.text for s in settings}
    return {
        group: keys.likely_choice(
            group,
            unknown.get(group, ""),
            typed,
            default=keys.choice_of(base(chosen), group),
        )
        for group in keys.SCHEMAS
        if group in unknown or group in open_keys
    }


def _set(composed: Composed, setting: Setting) -> None:
    """Set a key as Hydra does; an error of the key or its value goes to `composed`."""
    key, value = setting.key, setting.value
    section = f"{key.partition('.options.')[0]}.options"
    if ".options." in key and OmegaConf.select(composed.cfg, section) is None:
        composed.absent[key] = keys.unknown_key_error(
            section, setting.text, setting.typed, composed.cfg
        )
        return
    # A section is set key by key, and is to stay as it was if one of them is wrong.
    cfg = copy.deepcopy(composed.cfg) if isinstance(value, dict) else composed.cfg
    if keys.is_bool(key) and type(value) in (int, float):  # OmegaConf takes any number for true
        composed.refused[key] = keys.type_error(cfg, key, setting.text)
        return
    try:
        OmegaConf.update(cfg, key, value, merge=True, force_add=f"{key}.".startswith(OPTIONS))
        composed.cfg = cfg
    except OmegaConfBaseException as error:
        inner = error.full_key or ""
        inner = inner if inner.startswith(f"{key}.") else key
        if isinstance(error, (ConfigAttributeError, ConfigKeyError)) or not keys.known(key):
            composed.absent[key] = keys.unknown_key_error(
                inner, setting.text, setting.typed, composed.cfg
            )
        else:
            composed.refused[key] = keys.type_error(composed.cfg, key, setting.text, inner)


def _check_reference(composed: Composed, setting: Setting, before: DictConfig) -> None:
    """Check that a setting which refers to another, as study=${seed}, gets a value from it."""
    key = setting.key
    if key in composed.absent or key in composed.refused:
        return
    old = OmegaConf.select(before, key)
    try:
        value = OmegaConf.select(composed.cfg, key, throw_on_resolution_failure=True)
        if isinstance(old, DictConfig) and not isinstance(value, DictConfig):
            OmegaConf.update(composed.cfg, key, old, merge=False)
            composed.refused[key] = (
                f"{setting.typed} is not possible, since {key} is a section: type {key}.NAME=…"
            )
            return
        OmegaConf.update(copy.deepcopy(composed.cfg), key, value, merge=False)
    except ValidationError:
        OmegaConf.update(composed.cfg, key, old, merge=False)
        composed.refused[key] = (
            f"{setting.typed} is without a value that {key} can have: type a value"
        )
    except OmegaConfBaseException:
        OmegaConf.update(composed.cfg, key, old, merge=False)
        composed.refused[key] = (
            f"{setting.typed} is without a value, since ${{…}} leads to none: type a value"
        )


def file_error(group: str, name: str, error: BaseException) -> str:
    """The sentence for a choice whose file cannot be used, which may be a user's own."""
    path = sources.place(sources.find(group, name))
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        file = sources.find(group, Path(mark.name).stem)
        place = f"{sources.place(file)}, line {mark.line + 1}"
        return f"{group}={name} is not readable as YAML: mend {place} ({error.problem})"
    text = str(error)
    start = f"{group}={name} is not usable: mend {path}, "
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        other, _, wanted = error.missing_cfg_file.rpartition("/")
        names = sources.choices(other)
        near = did_you_mean(wanted, names)
        return f"{start}which chooses {other}={wanted}{near}; there are {options(names)}"
    key = _full_key(text)
    if match := re.search(r"Key '(.+)' not in", text):
        key = key or match.group(1)
        return f"{start}which sets {key}, and that is not an option{keys.hint(key)}"
    if match := re.search(r"Could not override '(.+?)'", text):
        if "@" in match.group(1):
            return f"{start}whose first line must be `# @package _global_`"
        return f"{start}which overrides {match.group(1)}, and that is not a group"
    if key and (match := re.search(r"Value '(.*)' of type .* converted to", text)):
        return f"{start}which sets {key} to {match.group(1)}, and that is not of its type"
    # Without the head that Hydra puts before the cause.
    lines = [line for line in text.splitlines() if "raised while composing" not in line]
    return f"{start}since {' '.join(lines[:2])}"


def _clash_error(group: str, name: str, earlier: str, error: BaseException) -> str:
    """The sentence for a choice that does not go with `earlier`, another one (`group=name`)."""
    key = _full_key(str(error))
    sets = f", since one of them sets {key} and the other has no such key" if key else ""
    return f"{group}={name} is not possible with {earlier}{sets}: type one of the two alone"


def _full_key(text: str) -> str:
    found = re.search(r"full_key: (\S+)", text)
    return found.group(1) if found else ""
