"""The one kind of error that is for users: a sentence that says what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. Each message is one sentence naming the option, the value and the way out.

    Several mistakes found at once are several messages; `str()` puts each on its own line.
    """

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages

    def __str__(self) -> str:
        return "\n".join(self.messages)


def options(names: Iterable[str]) -> str:
    """The valid choices as they stand in a message: `a, b, c`."""
    return ", ".join(sorted(names))


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest of `names`, or nothing."""
    by_small_letters = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), list(by_small_letters), n=1)
    return f" (did you mean '{by_small_letters[near[0]]}'?)" if near else ""
