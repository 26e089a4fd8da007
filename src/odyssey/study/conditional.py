"""Settings that apply to some of a study's choices only: `optimizer.momentum` beside `adam`.

They are set where they apply and left out elsewhere. One that applies nowhere is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig

from odyssey.config.compose import compose
from odyssey.config.keys import GROUPS, subject
from odyssey.errors import UserError

# How an error begins that says that a setting does not apply, after the setting.
NOT_HERE = re.compile(r"\S+ is (?:not an option|without effect|not read with)\b")


@dataclass
class Composed:
    """A run of which some words may not apply.

    cfg: None where something else is wrong, which `error` says. words: those that apply.
    left_out: word -> the sentence that says why it does not.
    """

    cfg: DictConfig | None
    words: list[str]
    left_out: dict[str, str] = field(default_factory=dict)
    error: UserError | None = None


def compose_where_it_applies(words: Sequence[str]) -> Composed:
    """Compose a run of the words of these that apply."""
    found = Composed(None, list(words))
    while True:
        try:
            found.cfg = compose(found.words)
            return found
        except UserError as error:
            here = {key_of(word): word for word in found.words}
            out = {
                here[key]: message
                for message in error.messages
                if NOT_HERE.match(message)
                and (key := subject(message)) in here
                and key not in GROUPS
            }
            if not out:
                found.error = error
                return found
            found.left_out |= out
            found.words = [word for word in found.words if word not in out]


def key_of(word: str) -> str:
    """The key that a word sets."""
    return word.lstrip("+").partition("=")[0]


class Applied:
    """Which settings of a study apply to some of its variants, and which to none.

    A compared or fixed setting counts by its value; a searched one by its key, since each trial has
    another value.
    """

    def __init__(self, searched: Iterable[str]) -> None:
        self._searched = frozenset(searched)
        self._somewhere: set[str] = set()
        self._not: dict[str, str] = {}  # setting -> the first sentence on it

    def setting(self, word: str) -> str:
        """What a word counts as."""
        key = key_of(word)
        return key if key in self._searched else word

    def add(self, words: Iterable[str], left_out: Mapping[str, str]) -> None:
        """Take note of a run: words that apply, and those that do not."""
        self._somewhere.update(map(self.setting, words))
        for word, message in left_out.items():
            self._not.setdefault(self.setting(word), message)

    def nowhere(self) -> list[str]:
        """The sentence for each setting that applies to no variant."""
        return [m for setting, m in self._not.items() if setting not in self._somewhere]

    @property
    def partly(self) -> frozenset[str]:
        """The settings that do not apply to all variants."""
        return frozenset(self._not)

    def notes(self) -> Iterator[str]:
        """For each key that applies to some variants, a sentence on one where it does not."""
        seen = set()
        for setting, message in self._not.items():
            key = key_of(setting)
            if setting in self._somewhere and key not in seen:
                seen.add(key)
                why = re.sub(r" \(did you mean .*?\)", "", message.partition(": ")[0])
                why = why.partition(" ")[2]
                yield f"{key} {why}; it is left out there, and set where it applies"
