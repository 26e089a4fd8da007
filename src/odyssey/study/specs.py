"""A distribution as YAML has it, read and checked: `{distribution: uniform, low: 0, high: 1}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.config.fields import as_typed
from odyssey.errors import UserError, did_you_mean, options
from odyssey.study.distributions import FIELDS, Parameter
from odyssey.study.overrides import text

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
