"""Parsing the overrides of a command line, `key=value`, and the errors of those that are none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep
from hydra.errors import HydraException

from odyssey.config.fields import one_of
from odyssey.config.keys import (
    CHOSEN_BY,
    GROUPS,
    OPTIONAL,
    hint,
    is_text,
    known,
    unknown_key_error,
)
from odyssey.config.sources import CONFIG_NAME, SEARCH_PATH, choices

# Sections of keys that the schema does not name.
OPTIONS = (
    "cell.options.",
    "task.options.",
    "optimizer.options.",
    "decay.options.",
    "callbacks.",
    "metrics.",
    "loggers.",
    "trainer.lightning.",
)
# What of Hydra's own a single run may have too.
VERBOSE = "hydra.verbose"
FOR_STUDIES = "{} is for studies: leave it out, or type -m too"
OF_ANY_RUN = (SEARCH_PATH, CONFIG_NAME, VERBOSE)
EXAMPLE = "write key=value, as in optimizer.lr=1e-3"


@dataclass(frozen=True)
class Setting:
    """A parsed override of a group, of a key, or of Hydra itself."""

    key: str
    value: Any
    text: str  # the value as typed
    typed: str  # the whole override

    @property
    def is_of_hydra(self) -> bool:
        """Whether it is for Hydra and not for the run."""
        return self.key == "hydra" or self.key.startswith(("hydra.", "hydra/"))


def parse_overrides(
    overrides: Sequence[str], sweep: bool = False
) -> tuple[list[Setting], list[str]]:
    """The settings that can be parsed, and a sentence for each override that cannot.

    sweep: whether a key may have several values, and Hydra's own keys may be set.
    """
    settings: dict[str, Setting] = {}
    twice: set[str] = set()
    errors: dict[str, None] = {}  # in order, each once
    for override in _without_lone_signs(overrides, errors):
        error = _syntax_error(override)
        if error is None:
            setting = _parse(override)
            error = _placement_error(setting, sweep)
            if error is None and setting.key in settings:
                twice.add(setting.key)
                first = settings[setting.key].text
                error = f"{setting.key} is given twice, as {first} and {setting.text}: type it once"
        if error is None:
            settings[setting.key] = setting
        else:
            errors[error] = None
    return [s for s in settings.values() if s.key not in twice], list(errors)


def of_studies(overrides: Iterable[str]) -> list[str]:
    """A sentence for each override that only a study has a use for."""
    return [FOR_STUDIES.format(o) for o in overrides if o.lstrip("+").startswith("plan.")]


def to_hydra(overrides: Iterable[str]) -> list[str]:
    """The overrides as Hydra wants them, which is stricter in two things.

    Options of a user's own parts, and those of Lightning, are not in the schema, and so are to be
    added with `++`; and an optional group is null by default, and must not be set to it.
    """
    left_out = {f"{group}=null" for group in OPTIONAL}
    open_section = (
        r"^\+*(?=(?:\w+\.options[.=]|(?:callbacks|metrics|loggers)\.|trainer\.lightning[.=]))"
    )
    return [re.sub(open_section, "++", o) for o in overrides if o not in left_out]


def choice_errors(setting: Setting) -> list[str]:
    """The sentence for the setting of a group that names none of its choices."""
    group, value, names = setting.key, setting.value, choices(setting.key)
    if value is None:
        if group in OPTIONAL:
            return []
        return [f"{group}=null is not allowed: type one of {', '.join(names)}"]
    if value == "" and names:
        return [f"{group}= is empty: type one of {', '.join(names)}"]
    return one_of(group, value if isinstance(value, str) else setting.text, names)


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


@lru_cache(maxsize=4096)  # the trials of a study share most of their overrides
def _parse(override: str) -> Setting:
    """Raises HydraException where the override cannot be parsed."""
    key, _, text = override.partition("=")
    value = _parser().parse_overrides([override])[0].value()
    return Setting(key.lstrip("+"), value, text, override)


def _without_lone_signs(overrides: Sequence[str], errors: dict[str, None]) -> Iterable[str]:
    """The overrides, less `key = value` in three pieces, which is one error."""
    left = list(overrides)
    while "=" in left:
        i = left.index("=")
        pieces = " ".join(left[max(i - 1, 0) : i + 2])
        joined = pieces.replace(" ", "")
        errors[f"{pieces} is in pieces: type {joined} without spaces"] = None
        del left[max(i - 1, 0) : i + 2]
    return left


def _syntax_error(override: str) -> str | None:
    """What is wrong with the form of an override, if anything."""
    if not override.strip():
        return f"'{override}' is an empty word: leave it out, or {EXAMPLE}"
    bare = override.lstrip("+~")
    sign, (key, equals, text) = override[: len(override) - len(bare)], bare.partition("=")
    if "~" in sign:
        return f"{override} is not allowed: leave it out, since no key can be taken away"
    if not equals:
        return _no_value_error(bare)
    if not key:
        return f"{override} is not a setting, since no key is before the '=': {EXAMPLE}"
    if sign and not f"{key}.".startswith((*OPTIONS, "hydra")):
        if known(key):
            return f"{override} is not allowed: type {bare} without the '{sign}'"
        return unknown_key_error(key, text, override)
    try:
        _parse(override)
    except HydraException:
        if not re.fullmatch(r"[\w./@-]+", key, re.ASCII):
            section = next((s for s in OPTIONS if key.startswith(s)), None)
            if section is None:
                return unknown_key_error(key, text, override)
            return (
                f"{override} is not readable, since {key} has a letter that no key may have: type "
                f"a name of a-z, 0-9 and _ after {section}"
            )
        quoted = text.replace('"', "").replace("'", "")
        return (
            f"{override} is not readable: put quotes around the value and type '{key}=\"{quoted}\"'"
        )
    return None


def _no_value_error(word: str) -> str:
    for group in GROUPS:
        if word in choices(group):
            return f"{word} is not a setting: type {group}={word}"
    if word in GROUPS:
        return f"{word} is not a setting: type {word}= and one of {', '.join(choices(word))}"
    if known(word):
        return f"{word} is not a setting: type {word}= and its value"
    return f"{word} is not a setting{hint(word)}: {EXAMPLE}"


def _placement_error(setting: Setting, sweep: bool) -> str | None:
    """What is wrong with a well-formed setting that this command cannot have."""
    override, key = setting.typed, setting.key
    if setting.is_of_hydra or key == "sweep":
        if sweep or key in OF_ANY_RUN:
            return None
        return FOR_STUDIES.format(override)
    if key in CHOSEN_BY:
        group = CHOSEN_BY[key]
        return f"{override} is not allowed: type {group}= and one of {', '.join(choices(group))}"
    if isinstance(setting.value, Sweep) and not sweep:
        quoted = f""", or put quotes around it and type '{key}="{setting.text}"'"""
        return f"{override} is several values: type -m too, to run each{quoted * is_text(key)}"
    return None
