"""What a study searches and compares, from YAML or the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from odyssey.errors import UserError
from odyssey.study.distributions import Parameter
from odyssey.study.overrides import is_interval, listed, parse, spec
from odyssey.study.specs import ALL_FIELDS, OTHER_FIELDS, read_spec, read_values

__all__ = ["Parameter", "from_override", "parse_compared", "parse_space"]

SPACE = "hydra.sweeper.space"
COMPARE = "hydra.sweeper.compare"
CALL = re.compile(r"\s*\w+\s*\(")  # as in interval(0, 1)


def parse_space(raw: Mapping[str, Any] | None) -> list[Parameter]:
    """The searched parameters, in the order of `raw`.

    raw: {key: distribution}. A key is dotted or in sections; `"a,b"` is keys whose values go
    together. A distribution is a mapping, `{distribution: log_uniform, low: 1e-4, high: 1e-1}`,
    or a text in Hydra's words, `tag(log, interval(1e-4, 1e-1))`.
    Raises UserError with a sentence for each mistake.
    """

    def read(option: str, keys: tuple[str, ...], value: Any) -> Parameter:
        if isinstance(value, str) and value.strip():
            value = spec(option, parse(option, value))
        return read_spec(option, keys, value)

    return _read_all(SPACE, raw, _is_section_of_space, read)


def parse_compared(raw: Mapping[str, Any] | None) -> dict[str, list[tuple[str, ...]]]:
    """Each compared entry -> the overrides of each of its values, in the order of `raw`.

    raw: {key: values}; keys as in parse_space. Values are a list, one value, or a text in Hydra's
    words: `"rnn,gru"`, `"range(1,4)"`. An entry is named as in `clip,clip.threshold`.
    Raises UserError with a sentence for each mistake.
    """

    def read(option: str, keys: tuple[str, ...], value: Any) -> tuple[str, list[tuple[str, ...]]]:
        if isinstance(value, str) and value.strip():
            value = parse(option, value)
            if is_interval(value):
                raise UserError(
                    f"{option} is an interval, which has no end of values: type them, as in [1, 2]"
                )
            several = listed(option, value)
            value = [value] if several is None else several
        wrong: list[str] = []
        if value is None or isinstance(value, (bool, int, float)):
            value = [value]
        rows = read_values(option, keys, value, wrong)
        if wrong:
            raise UserError(*wrong)
        parameter = Parameter(keys, "choice", values=rows)
        return parameter.name, [parameter.words_of(row) for row in rows]

    return dict(_read_all(COMPARE, raw, lambda value: isinstance(value, Mapping), read))


def from_override(key: str, value: Any) -> Parameter | None:
    """The parameter that `key=value` of a command line searches; None if it searches nothing.

    value: as Hydra has read it. An interval is searched, and a list or range with the tag
    `search`; without a tag these are to be compared. The tag has to be outermost, since Hydra
    drops the tags of a list that it casts. Raises UserError, as for a tag that is not known.
    """
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep

    searched = isinstance(value, IntervalSweep)
    if isinstance(value, (ChoiceSweep, RangeSweep)):
        found = spec(key, value) if value.tags else None
        return read_spec(key, (key,), found) if found else None
    return read_spec(key, (key,), spec(key, value)) if searched else None


def _read_all(
    option: str,
    raw: Mapping[str, Any] | None,
    is_section: Callable[[Any], bool],
    read: Callable[[str, tuple[str, ...], Any], Any],
) -> list[Any]:
    """Read each entry, and collect the mistakes of all."""
    if raw is None:
        return []
    if not isinstance(raw, Mapping):
        raise UserError(f"{option}={raw} is not a mapping: type {{key: …}}, or {{}} for nothing")
    wrong: list[str] = []
    found: list[Any] = []
    named: set[str] = set()
    for keys, value in _entries(raw, "", is_section):
        name = f"{option}.{','.join(keys)}"
        if not all(keys):
            wrong.append(f"{name} has an empty key: type it as in optimizer.lr, or clip,seed")
            continue
        for key in dict.fromkeys(k for i, k in enumerate(keys) if k in named or k in keys[:i]):
            wrong.append(f"{name} names {key}, which is named twice: leave one of them out")
        named.update(keys)
        try:
            found.append(read(name, keys, value))
        except UserError as error:
            wrong += error.messages
    if wrong:
        raise UserError(*dict.fromkeys(wrong))
    return found


def _entries(
    raw: Mapping[Any, Any], section: str, is_section: Callable[[Any], bool]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each entry with its dotted keys, sections opened."""
    for name, value in raw.items():
        parts: Sequence[str] = [part.strip() for part in str(name).split(",")]
        keys = tuple(section + part if part else "" for part in parts)
        if len(keys) == 1 and keys[0] and is_section(value) and value:
            yield from _entries(value, f"{keys[0]}.", is_section)
        else:
            yield keys, value


def _is_section_of_space(value: Any) -> bool:
    """Whether it holds distributions, and is not one itself, be it a wrong one."""
    if not isinstance(value, Mapping) or any(f in ALL_FIELDS | OTHER_FIELDS.keys() for f in value):
        return False
    return any(
        isinstance(v, Mapping) or (isinstance(v, str) and CALL.match(v)) for v in value.values()
    )
