"""Composing a configuration from the command line, and saying all that is wrong with it.

The files are composed by Hydra, once for each set of choices. The keys of the command line are
then set one by one, in the way Hydra does it, so that each wrong one is known by itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]

from odyssey.config import keys
from odyssey.config.keys import choices, hint
from odyssey.config.overrides import OPTIONS, Setting, bad_choice, read
from odyssey.config.schema import register
from odyssey.config.validate import mistakes
from odyssey.errors import UserError, did_you_mean, options


def finish(cfg: DictConfig) -> DictConfig:
    """Without interpolations and without Hydra's own part."""
    if "hydra" in cfg:
        cfg = OmegaConf.masked_copy(cfg, [str(k) for k in cfg if k != "hydra"])
    OmegaConf.resolve(cfg)
    return cfg


# What Hydra raises for a file; OSError where it holds a bare number.
MISTAKES = (HydraException, OmegaConfBaseException, YAMLError, OSError)


def file_mistake(group: str, name: str, error: BaseException) -> str:
    """The sentence for a choice whose file cannot be used."""
    path = f"conf/{group}/{name}.yaml"
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place = f"conf/{group}/{Path(mark.name).name}, line {mark.line + 1}"
        return f"{group}={name} is not readable as YAML: mend {place} ({error.problem})"
    text = str(error)
    start = f"{group}={name} is not usable: mend {path}, "
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        other, _, wanted = error.missing_cfg_file.rpartition("/")
        names = choices(other)
        near = did_you_mean(wanted, names)
        return f"{start}which chooses {other}={wanted}{near}; there are {options(names)}"
    key = _full_key(text)
    if match := re.search(r"Key '(.+)' not in", text):
        key = key or match.group(1)
        return f"{start}which sets {key}, and that is not an option{hint(key)}"
    if match := re.search(r"Could not override '(.+?)'", text):
        if "@" in match.group(1):
            return f"{start}whose first line must be `# @package _global_`"
        return f"{start}which overrides {match.group(1)}, and that is not a group"
    if key and (match := re.search(r"Value '(.*)' of type .* converted to", text)):
        return f"{start}which sets {key} to {match.group(1)}, and that is not of its type"
    return f"{start}since {' '.join(_lines(text)[:2])}"


def clash(group: str, name: str, earlier: str, error: BaseException) -> str:
    """The sentence for a choice that does not go with `earlier`, another one (`group=name`)."""
    key = _full_key(str(error))
    sets = f", since one of them sets {key} and the other has no such key" if key else ""
    return f"{group}={name} is not possible with {earlier}{sets}: type one of the two alone"


def _full_key(text: str) -> str:
    found = re.search(r"full_key: (\S+)", text)
    return found.group(1) if found else ""


def _lines(text: str) -> list[str]:
    """Without the head that Hydra puts before the cause."""
    return [line for line in text.splitlines() if "raised while composing" not in line]


Choices = tuple[tuple[str, str], ...]  # (group, name) for each group that was chosen


@dataclass
class Findings:
    """A configuration, and what is wrong about it: key -> sentence."""

    cfg: DictConfig  # without the settings that are wrong
    absent: dict[str, str] = field(default_factory=dict)  # there is no such key
    refused: dict[str, str] = field(default_factory=dict)  # not of the key's type
    further: dict[str, str] = field(default_factory=dict)  # ranges and combinations

    def all(self) -> dict[str, str]:
        """In the order in which they are said."""
        return self.absent | self.refused | self.further


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration that these overrides make.

    Raises UserError with one message for each mistake found.
    """
    settings, found = read(overrides)
    # Keys and groups known to be wrong, with what was typed.
    unknown = {keys.named_by(sentence): sentence for sentence in found}
    chosen: Choices = ()
    for s in sorted(settings, key=lambda s: s.key not in keys.OPTIONAL):
        if s.key in keys.GROUPS:
            wrong = bad_choice(s)
            found += wrong
            if wrong:
                unknown[s.key] = s.text
            elif s.value is not None:  # null is what an optional group is anyway
                chosen += ((s.key, s.value),)
    try:
        base(chosen)
    except MISTAKES:
        chosen, wrong = _which_fit(chosen, unknown)
        found += wrong
    cfg, wrong = _judge(chosen, [s for s in settings if s.key not in keys.GROUPS], unknown)
    found += wrong
    if found:
        raise UserError(*found)
    return cfg


@lru_cache(maxsize=256)
def base(chosen: Choices) -> DictConfig:
    """What the files say, by these choices: the slow part, the same for all values of keys."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(keys.CONF), version_base="1.3"):
        return hydra_compose("config", overrides=[f"{group}={name}" for group, name in chosen])


def _which_fit(chosen: Choices, unknown: dict[str, str]) -> tuple[Choices, list[str]]:
    """The choices less those whose file is wrong, or that do not go with one before."""
    fit: Choices = ()
    found = []
    for group, name in chosen:
        try:
            base((*fit, (group, name)))
            fit += ((group, name),)
        except MISTAKES as error:
            unknown[group] = name
            try:
                base(((group, name),))
            except MISTAKES:
                found.append(file_mistake(group, name, error))
            else:
                found.append(clash(group, name, "=".join(fit[0]), error))
    return fit, found


def _judge(
    chosen: Choices, settings: Sequence[Setting], unknown: dict[str, str]
) -> tuple[DictConfig, list[str]]:
    """The configuration, and the sentences to say about its keys.

    Where the choice of a group is not known, one cannot know which keys it was to have. A setting
    is then wrong only if it is wrong with each choice that may have been meant.
    """
    typed = [*(s.key for s in settings), *(group for group, _ in chosen)]
    first = _check(chosen, settings, unknown, typed)
    said, absent = first.all(), set(first.absent)
    for group, text in unknown.items():
        for name in keys.nearest_first(text, _candidates(group)):
            if not said:
                break
            other = _check(
                (*chosen, (group, name)), settings, [g for g in unknown if g != group], typed
            )
            there = other.all()
            # What is wrong with a value says more than that another choice has no such key.
            said = {
                key: there[key] if key in absent and key not in other.absent else sentence
                for key, sentence in said.items()
                if key in there
            }
            absent &= set(other.absent)
    return first.cfg, list(said.values())


def _candidates(group: str) -> list[str]:
    """The choices that make a difference to which keys are right; none if it is no group."""
    return keys.choices(group) if group in keys.GROUPS and group != "cell" else []


def _check(
    chosen: Choices, settings: Sequence[Setting], unknown: Collection[str], typed: Collection[str]
) -> Findings:
    try:
        found = Findings(copy.deepcopy(base(chosen)))
    except MISTAKES:  # a candidate that does not go with the other choices
        found = Findings(copy.deepcopy(base(())))
    for setting in settings:
        _set(found, setting)
    for setting in settings:
        if "${" in setting.text:
            _refer(found, setting, base(chosen))
    found.cfg = finish(found.cfg)
    wrong = {*found.absent, *found.refused, *unknown}
    found.further = {
        keys.named_by(sentence): sentence for sentence in mistakes(found.cfg, wrong, typed)
    }
    return found


def _set(found: Findings, setting: Setting) -> None:
    """Set a key, as Hydra does; what is wrong with the key or its value goes to `found`."""
    key, value = setting.key, setting.value
    # A section is set key by key, and is to stay as it was if one of them is wrong.
    cfg = copy.deepcopy(found.cfg) if isinstance(value, dict) else found.cfg
    if keys.is_bool(key) and type(value) in (int, float):  # OmegaConf takes any number for true
        found.refused[key] = keys.wrong_type(cfg, key, setting.text)
        return
    try:
        OmegaConf.update(cfg, key, value, merge=True, force_add=f"{key}.".startswith(OPTIONS))
        found.cfg = cfg
    except OmegaConfBaseException as error:
        inner = error.full_key or ""
        inner = inner if inner.startswith(f"{key}.") else key
        if isinstance(error, (ConfigAttributeError, ConfigKeyError)) or not keys.known(key):
            found.absent[key] = keys.unknown_key(inner, setting.text, setting.word, found.cfg)
        else:
            found.refused[key] = keys.wrong_type(found.cfg, key, setting.text, inner)


def _refer(found: Findings, setting: Setting, before: DictConfig) -> None:
    """See whether a setting that refers to another, as in study=${seed}, gets a value from it."""
    key = setting.key
    if key in found.absent or key in found.refused:
        return
    try:
        OmegaConf.select(found.cfg, key, throw_on_resolution_failure=True)
    except OmegaConfBaseException:
        OmegaConf.update(found.cfg, key, OmegaConf.select(before, key), merge=False)
        found.refused[key] = (
            f"{setting.word} is without a value, since ${{…}} leads to none: type a value"
        )
