"""How numbers, times and overrides are printed in a study's tables and lines."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from odyssey.streams import clean_line

if TYPE_CHECKING:
    from odyssey.study.store import TrialRow

PLAIN = ("cell", "task", "optimizer")  # groups whose choices need no name before them


def as_number(value: Any) -> float:
    """A number from its text, or from whatever was read from a file; nan for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def number(value: float) -> str:
    """A metric in a few characters; `-` for none."""
    if math.isnan(value):
        return "-"
    size = abs(value)
    if size == 0 or 1e-3 <= size < 1e4:
        return f"{value:.4f}" if size < 1e3 else f"{value:.1f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as `0.8 s`, `45 s`, `3.2 min`, `2.1 h` or `1.5 d`; `-` for none."""
    if math.isnan(seconds):
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    for unit, length in (("min", 60), ("h", 3600)):
        if seconds / length < 99.5:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86400:.1f} d"


def several(count: int, word: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def words(overrides: str) -> list[str]:
    """The words of a line of overrides; quotes that do not close are taken as they are."""
    try:
        return shlex.split(overrides)
    except ValueError:
        return overrides.split()


def as_command(parts: Iterable[str]) -> str:
    """Words as a shell reads them, on one line: quoted, control characters in bash's escapes."""
    return " ".join(_quoted(part) for part in parts)


def _quoted(word: str) -> str:
    if clean_line(word) == word:
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    # \x is a byte in bash, so that letters beyond ASCII are \u.
    return "$'" + re.sub(r"[^ -~]", lambda found: _in_bash(found[0]), escaped) + "'"


def _in_bash(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 1 << 16 else letter


def short(word: str) -> str:
    """An override with its numbers cut to four digits: `optimizer.lr=0.001234`."""
    key, equals, value = word.partition("=")
    if len(value) > 6 and "." in value:
        try:
            value = f"{float(value):.4g}"
        except ValueError:
            pass
    return key + equals + value


def differing(plan: Iterable[TrialRow], searched: Sequence[str] = ()) -> dict[str, str]:
    """Each run -> in few characters what not all runs of the plan share, its variant's words first.

    `lstm length=25 seed=0` for `cell=lstm bptt.length=25 seed=0`.
    searched: keys that differ even if these runs share them, since others are to come.
    """
    lines = {row.run: (row.variant, words(row.overrides)) for row in plan}
    shared = set.intersection(*(set(line) for _, line in lines.values())) if lines else set()
    shared = {w for w in shared if w.partition("=")[0] not in searched}
    found = {}
    for name, (variant, line) in lines.items():
        first = words(variant)
        found[name] = [*first, *(w for w in line if w not in shared and w not in first)]
    brief = _brief({w.partition("=")[0] for line in found.values() for w in line})
    return {
        name: clean_line(" ".join(_called(w, brief) for w in line)) or name
        for name, line in found.items()
    }


def _brief(keys: Iterable[str]) -> dict[str, str]:
    """The last parts of keys, where no two have the same; nothing where the value says it all."""
    last = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(last.values())
    brief = {key: part if count[part] == 1 else key for key, part in last.items()}
    return brief | dict.fromkeys(PLAIN, "")


def _called(word: str, brief: Mapping[str, str]) -> str:
    key, equals, value = short(word).partition("=")
    name = brief.get(key, key)
    return f"{name}{equals}{value}" if name or not value else value
