"""What a study searches and compares, from YAML or the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from odyssey.config.fields import as_typed
from odyssey.errors import UserError, did_you_mean, options
from odyssey.study.overrides import is_interval, listed, parse, spec, text, word

# The fields that each distribution has besides its name.
FIELDS = {
    "uniform": ("low", "high", "integer"),
    "log_uniform": ("low", "high", "integer"),
    "one_minus_log_uniform": ("low", "high"),
    "choice": ("values",),
}
DIGITS = 6  # significant ones of a real number, so that commands can be read and typed
STEPS = 2**53  # of a float from 0 to below 1


@dataclass(frozen=True)
class Parameter:
    """One searched key, or several whose values go together.

    keys: the keys that are set. distribution: uniform, log_uniform, one_minus_log_uniform
    (1 - x, with x log-uniform) or choice. low, high: the ends of the range (of x), both included.
    integer: whole numbers. values: of a choice, one tuple of a value for each key; equally likely.
    """

    keys: tuple[str, ...]
    distribution: str
    low: float | None = None
    high: float | None = None
    integer: bool = False
    values: tuple[tuple[Any, ...], ...] = ()

    @property
    def name(self) -> str:
        """The key as YAML has it: `optimizer.lr`, or `clip,clip.threshold`."""
        return ",".join(self.keys)

    def words(self, u: float) -> tuple[str, ...]:
        """The overrides at `u`, which is 0 or more and below 1; a uniform `u` draws from it."""
        return self.words_of(self.at(u))

    def words_of(self, values: tuple[Any, ...]) -> tuple[str, ...]:
        """The overrides that set these values, one for each key."""
        return tuple(word(key, value) for key, value in zip(self.keys, values, strict=True))

    def at(self, u: float) -> tuple[Any, ...]:
        """The values at `u`, one for each key.

        A real number has 6 significant digits (of 1 - x, x has them) and is from low to high.
        """
        if not 0 <= u < 1:
            raise ValueError(f"u is {u}: it must be from 0 to below 1")
        if self.distribution == "choice":
            return self.near(_share(u, len(self.values)))
        assert self.low is not None and self.high is not None
        if self.distribution == "uniform":
            if self.integer:
                low = int(self.low)
                return self.near(low + _share(u, int(self.high) - low + 1))
            return self.near(self.low * (1 - u) + self.high * u)
        if self.integer:
            return self.near(math.floor(_between_logs(u, self.low, self.high + 1)))
        return self.near(_between_logs(u, self.low, self.high))

    def near(self, x: float) -> tuple[Any, ...]:
        """The values, one for each key, that `x` stands for: in its digits, from low to high.

        Of a choice, `x` is the place among its values, from 0.
        """
        if self.distribution == "choice":
            return self.values[int(x)]
        assert self.low is not None and self.high is not None
        if self.integer:
            return (int(min(max(x, self.low), self.high)),)
        x = _rounded(x, self.low, self.high)
        if self.distribution == "one_minus_log_uniform":
            # In decimals, since 1 - 0.0123457 has no such short form as a float.
            return (float(1 - Decimal(repr(x))),)
        return (x,)

    def describe(self) -> dict[str, Any]:
        """The distribution as YAML and JSON have it; parse_space({name: …}) gives it back."""
        found: dict[str, Any] = {"distribution": self.distribution}
        if self.distribution == "choice":
            values = [_thawed(v) for v in self.values]
            return found | {"values": values if len(self.keys) > 1 else [v[0] for v in values]}
        found |= {"low": self.low, "high": self.high}
        return found | {"integer": True} if self.integer else found


def _share(u: float, parts: int) -> int:
    """In which of so many equal parts `u` is; in whole numbers, which no rounding spoils."""
    return int(u * STEPS) * parts // STEPS


def _between_logs(u: float, low: float, high: float) -> float:
    return math.exp(math.log(low) * (1 - u) + math.log(high) * u)


def _rounded(x: float, low: float, high: float) -> float:
    # + 0.0 makes 0.0 of -0.0.
    return min(max(float(f"{x:.{DIGITS}g}"), low), high) + 0.0


def _thawed(value: Any) -> Any:
    return [_thawed(v) for v in value] if isinstance(value, tuple) else value


EXAMPLE = "{distribution: uniform, low: 0, high: 1}"
ALL_FIELDS = {"distribution", *(f for fields in FIELDS.values() for f in fields)}
# How other programs call them.
OTHER_FIELDS = {"min": "low", "max": "high", "value": "values", "choices": "values"}
OTHER_NAMES = {
    "log_uniform_values": "log_uniform",
    "loguniform": "log_uniform",
    "int_uniform": "uniform with integer: true",
    "q_uniform": "uniform with integer: true",
    "randint": "uniform with integer: true",
    "categorical": "choice",
}


def read_spec(option: str, keys: tuple[str, ...], spec: Any) -> Parameter:
    """The parameter that `spec`, the value of `option`, makes of `keys`.

    Raises UserError with a sentence for each mistake.
    """
    if not isinstance(spec, Mapping):
        raise UserError(
            f"{option}={_brief(spec)} is not a distribution: type as in {EXAMPLE} or interval(0,1)"
        )
    wrong: list[str] = []
    kind = _distribution(option, spec, wrong)
    fields = FIELDS.get(kind or "", ())
    _unknown_fields(option, spec, kind, wrong)
    if kind and kind != "choice" and len(keys) > 1:
        wrong.append(f"{option} is a pair, of which {kind} cannot draw: type distribution: choice")
    if lacking := [f for f in fields if f != "integer" and not _has(spec, f)]:
        wrong.append(f"{option} is without {' and '.join(lacking)}: add {_example(kind, lacking)}")
    integer = spec.get("integer", False)
    if not isinstance(integer, bool):
        wrong.append(f"{option} has integer={_brief(integer)}: type integer: true or false")
        integer = False
    low, high = (_number(option, end, spec, wrong) for end in ("low", "high"))
    _range(option, kind, low, high, wrong)
    if integer and "integer" in fields:
        for end, value in ("low", low), ("high", high):
            if value is not None and value != int(value):
                wrong.append(
                    f"{option} has {end}={as_typed(value)} with integer: true, and that is not "
                    f"whole: type {end}: {round(value)}, or leave integer out"
                )
    values = read_values(option, keys, spec["values"], wrong) if "values" in spec else ()
    if wrong:
        raise UserError(*wrong)
    assert kind is not None
    if kind == "choice":
        return Parameter(keys, kind, values=values)
    assert low is not None and high is not None
    number = int if integer else float
    return Parameter(keys, kind, number(low), number(high), integer)


def read_values(
    option: str, keys: tuple[str, ...], values: Any, wrong: list[str]
) -> tuple[tuple[Any, ...], ...]:
    """A list of values as tuples of one for each key; the sentences go to `wrong`."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        wrong.append(f"{option}={_brief(values)} is not a list: type its values as in [a, b]")
        return ()
    if not values:
        wrong.append(f"{option} has no values: type one or more, as in [a, b]")
    found: dict[str, tuple[Any, ...]] = {}
    for value in values:
        if len(keys) > 1 and not (_is_list(value) and len(value) == len(keys)):
            wrong.append(
                f"{option} has {_brief(value)} for {len(keys)} keys: type a list of "
                f"{len(keys)}, as in [{', '.join('ab'[i % 2] for i in range(len(keys)))}]"
            )
        elif why := _not_plain(value):
            wrong.append(f"{option} has the value {_brief(value)}, {why}")
        else:
            frozen = _frozen(value)
            row = frozen if len(keys) > 1 else (frozen,)
            if found.setdefault(text(row), row) is not row:
                wrong.append(f"{option} has {_brief(value)} twice: type each value once")
    return tuple(found.values())


def _distribution(option: str, spec: Mapping[str, Any], wrong: list[str]) -> str | None:
    """The name of the distribution, or None if it is not one."""
    names = options(FIELDS)
    if "distribution" not in spec:
        wrong.append(f"{option} is without a distribution: add distribution: and one of {names}")
        return None
    kind = spec["distribution"]
    if isinstance(kind, str) and kind in FIELDS:
        return kind
    start = f"{option} has distribution={_brief(kind)}, which is unknown"
    if isinstance(kind, str) and kind in OTHER_NAMES:
        wrong.append(f"{start}: type distribution: {OTHER_NAMES[kind]}")
    else:
        near = did_you_mean(kind, FIELDS) if isinstance(kind, str) else ""
        wrong.append(f"{start}{near}: type one of {names}")
    return None


def _unknown_fields(
    option: str, spec: Mapping[str, Any], kind: str | None, wrong: list[str]
) -> None:
    mine = {"distribution", *FIELDS[kind]} if kind else ALL_FIELDS
    for field, value in spec.items():
        if field in mine:
            continue
        start = f"{option} has {field}={_brief(value)}, which is not a field"
        of = f" of {kind}" if kind else ""
        if OTHER_FIELDS.get(field) in mine:
            wrong.append(f"{start}: type {OTHER_FIELDS[field]} in place of {field}")
        else:
            near = did_you_mean(str(field), mine - {"distribution"})
            wrong.append(f"{start}{of}{near}: type one of {options(mine - {'distribution'})}")


def _has(spec: Mapping[str, Any], field: str) -> bool:
    """Whether a field is there, if only by another program's name."""
    return field in spec or any(OTHER_FIELDS[f] == field for f in spec if f in OTHER_FIELDS)


def _example(kind: str | None, fields: Sequence[str]) -> str:
    shown_as = {"low": "0.01", "high": "1", "values": "[a, b]"}
    return ", ".join(f"{f}: {shown_as[f]}" for f in fields)


def _number(option: str, end: str, spec: Mapping[str, Any], wrong: list[str]) -> float | None:
    """The finite number that a field holds, if any."""
    if end not in spec:
        return None
    value = spec[end]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        quotes = " without quotes" if isinstance(value, str) else ""
        wrong.append(
            f"{option} has {end}={_brief(value)}, which is not a number: type a number{quotes}"
        )
        return None
    if not _finite(value):
        wrong.append(f"{option} has {end}={_brief(value)}: type a finite number")
        return None
    return value


def _range(
    option: str, kind: str | None, low: float | None, high: float | None, wrong: list[str]
) -> None:
    """Whether low and high are a range, and one that the distribution can have."""
    if low is not None and high is not None:
        if low > high:
            wrong.append(
                f"{option} is upside down, from low={as_typed(low)} to high={as_typed(high)}: "
                f"type low: {as_typed(high)}, high: {as_typed(low)}"
            )
        elif low == high:
            wrong.append(
                f"{option} has low and high equal, {as_typed(low)}: type a larger high, or leave "
                "the search out and set the key"
            )
    if kind and "log" in kind and low is not None and low <= 0:
        wrong.append(
            f"{option} has low={as_typed(low)}, and {kind} has no logarithm of it: "
            "type a number above 0"
        )
    if kind == "one_minus_log_uniform" and high is not None and high > 1:
        wrong.append(
            f"{option} has high={as_typed(high)}, which makes 1 - x negative: type a number up to 1"
        )


def _not_plain(value: Any) -> str:
    """Why a value cannot be one of a list, or an empty text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "which is not finite: type a finite number"
    if _is_list(value):
        return next((why for v in value if (why := _not_plain(v))), "")
    if value is None or isinstance(value, (bool, int, float, str)):
        return ""
    return "which is not a single value: type a number, a text, true, false or null"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if _is_list(value) else value


def _brief(value: Any) -> str:
    """A value as it stands in a sentence, not too long."""
    typed = f"'{value}'" if value == "" else as_typed(value)
    return typed if len(typed) <= 60 else f"{typed[:57]}..."


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
