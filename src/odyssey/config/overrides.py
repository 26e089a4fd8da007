"""The words of a command line: which are `key=value`, and what is wrong with those that are not."""

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
    choices,
    hint,
    is_text,
    known,
    unknown_key,
)

# Sections of keys that the schema does not name.
OPTIONS = ("cell.options.", "callbacks.", "trainer.lightning.")
EXAMPLE = "write key=value, as in optimizer.lr=1e-3"


@dataclass(frozen=True)
class Setting:
    """One `key=value`: of a group, of a key, or of Hydra itself."""

    key: str
    value: Any
    text: str  # the value as it was typed
    word: str

    @property
    def hydras(self) -> bool:
        """Whether it is for Hydra and not for the run."""
        return self.key == "hydra" or self.key.startswith(("hydra.", "hydra/"))


def read(words: Sequence[str], sweep: bool = False) -> tuple[list[Setting], list[str]]:
    """The settings that can be read, and a sentence for each word that cannot.

    Only a `sweep` may give a key several values, and speak to Hydra itself.
    """
    settings: dict[str, Setting] = {}
    twice: set[str] = set()
    wrong: dict[str, None] = {}  # in order, each once
    for word in _without_lone_signs(words, wrong):
        why = _unreadable(word)
        if why is None:
            setting = _setting(word)
            why = _misplaced(setting, sweep)
            if why is None and setting.key in settings:
                twice.add(setting.key)
                first = settings[setting.key].text
                why = f"{setting.key} is given twice, as {first} and {setting.text}: type it once"
        if why is None:
            settings[setting.key] = setting
        else:
            wrong[why] = None
    return [s for s in settings.values() if s.key not in twice], list(wrong)


def hydras(words: Iterable[str]) -> list[str]:
    """The words as Hydra wants them, which is stricter in two things.

    Options of a user's own cell or callback, and those of Lightning, are not in the schema, and so
    are to be added; and an optional group is null only by itself.
    """
    left_out = {f"{group}=null" for group in OPTIONAL}
    open_section = r"^\+*(?=(?:cell\.options[.=]|callbacks\.|trainer\.lightning[.=]))"
    return [re.sub(open_section, "++", word) for word in words if word not in left_out]


def bad_choice(setting: Setting) -> list[str]:
    """Whether the setting of a group names one of its choices."""
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


@lru_cache(maxsize=4096)  # the trials of a study share most of their words
def _setting(word: str) -> Setting:
    """Raises HydraException where the word cannot be read."""
    key, _, text = word.partition("=")
    override = _parser().parse_overrides([word])[0]
    value = override.value()
    return Setting(key.lstrip("+"), value, text, word)


def _without_lone_signs(words: Sequence[str], wrong: dict[str, None]) -> Iterable[str]:
    """The words, less `key = value` in three pieces, which is one mistake."""
    left = list(words)
    while "=" in left:
        i = left.index("=")
        pieces = " ".join(left[max(i - 1, 0) : i + 2])
        joined = pieces.replace(" ", "")
        wrong[f"{pieces} is in pieces: type {joined} without spaces"] = None
        del left[max(i - 1, 0) : i + 2]
    return left


def _unreadable(word: str) -> str | None:
    """What is wrong with the form of a word, if anything."""
    if not word.strip():
        return f"'{word}' is an empty word: leave it out, or {EXAMPLE}"
    bare = word.lstrip("+~")
    sign, (key, equals, text) = word[: len(word) - len(bare)], bare.partition("=")
    if "~" in sign:
        return f"{word} is not allowed: leave it out, since no key can be taken away"
    if not equals:
        return _without_value(bare)
    if not key:
        return f"{word} is not a setting, since no key is before the '=': {EXAMPLE}"
    if sign and not f"{key}.".startswith((*OPTIONS, "hydra")):
        if known(key):
            return f"{word} is not allowed: type {bare} without the '{sign}'"
        return unknown_key(key, text, word)
    try:
        _setting(word)
    except HydraException:
        if not re.fullmatch(r"[\w./@-]+", key, re.ASCII):
            return unknown_key(key, text, word)
        quoted = text.replace('"', "").replace("'", "")
        return f"{word} is not readable: put quotes around the value and type '{key}=\"{quoted}\"'"
    return None


def _without_value(word: str) -> str:
    for group in GROUPS:
        if word in choices(group):
            return f"{word} is not a setting: type {group}={word}"
    if word in GROUPS:
        return f"{word} is not a setting: type {word}= and one of {', '.join(choices(word))}"
    if known(word):
        return f"{word} is not a setting: type {word}= and its value"
    return f"{word} is not a setting{hint(word)}: {EXAMPLE}"


def _misplaced(setting: Setting, sweep: bool) -> str | None:
    """A well-formed setting that this command cannot have."""
    word, key = setting.word, setting.key
    if setting.hydras or key == "sweep":
        if sweep:
            return None
        return f"{word} is for studies: leave it out, or type -m too"
    if key in CHOSEN_BY:
        group = CHOSEN_BY[key]
        return f"{word} is not allowed: type {group}= and one of {', '.join(choices(group))}"
    if isinstance(setting.value, Sweep) and not sweep:
        quoted = f""", or put quotes around it and type '{key}="{setting.text}"'"""
        return f"{word} is several values: type -m too, to run each{quoted * is_text(key)}"
    return None
