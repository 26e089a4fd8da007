"""Values as Hydra writes them: `key=value` that is read back as the same value, and sweeps."""

from __future__ import annotations

import math
import re
from itertools import islice
from typing import Any

from odyssey.config.fields import as_typed
from odyssey.errors import UserError, did_you_mean

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")  # strings that need no quotes, but for
RESERVED = ("null", "true", "false", "inf", "nan")  # which mean something else, in any case
MOST_VALUES = 10_000  # of one range: more is a slip of the finger
TAGS = {"log": "log_uniform", "one_minus_log": "one_minus_log_uniform"}


def word(key: str, value: Any) -> str:
    """The override `key=value`, of the same value and type when Hydra reads it."""
    return f"{key}={text(value)}"


def text(value: Any) -> str:
    """A value in Hydra's override grammar: null, true, 1, 1.0, lstm, 'a, b', [1,null]."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(text(v) for v in value) + "]"
    if PLAIN.fullmatch(value) and value.lower() not in RESERVED:
        return str(value)
    return _quoted(value)


def _quoted(value: str) -> str:
    mark = '"' if "'" in value and '"' not in value else "'"
    # In Hydra's grammar a backslash is doubled only where a quotation mark follows.
    inside = re.sub(rf"(\\*){mark}", lambda m: m[1] * 2 + "\\" + mark, value)
    inside = re.sub(r"\\+\Z", lambda m: m[0] * 2, inside)
    return f"{mark}{inside}{mark}"


def parse(option: str, typed: str) -> Any:
    """What Hydra reads in the text of a value: a plain value, or one of its sweeps.

    Raises UserError if it cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides([f"x={typed}"])[0].value()
    except HydraException:
        message = (
            f"{option}={typed} is not readable: type values as in a,b or choice(a,b), "
            "or a range as in interval(0,1)"
        )
        raise UserError(message) from None


def is_interval(value: Any) -> bool:
    """Whether it is a sweep over a range of real numbers, which cannot be listed."""
    from hydra.core.override_parser.types import IntervalSweep

    return isinstance(value, IntervalSweep)


def listed(option: str, value: Any, most: int = MOST_VALUES) -> list[Any] | None:
    """The values of a sweep over a list or a range; None if it is no such sweep.

    Raises UserError for a range that cannot be listed.
    """
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    if isinstance(value, ChoiceSweep):
        return [_unquoted(v) for v in value.list]
    if not isinstance(value, RangeSweep):
        return None
    called = f"range({_ends(value)},{as_typed(value.step)})"
    if not value.step:
        raise UserError(f"{option}={called} has steps of 0: type another step, as in 1")
    ends: tuple[Any, ...] = (value.start, value.stop, value.step)
    if not all(math.isfinite(n) for n in ends):
        raise UserError(f"{option}={called} has no end: type finite numbers")
    values = list(islice(value.range(), most + 1))
    if len(values) > most:
        raise UserError(
            f"{option}={called} has more than {most} values: type a longer step, or interval"
        )
    return values


def spec(option: str, value: Any) -> Any:
    """The distribution that a sweep stands for, in the form that YAML has; others as they are.

    An interval is uniform, or log-uniform by tag `log`, or 1 minus log-uniform by tag
    `one_minus_log`; whole numbers if it was cast by int(). A list or range is a choice.
    Raises UserError for tags that mean nothing here.
    """
    from hydra.core.override_parser.types import RangeSweep

    if is_interval(value):
        kind = _by_tags(option, value, f"interval({_ends(value)})", TAGS)
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        found = {"distribution": kind or "uniform", "low": value.start, "high": value.end}
        return found | ({"integer": True} if whole else {})
    values = listed(option, value)
    if values is None:
        return value
    if isinstance(value, RangeSweep):
        _by_tags(option, value, f"range({_ends(value)})", {})
        if value.step == 1 and len(values) > 1 and all(isinstance(v, int) for v in values):
            low, high = values[0], values[-1]
            return {"distribution": "uniform", "low": low, "high": high, "integer": True}
    else:
        _by_tags(option, value, f"choice({','.join(as_typed(v) for v in values)})", {})
    return {"distribution": "choice", "values": values}


def _by_tags(option: str, sweep: Any, called: str, meanings: dict[str, str]) -> str | None:
    """What the tags of a sweep make of it. `search` may always be there."""
    tags = sorted(sweep.tags - {"search"})
    for tag in tags:
        if tag in TAGS and not meanings:
            raise UserError(
                f"{option}={called} has the tag {tag}, which is for interval(): leave the tag out"
            )
        if tag not in meanings:
            known = [*meanings, "search"]
            raise UserError(
                f"{option}={called} has the unknown tag {tag}{did_you_mean(tag, known)}: "
                f"type one of {', '.join(known)}, or leave the tag out"
            )
    if len(tags) > 1:
        raise UserError(f"{option}={called} has the tags {' and '.join(tags)}: type one of the two")
    return meanings[tags[0]] if tags else None


def _ends(sweep: Any) -> str:
    return f"{as_typed(sweep.start)},{as_typed(sweep.end if is_interval(sweep) else sweep.stop)}"


def _unquoted(value: Any) -> Any:
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    return [_unquoted(v) for v in value] if isinstance(value, list) else value
