"""One wrong thing in a space or comparison: one sentence that names it and says what to type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from odyssey.errors import UserError
from odyssey.study.search_space import from_override, parse_compared, parse_space

KINDS = "choice, log_uniform, one_minus_log_uniform, uniform"


def uniform(low: Any = 0, high: Any = 1, **more: Any) -> dict[str, Any]:
    return {"distribution": "uniform", "low": low, "high": high, **more}


def log(low: Any = 0.1, high: Any = 1, **more: Any) -> dict[str, Any]:
    return {"distribution": "log_uniform", "low": low, "high": high, **more}


def greff(low: Any = 0.1, high: Any = 1, **more: Any) -> dict[str, Any]:
    return {"distribution": "one_minus_log_uniform", "low": low, "high": high, **more}


def choice(*values: Any, **more: Any) -> dict[str, Any]:
    return {"distribution": "choice", "values": list(values), **more}


def messages(call: Callable[[], Any]) -> tuple[str, ...]:
    """What the user is told; each is one sentence that says what to do."""
    with pytest.raises(UserError) as caught:
        call()
    for message in caught.value.messages:
        assert "\n" not in message and re.search(r": (type|add|leave) ", message), message
    return caught.value.messages


# The space, and what the one sentence holds besides hydra.sweeper.space.
ONE = [
    # not a distribution at all
    ({"k": 3}, "k=3 is not a distribution"),
    ({"k": None}, "k=null is not a distribution"),
    ({"k": [0, 1]}, "k=[0,1] is not a distribution"),
    ({"k": "uniform"}, "k=uniform is not a distribution"),
    ({"k": ""}, "k='' is not a distribution"),
    ({"k": {}}, "k is without a distribution", KINDS),
    ({"k": {"low": 0, "high": 1}}, "k is without a distribution", KINDS),
    ({"k": choice(1, foo={"a": 1})}, "which is not a field of choice"),
    ({"k": {"distribution": None, "low": 0, "high": 1}}, "distribution=null, which is unknown"),
    ({"k": {"distribution": "unifrom", "low": 0, "high": 1}}, "did you mean 'uniform'?", KINDS),
    ({"k": {"distribution": "Choice", "values": [1]}}, "did you mean 'choice'?"),
    ({"k": {"distribution": ["uniform"], "low": 0, "high": 1}}, "=[uniform], which is unknown"),
    ({"k": {"distribution": {"a": {}}, "low": 0, "high": 1}}, "which is unknown"),
    # fields
    ({"k": uniform(hihg=2)}, "hihg=2, which is not a field of uniform (did you mean 'high'?)"),
    ({"k": uniform(values=[1])}, "values=[1], which is not a field of uniform", "high, integer"),
    ({"k": choice(1, low=0)}, "low=0, which is not a field of choice", "type one of values"),
    ({"k": greff(integer=True)}, "integer=true, which is not a field of one_minus_log_uniform"),
    ({"k": choice(1, integer=True)}, "integer=true, which is not a field of choice"),
    ({"k": {"distribution": "uniform", "low": 0}}, "k is without high: add high: 1"),
    ({"k": {"distribution": "log_uniform"}}, "k is without low and high: add low: 0.01, high: 1"),
    ({"k": {"distribution": "choice"}}, "k is without values: add values: [a, b]"),
    ({"k": uniform(integer=1)}, "integer=1: type integer: true or false"),
    # W&B's words
    ({"k": {"distribution": "uniform", "min": 0, "high": 1}}, "min=0", "type low in place of min"),
    ({"k": {"distribution": "log_uniform_values", "low": 0.1, "high": 1}}, "distribution: log_uni"),
    ({"k": {"distribution": "int_uniform", "low": 0, "high": 9}}, "uniform with integer: true"),
    ({"k": {"distribution": "categorical", "values": [1]}}, "type distribution: choice"),
    # numbers
    ({"k": uniform("a")}, "low=a, which is not a number"),
    ({"k": uniform("1e-6")}, "low=1e-6, which is not a number: type a number without quotes"),
    ({"k": uniform(None)}, "low=null, which is not a number"),
    ({"k": uniform(high=True)}, "high=true, which is not a number"),
    ({"k": uniform([1])}, "low=[1], which is not a number"),
    ({"k": uniform(high=math.inf)}, "high=inf: type a finite number"),
    ({"k": uniform(math.nan)}, "low=nan: type a finite number"),
    ({"k": uniform(high=10**400)}, "type a finite number"),
    # ranges
    ({"k": uniform(2, 1)}, "upside down, from low=2 to high=1", "type low: 1, high: 2"),
    ({"k": log(1, 0.5)}, "upside down"),
    ({"k": uniform(1, 1.0)}, "low and high equal, 1"),
    ({"k": log(0)}, "low=0", "type a number above 0"),
    ({"k": log(-1)}, "low=-1", "type a number above 0"),
    ({"k": greff(0)}, "low=0", "type a number above 0"),
    ({"k": greff(high=1.5)}, "high=1.5, which makes 1 - x negative"),
    ({"k": uniform(0.5, 3, integer=True)}, "low=0.5", "is not whole", "leave integer out"),
    ({"k": log(1, 2.5, integer=True)}, "high=2.5", "is not whole"),
    # values
    ({"k": choice()}, "k has no values"),
    ({"k": {"distribution": "choice", "values": "ab"}}, "k=ab is not a list"),
    ({"k": {"distribution": "choice", "values": None}}, "k=null is not a list"),
    ({"k": {"distribution": "choice", "values": {"a": 1}}}, "is not a list"),
    ({"k": choice(1, math.inf)}, "the value inf, which is not finite"),
    ({"k": choice([1, math.nan], [1, 2])}, "which is not finite"),
    ({"k": choice(1, {"a": 1})}, "which is not a single value"),
    ({"k": choice("a", 1, "a")}, "k has a twice"),
    ({"k": choice([1, 2], [1, 2])}, "k has [1,2] twice"),
    # pairs
    ({"a,b": uniform()}, "a,b is a pair, of which uniform cannot draw: type distribution: choice"),
    ({"a,b": choice([1, 2], [1])}, "[1] for 2 keys: type a list of 2, as in [a, b]"),
    ({"a,b": choice([1, 2], 3)}, "3 for 2 keys"),
    ({"a,b": choice([1, 2], "ab")}, "ab for 2 keys"),
    ({"a,b": "[1,2],c"}, "c for 2 keys"),
    # keys
    ({"a,b": choice([1, 2]), "b": uniform()}, "b names b, which is named twice"),
    ({"b": uniform(), "a, b": choice([1, 2])}, "a,b names b, which is named twice"),
    ({"a,a": choice([1, 2])}, "a,a names a, which is named twice"),
    ({"s": {"k": uniform()}, "s.k": uniform()}, "s.k names s.k, which is named twice"),
    ({"a,": choice([1, 2])}, "has an empty key"),
    ({"": uniform()}, "has an empty key"),
    ({"s": {"": uniform()}}, "has an empty key"),
    # in sections
    ({"s": {"k": uniform(2, 1), "l": uniform()}}, "space.s.k is upside down"),
    ({"s": {"t": {"k": uniform(2, 1)}}}, "space.s.t.k is upside down"),
    ({"s": {"k": "interval(2,1)"}}, "space.s.k is upside down"),
    # Hydra's words
    ({"k": "interval(0, 1"}, "k=interval(0, 1 is not readable"),
    ({"k": "interval(0)"}, "is not readable"),
    ({"k": "uniform(0, 1)"}, "k=uniform(0, 1) is not readable"),
    ({"k": "interval(0, inf)"}, "high=inf: type a finite number"),
    ({"k": "interval(1, 1)"}, "low and high equal, 1"),
    ({"k": "tag(log, interval(0, 1))"}, "low=0", "type a number above 0"),
    ({"k": "tag(lgo, interval(1, 2))"}, "k=interval(1,2) has the unknown tag lgo", "mean 'log'?"),
    ({"k": "tag(log, one_minus_log, interval(0.1,1))"}, "tags log and one_minus_log: type one of"),
    ({"k": "tag(log, choice(1,2))"}, "k=choice(1,2) has the tag log, which is for interval()"),
    ({"k": "tag(serach, choice(1,2))"}, "unknown tag serach (did you mean 'search'?)"),
    ({"k": "tag(log, range(1,3))"}, "k=range(1,3) has the tag log, which is for interval()"),
    ({"k": "range(0, 1, 0)"}, "has steps of 0"),
    ({"k": "range(0, 1000000)"}, "has more than 10000 values"),
    ({"k": "range(0, inf)"}, "has no end"),
    ({"k": "range(nan, 1)"}, "has no end"),
    ({"k": "range(3, 1)"}, "k has no values"),
]


@pytest.mark.parametrize("case", ONE, ids=lambda case: str(case[0])[:60])
def test_one_mistake_in_the_space_is_one_sentence(case: tuple[Any, ...]) -> None:
    space, *held = case
    found = messages(lambda: parse_space({"good": uniform(), **space}))
    for words in held:
        assert any(words in message for message in found), found
    assert all(message.startswith("hydra.sweeper.space.") for message in found)
    assert len(found) == 1


def test_all_mistakes_are_said_at_once() -> None:
    found = messages(
        lambda: parse_space(
            {
                "a": uniform(2, 1, foo=3),
                "b": {"distribution": "unifrom", "low": math.nan, "high": 1},
                "c": choice(),
                "s": {"d": greff(0, 2), "e": uniform()},
                "f,g": log(0, 1),
            }
        )
    )
    assert [re.match(r"hydra\.sweeper\.space\.(\S+)", m)[1] for m in found] == (  # type: ignore
        ["a", "a", "b", "b", "c", "s.d", "s.d", "f,g", "f,g"]
    )


def test_wandbs_words_are_not_said_to_be_lacking_too() -> None:
    spec = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1}
    found = messages(lambda: parse_space({"k": spec}))
    assert [m.rpartition(": type ")[2] for m in found] == [
        "distribution: log_uniform",
        "low in place of min",
        "high in place of max",
    ]


@pytest.mark.parametrize("raw", [[], "lr", 3, True])
def test_a_space_or_comparison_is_a_mapping(raw: Any) -> None:
    for option, parse in ("space", parse_space), ("compare", parse_compared):
        (message,) = messages(lambda parse=parse: parse(raw))  # type: ignore[misc]
        assert message.startswith(f"hydra.sweeper.{option}={raw} is not a mapping")


@pytest.mark.parametrize(
    ("compare", "held"),
    [
        ({"cell": []}, "cell has no values"),
        ({"cell": ""}, "cell='' is not a list"),
        ({"cell": ["rnn", "gru", "rnn"]}, "cell has rnn twice: type each value once"),
        ({"cell": "rnn,rnn"}, "cell has rnn twice"),
        ({"a,b": [[1, 2], [3]]}, "a,b has [3] for 2 keys: type a list of 2"),
        ({"a,b": ["ab", [1, 2]]}, "a,b has ab for 2 keys"),
        ({"a,b": 3}, "a,b has 3 for 2 keys"),
        ({"a": [1], "b,a": [[1, 2]]}, "b,a names a, which is named twice"),
        ({"s": {"a": []}}, "compare.s.a has no values"),
        ({"a": [math.inf]}, "which is not finite"),
        ({"a": [{"b": 1}]}, "which is not a single value"),
        ({"a": "interval(0,1)"}, "a is an interval, which has no end of values"),
        ({"a": "rnn,(gru"}, "a=rnn,(gru is not readable"),
        ({"a": {}}, "is not a list"),
    ],
)
def test_one_mistake_in_what_is_compared_is_one_sentence(
    compare: dict[str, Any], held: str
) -> None:
    (message,) = messages(lambda: parse_compared({"good": [1], **compare}))
    assert message.startswith("hydra.sweeper.compare.") and held in message


@pytest.mark.parametrize(
    ("typed", "held"),
    [
        ("interval(2,1)", "optimizer.lr is upside down, from low=2 to high=1"),
        ("tag(log,interval(0,1))", "optimizer.lr has low=0"),
        ("tag(lgo,interval(0,1))", "optimizer.lr=interval(0,1) has the unknown tag lgo"),
        ("tag(log,search,choice(1,2))", "optimizer.lr=choice(1,2) has the tag log"),
        ("tag(foo,choice(1,2))", "optimizer.lr=choice(1,2) has the unknown tag foo"),
        ("tag(search,choice(1,1))", "optimizer.lr has 1 twice"),
        ("tag(search,range(1,1))", "optimizer.lr has no values"),
    ],
)
def test_a_mistake_on_the_command_line_names_its_key(typed: str, held: str) -> None:
    value = OverridesParser.create().parse_overrides([f"optimizer.lr={typed}"])[0].value()
    (message,) = messages(lambda: from_override("optimizer.lr", value))
    assert message.startswith(held)
