"""Dataclasses from the values of a JSON file, and back. Without torch.

Reading never raises for a value: what has the wrong type is taken as not known, and its key is
returned, so that a file that was edited or damaged is still read for the rest.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

LARGEST = 2**53  # a count beyond it is a damaged one, and no float has it exactly
ODD = "odd"  # a field of this name is for the keys that were not understood, and is never written

Kind = TypeVar("Kind")


class LaterSchema(ValueError):
    """The file was written by a later version of Odyssey."""


def check_schema(values: Mapping[str, Any], known: int) -> None:
    """Raises LaterSchema where the values are of a later schema than the one that is `known`."""
    schema = values.get("schema", known)
    if not isinstance(schema, int) or schema > known:
        raise LaterSchema(f"schema {schema}, and this version knows {known}")


def from_values(kind: type[Kind], values: Mapping[str, Any]) -> tuple[Kind, list[str]]:
    """A dataclass from a mapping, and the dotted keys of the values that were not understood.

    What is missing or odd gets its default. Types of fields may be str, int, float, bool, Any,
    Literal, `X | None`, list[X], dict[str, X] and dataclasses of these. An item of a list or of
    a dict that is odd is left out.
    """
    odd: list[str] = []
    return _read(kind, values, "", odd), odd


def to_values(value: Any) -> Any:
    """As JSON has it: dataclasses as mappings, and numbers that are not finite as their names."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {k: to_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_values(v) for v in value]
    return {name: to_values(getattr(value, name)) for name, *_ in _readers(value.__class__)}


def to_text(value: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(to_values(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_float(value: Any, *, strict: bool = False) -> float:
    """A number of a JSON file or of W&B, which have nan and inf by their names.

    strict: whether to raise TypeError or ValueError for what is none; otherwise that is nan.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError(value)
        if isinstance(value, str) and value.lower().lstrip("+-") not in ("nan", "inf", "infinity"):
            raise ValueError(value)
        return float(value)
    except (TypeError, ValueError, OverflowError):
        if strict:
            raise
        return math.nan


# A function that makes a value of JSON one of the type that a dataclass has for it. It gets the
# value, its key for `odd`, and `odd`; it raises TypeError, ValueError or OverflowError.
_Reader = Callable[[Any, str, list[str]], Any]
_Field = tuple[str, type | None, bool, _Reader]


def _read(kind: type[Kind], values: Mapping[str, Any], before: str, odd: list[str]) -> Kind:
    """A dataclass from a mapping. before: the key of the mapping itself, with a dot."""
    found = {}
    dataclass: Any = kind  # mypy takes no type variable for hashable
    fields: tuple[_Field, ...] = _readers(dataclass)
    for name, exact, optional, reader in fields:
        if name in values:
            value = values[name]
            if value.__class__ is exact or (optional and value is None):  # most of them
                found[name] = value
                continue
            try:
                found[name] = reader(value, f"{before}{name}", odd)
            except (TypeError, ValueError, OverflowError):
                odd.append(f"{before}{name}")
    return kind(**found)


@cache
def _readers(kind: Any) -> tuple[_Field, ...]:
    """The fields of a dataclass that are read, made once: a study has thousands of records.

    Of each its name, the type whose values are taken as they are, whether None is too, and what
    reads any other value.
    """
    found = []
    for name, hint in get_type_hints(kind).items():
        optional = get_origin(hint) in (Union, types.UnionType)
        inner = get_args(hint)[0] if optional else hint
        exact = inner if inner in (str, float, bool) else None
        if name != ODD:
            found.append((name, exact, optional, _reader(inner)))
    return tuple(found)


def _reader(hint: Any) -> _Reader:
    """What reads a value of the type `hint`."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value, name, odd: value
    if origin is Literal:
        return lambda value, name, odd: args[args.index(value)]
    if origin is dict:
        return _dict_reader(_reader(args[1]))
    if origin is list:
        return _list_reader(_reader(args[0]))
    if hint is float:
        return lambda value, name, odd: as_float(value, strict=True)
    if hint in (int, str, bool):
        return lambda value, name, odd: _of_type(hint, value)
    return lambda value, name, odd: _read(hint, _mapping(value), f"{name}.", odd)


def _dict_reader(inner: _Reader) -> _Reader:
    """What reads each value of a mapping by `inner`, and leaves out those that are odd."""

    def read(value: Any, name: str, odd: list[str]) -> dict[str, Any]:
        found = {}
        for key, item in _mapping(value).items():
            try:
                found[str(key)] = inner(item, f"{name}.{key}", odd)
            except (TypeError, ValueError, OverflowError):
                odd.append(f"{name}.{key}")
        return found

    return read


def _list_reader(inner: _Reader) -> _Reader:
    """What reads each item of a list by `inner`, and leaves out those that are odd."""

    def read(value: Any, name: str, odd: list[str]) -> list[Any]:
        found = []
        for number, item in enumerate(_of_type(list, value)):
            try:
                found.append(inner(item, f"{name}.{number}", odd))
            except (TypeError, ValueError, OverflowError):
                odd.append(f"{name}.{number}")
        return found

    return read


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, (dict, Mapping)):
        raise TypeError(value)
    return value


def _of_type(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        raise OverflowError(value)
    return value
