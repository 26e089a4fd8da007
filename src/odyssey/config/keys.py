"""The groups and keys of a configuration, and the sentences for wrong ones.

A group is a folder of conf/; its choices are the files in it. Which keys there are, of which type,
and with which choices of a group, follows from the schema.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from odyssey.config.fields import as_typed
from odyssey.config.schema import (
    DECAYS,
    OPTIMIZERS,
    CellConfig,
    ClipConfig,
    Config,
    ResumeConfig,
)
from odyssey.config.sources import choices, find
from odyssey.config.task_schema import TASKS
from odyssey.errors import did_you_mean, options

OWN = "own"  # the choice of a group whose class the user names

GROUPS = {
    "cell": "the recurrent cell",
    "task": "what is learnt, with its data",
    "optimizer": "how the weights are updated",
    "decay": "how the learning rate falls",
    "clip": "what is done to large gradients",
    "callbacks": "what happens around the updates",
    "experiment": "settings that reproduce something known",
    "debug": "settings to find mistakes with",
    "resume": "what becomes of a run that is there already",
    "sweep": "with -m: what a study compares and searches",
}
OPTIONAL = ("experiment", "debug", "sweep")  # groups that may be null
PRESETS = ("experiment", "debug")  # groups whose choices make choices of other groups
# The groups whose choices differ in their keys: choice -> schema.
SCHEMAS: dict[str, Mapping[str, type]] = {"optimizer": OPTIMIZERS, "decay": DECAYS, "task": TASKS}
# Keys that hold the name of the choice, and so are set by choosing.
CHOSEN_BY = {
    "optimizer.kind": "optimizer",
    "decay.kind": "decay",
    "clip.kind": "clip",
    "resume.mode": "resume",
    "task.name": "task",
}
# Keys of a study, which are Hydra's, by what people leave off of them.
STUDY_KEYS = {
    "n_jobs": "hydra.launcher.n_jobs",
    "gpus": "hydra.launcher.gpus",
    "fuse": "hydra.launcher.fuse",
    "trials": "hydra.sweeper.trials",
    "sampler": "hydra.sweeper.sampler",
    "draws": "hydra.sweeper.draws",
    "only": "hydra.sweeper.only",
    "dry_run": "hydra.sweeper.dry_run",
    "on_failure": "hydra.sweeper.on_failure",
    "launcher": "hydra/launcher",
    "sweeper": "hydra/sweeper",
}
TYPES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "keys with values, as in {a: 1}",
}


def choice_of(cfg: DictConfig, group: str) -> str:
    """The choice of a group of SCHEMAS in a configuration."""
    if group != "task":
        return str(cfg[group].kind)
    return cfg.task.name if cfg.task.name in TASKS else OWN


def known(key: str) -> bool:
    """Whether there is such a group, key or section of keys with any choices of the groups."""
    return key in GROUPS or any(k == key or k.startswith(f"{key}.") for k in key_choices())


@cache
def key_choices() -> dict[str, tuple[str, ...]]:
    """Each key -> the choices, as `task=mnist`, that it comes with; none if it is always there."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(_types(), ())
    for group in SCHEMAS:
        keys_of = keys_by_choice(group)
        for key in set().union(*keys_of.values()):
            names = [name for name in keys_of if key in keys_of[name]]
            found[key] = tuple(f"{group}={n}" for n in names) if len(names) < len(keys_of) else ()
    return {k: v for k, v in found.items() if k not in CHOSEN_BY}


@cache
def keys_by_choice(group: str) -> dict[str, frozenset[str]]:
    """The keys of a group of SCHEMAS with each of its choices."""
    return {name: frozenset(_leaves(s, f"{group}.")) for name, s in SCHEMAS[group].items()}


def likely_choice(group: str, typed: str, settings: Mapping[str, str], default: str) -> str:
    """The choice of a group of SCHEMAS that is meant where none, or a wrong one, is typed.

    settings: key -> value, as typed, on the same command line. The choice is one that has the most
    of these keys; of several, one with a data set like the one that is typed; of several, the one
    most like `typed`.
    """
    having = keys_by_choice(group)

    def likeness(word: str, names: Iterable[str]) -> float:
        return max((difflib.SequenceMatcher(None, word, n).ratio() for n in names), default=0.0)

    def fit(name: str) -> tuple[int, float, float, bool]:
        data = settings.get("task.data", "") if group == "task" else ""
        near = likeness(data, getattr(SCHEMAS[group][name], "sources", ())) if data else 0.0
        both = len(having[name].intersection(settings))
        return both, near, likeness(typed, [name]), name == default

    return max(having, key=fit)


def preset_keys(preset: str) -> frozenset[str]:
    """The groups that any choice of a group of PRESETS chooses, and the keys that it sets."""
    found: set[str] = set()
    for name in choices(preset):
        try:
            content: Any = OmegaConf.to_container(OmegaConf.load(find(preset, name)))
        except (OSError, YAMLError, OmegaConfBaseException):
            continue
        for entry in content.pop("defaults", []) if isinstance(content, dict) else []:
            if isinstance(entry, dict):
                found.update(str(k).removeprefix("override /") for k in entry)
        found.update(_flat(content, ""))
    return frozenset(found)


def _flat(section: Any, prefix: str) -> Iterator[str]:
    for name, value in section.items() if isinstance(section, dict) else ():
        yield from _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]


@cache
def _types() -> dict[str, Any]:
    """Each key -> its type in the schema, as in int | None."""
    found = _leaves(Config, "")
    alone = {"cell": CellConfig, "clip": ClipConfig, "resume": ResumeConfig}
    for group, section in alone.items():
        found |= _leaves(section, f"{group}.")
    for group, schemas in SCHEMAS.items():
        for schema in schemas.values():
            found |= _leaves(schema, f"{group}.")
    return found


def _leaves(schema: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    types = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = types[field.name]
        if prefix or field.name not in GROUPS:
            if dataclasses.is_dataclass(kind):
                found |= _leaves(kind, f"{prefix}{field.name}.")
            else:
                found[f"{prefix}{field.name}"] = kind
    return found


def subject(sentence: str) -> str:
    """The key or group that an error is about: its first word, if that is one."""
    found = re.match(r"\+*([\w.]*\w)", sentence)
    return found.group(1) if found else ""


def hint(word: str) -> str:
    """` (did you mean 'x'?)` for the group or key nearest to `word`, or nothing.

    A key is compared by its whole name and by its last part.
    """
    names = {name.rpartition(".")[2]: name for name in reversed(key_choices())}
    names |= {name: name for name in [*key_choices(), *GROUPS]}
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    return f" (did you mean '{names[near[0]]}'?)" if near else ""


def unknown_key_error(
    key: str, text: str, override: str = "", cfg: DictConfig | None = None
) -> str:
    """The sentence for a key that is not there, or not with the choices made in `cfg`."""
    start = f"{override or f'{key}={text}'} is not an option"
    section, _, last = key.rpartition(".")
    beside = sorted(k for k in key_choices() if section and k.rpartition(".")[0] == section)
    here = [k for k in beside if _is_in(k, cfg)]
    if key in beside:
        group = key.split(".")[0]
        choice = choice_of(cfg, group) if cfg else "this"
        others = f", or one of {options(here)}" if here else ""
        return (
            f"{start} of {group}={choice}: type {' or '.join(key_choices()[key])} with it{others}"
        )
    if meant := full_setting(last, text):
        return f"{start}: type {meant}"
    if beside:
        return f"{start}{did_you_mean(key, beside)}: type one of {options(here or beside)}"
    guess = hint(key) or hint(section) or hint(last)
    tops = {k.partition(".")[0] + ".*" * ("." in k) for k in key_choices()}
    tops = {t for t in tops if t.removesuffix(".*") not in GROUPS}
    return f"{start}{guess}: type one of {options({*GROUPS, *tops})} (--help says more)"


def _is_in(key: str, cfg: DictConfig | None) -> bool:
    section, _, last = key.rpartition(".")
    return cfg is None or last in (OmegaConf.select(cfg, section) or {})


def full_setting(name: str, text: str) -> str:
    """What to type for a key or group of which `name` is the last part; empty if there is none."""
    text = text or "…"
    if name in GROUPS:
        return f"{name}={text}"
    if name in STUDY_KEYS:
        return f"{STUDY_KEYS[name]}={text} with -m"
    same = [k for k in key_choices() if k.rpartition(".")[2] == name]
    always = [k for k in same if not key_choices()[k]]
    if always or not same:
        return " or ".join(f"{k}={text}" for k in always)
    return f"{same[0]}={text} with {' or '.join(key_choices()[same[0]])}"


def type_error(cfg: DictConfig, key: str, text: str, inner: str = "") -> str:
    """The sentence for a value that the schema refuses. `cfg` has a right one.

    inner: the key that is refused, where `key` is a section and its value has several.
    """
    start = f"{key}={text} is not"
    beside = [k for k in key_choices() if k.startswith(f"{key}.")]
    if inner in beside:
        return f"{start} right for {inner}: {_wanted(cfg, inner)}"
    if len(beside) == 1:
        return f"{start} allowed for a section: type {beside[0]}={text}"
    if beside:
        return f"{start} allowed for a section: type one of {options(beside)}"
    if text == "null":
        return f"{start} allowed: {_wanted(cfg, key)}"
    if _type(key)[0] is int and re.fullmatch(r"\d+(\.0*)?(e\d)?", text):  # as in 1e3
        return f"{start} a whole number: type {key}={int(float(text))}"
    return f"{start} {_type_name(key)}: {_wanted(cfg, key)}"


def is_bool(key: str) -> bool:
    """Whether the schema wants true or false."""
    return _type(key)[0] is bool


def is_text(key: str) -> bool:
    """Whether the schema takes any text."""
    return _type(key)[0] is str


def _type(key: str) -> tuple[Any, bool]:
    """The type of a key, and whether it may be null."""
    kind = _types().get(key)
    if isinstance(kind, UnionType):
        return get_args(kind)[0], True
    return kind, False


def _type_name(key: str) -> str:
    kind = _type(key)[0]
    return TYPES.get(get_origin(kind) or kind, "a list of numbers")


def _wanted(cfg: DictConfig, key: str) -> str:
    """`type a whole number, as in seed=0`."""
    if is_bool(key):
        return f"type {key}=true or {key}=false"
    value = OmegaConf.select(cfg, key)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    example = f", as in {key}={as_typed(value)}" if value is not None else ""
    return f"type {_type_name(key)}{' or null' * _type(key)[1]}{example}"
