"""Which groups and keys there are, and what to type for one that is not there or not of its type.

A group is a folder of conf/; its choices are the files.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from odyssey.config.fields import as_typed
from odyssey.config.schema import (
    DECAYS,
    OPTIMIZERS,
    CellConfig,
    ClipConfig,
    Config,
    ResumeConfig,
)
from odyssey.config.task_schema import TASKS
from odyssey.errors import did_you_mean, options

CONF = Path(__file__).parents[3] / "conf"

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
OPTIONAL = ("experiment", "debug", "sweep")  # the groups that may be null
SCHEMAS: dict[str, Mapping[str, type]] = {"optimizer": OPTIMIZERS, "decay": DECAYS, "task": TASKS}
# Keys that say which choice was made, and so are set by choosing.
CHOSEN_BY = {
    "optimizer.kind": "optimizer",
    "decay.kind": "decay",
    "clip.kind": "clip",
    "resume.mode": "resume",
    "task.name": "task",
}
# What people leave off of the keys of a study, which are Hydra's.
OF_STUDIES = {
    "n_jobs": "hydra.launcher.n_jobs",
    "gpus": "hydra.launcher.gpus",
    "trials": "hydra.sweeper.trials",
    "sampler": "hydra.sweeper.sampler",
    "draws": "hydra.sweeper.draws",
    "only": "hydra.sweeper.only",
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


def choices(group: str) -> list[str]:
    """The names that a group may have, in order."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def known(key: str) -> bool:
    """Whether there is such a group, key or section of keys, with whatever choices."""
    return key in GROUPS or any(k == key or k.startswith(f"{key}.") for k in where())


@cache
def where() -> dict[str, tuple[str, ...]]:
    """Each key -> the choices `group=name` it comes with; none for one that is always there."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(_types(), ())
    for group, schemas in SCHEMAS.items():
        having = {name: set(_leaves(schema, f"{group}.")) for name, schema in schemas.items()}
        for key in set().union(*having.values()):
            names = [name for name in schemas if key in having[name]]
            found[key] = tuple(f"{group}={n}" for n in names) if len(names) < len(having) else ()
    return {k: v for k, v in found.items() if k not in CHOSEN_BY}


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


def nearest_first(word: str, names: Sequence[str]) -> list[str]:
    """`names`, those that look most like `word` first."""
    return sorted(names, key=lambda n: -difflib.SequenceMatcher(None, word, n).ratio())


def named_by(sentence: str) -> str:
    """The key or group that a sentence is about: the first word, if it is one."""
    found = re.match(r"\+*([\w.]*\w)", sentence)
    return found.group(1) if found else ""


def hint(word: str) -> str:
    """The nearest group or key to `word`, by its whole name or its last part."""
    names = {name.rpartition(".")[2]: name for name in reversed(where())}
    names |= {name: name for name in [*where(), *GROUPS]}
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    return f" (did you mean '{names[near[0]]}'?)" if near else ""


def unknown_key(key: str, text: str, word: str = "", cfg: DictConfig | None = None) -> str:
    """The sentence for a key that is not there, or not with the choices made in `cfg`."""
    start = f"{word or f'{key}={text}'} is not an option"
    section, _, last = key.rpartition(".")
    beside = sorted(k for k in where() if section and k.rpartition(".")[0] == section)
    here = [k for k in beside if _is_in(k, cfg)]
    if key in beside:
        group = key.split(".")[0]
        choice = cfg[group].get("kind") or cfg[group].get("name") if cfg else "this"
        others = f", or one of {options(here)}" if here else ""
        return f"{start} of {group}={choice}: type {' or '.join(where()[key])} with it{others}"
    if meant := instead_of(last, text):
        return f"{start}: type {meant}"
    if beside:
        return f"{start}{did_you_mean(key, beside)}: type one of {options(here or beside)}"
    guess = hint(key) or hint(section) or hint(last)
    tops = {k.partition(".")[0] + ".*" * ("." in k) for k in where()}
    tops = {t for t in tops if t.removesuffix(".*") not in GROUPS}
    return f"{start}{guess}: type one of {options({*GROUPS, *tops})} (--help says more)"


def _is_in(key: str, cfg: DictConfig | None) -> bool:
    section, _, last = key.rpartition(".")
    return cfg is None or last in (OmegaConf.select(cfg, section) or {})


def instead_of(name: str, text: str) -> str:
    """What to type for a key or group of which `name` is the last part, if there is one."""
    text = text or "…"
    if name in GROUPS:
        return f"{name}={text}"
    if name in OF_STUDIES:
        return f"{OF_STUDIES[name]}={text} with -m"
    same = [k for k in where() if k.rpartition(".")[2] == name]
    always = [k for k in same if not where()[k]]
    if always or not same:
        return " or ".join(f"{k}={text}" for k in always)
    return f"{same[0]}={text} with {' or '.join(where()[same[0]])}"


def wrong_type(cfg: DictConfig, key: str, text: str, inner: str = "") -> str:
    """The sentence for a value that the schema refuses. `cfg` holds a right one.

    inner: the key refused, where `key` is a section and its value has several.
    """
    start = f"{key}={text} is not"
    beside = [k for k in where() if k.startswith(f"{key}.")]
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
    return f"{start} {_called(key)}: {_wanted(cfg, key)}"


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


def _called(key: str) -> str:
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
    return f"type {_called(key)}{' or null' * _type(key)[1]}{example}"
