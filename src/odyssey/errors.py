"""UserError, whose messages are for users, and parts of such messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. Each message is one sentence naming the option, the value and the way out.

    Several errors found at once are several messages; `str()` puts each on its own line.

    >>> import odyssey
    >>> odyssey.compose("cell=gruu optimizer.lr=-1")
    Traceback (most recent call last):
    odyssey.errors.UserError: cell=gruu ...
    optimizer.lr=-1...
    """

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages

    def __str__(self) -> str:
        return "\n".join(self.messages)


def options(names: Iterable[str]) -> str:
    """Valid choices for a message, sorted: `a, b, c`."""
    return ", ".join(sorted(names))


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the name nearest to `typed`, or nothing."""
    by_small_letters = {name.lower(): name for name in names}
    near = difflib.get_close_matches(typed.lower(), list(by_small_letters), n=1)
    return f" (did you mean '{by_small_letters[near[0]]}'?)" if near else ""
