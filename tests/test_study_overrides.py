"""Hydra's override language: the words that are written, and the sweeps that are read."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import random_kit
from odyssey.study.overrides import word
from odyssey.study.search_space import Parameter, from_override, parse_space

ODD = "ab01 .,:;=()[]{}'\"\\\\$%*@?|/+-_~!#&<>^`\téß\n"
TRAPS = (
    ["", "null", "Null", "true", "FALSE", "inf", "NaN", "1", "1e3", "-1.5", ".5", "1_000", " ", "-"]
    + [
        "a,b",
        "a b",
        " a",
        "a ",
        "it's",
        'say "x"',
        "'",
        '"',
        "\\",
        "\\'",
        "a\\\\",
        "\\\\'b\\",
        "${",
    ]
    + ["[a]", "{a:1}", "choice(a,b)", "a=b", "data/x.txt", "a.b", "inf.", "null/x", "e1", "é", "."]
    + ["--", "a-", "\"'\\\"'\\", "x\\,y", "0x1", "+1", "task@here", "~a", "true.", "1a", "a\nb"]
)


def read(*words: str) -> tuple[Any, ...]:
    """The values that Hydra reads in overrides."""
    return tuple(o.value() for o in OverridesParser.create().parse_overrides(list(words)))


def one(distribution: Any, key: str = "optimizer.lr") -> Parameter:
    (parameter,) = parse_space({key: distribution})
    return parameter


def same(a: Any, b: Any) -> bool:
    """Equal and of the same types: 1, 1.0 and True are three things."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def some_text(rng: random.Random) -> str:
    return "".join(rng.choice(ODD) for _ in range(rng.randrange(9)))


def some_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(7 if depth < 2 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, rng.randrange(-(10**12), 10**12)])
    if kind == 2:
        return rng.choice([0.0, 1.0, -2.5, 1e22, 5e-324]) if rng.random() < 0.3 else rng.gauss(0, 1)
    if kind == 3:
        return rng.choice([-1, 1]) * 10 ** rng.uniform(-300, 300)
    if kind < 6:
        return some_text(rng)
    return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]


def test_words_are_read_back_as_the_same_values() -> None:
    rng = random_kit.dice()
    values = [*TRAPS, *(some_value(rng) for _ in range(3000)), [], TRAPS]
    for value, found in zip(values, read(*(word("a.b", v) for v in values)), strict=True):
        assert same(found, value), (value, word("a.b", value), found)


def test_words_are_as_plain_as_they_can_be() -> None:
    values = [None, True, 3, 3.0, 1e-5, "lstm", "data/x.txt", "true", "a,b", "1", ["a", None, 2]]
    words = [word("k", v).removeprefix("k=") for v in values]
    assert words[:7] == ["null", "true", "3", "3.0", "1e-05", "lstm", "data/x.txt"]
    assert words[7:] == ["'true'", "'a,b'", "'1'", "[a,null,2]"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("interval(0, 1)", {"distribution": "uniform", "low": 0.0, "high": 1.0}),
        (
            "tag(log, interval(1e-4, 1))",
            {"distribution": "log_uniform", "low": 1e-4, "high": 1.0},
        ),
        (
            "int(tag(log, interval(20, 200)))",
            {"distribution": "log_uniform", "low": 20, "high": 200, "integer": True},
        ),
        (
            "tag(search, one_minus_log, interval(0.01, 1))",
            {"distribution": "one_minus_log_uniform", "low": 0.01, "high": 1.0},
        ),
        (
            "tag(search, choice(a, 'null', 2))",
            {"distribution": "choice", "values": ["a", "null", 2]},
        ),
        (
            "tag(search, choice([a, null], [b, 1]))",
            {"distribution": "choice", "values": [["a", None], ["b", 1]]},
        ),
        (
            "tag(search, range(1, 5))",
            {"distribution": "uniform", "low": 1, "high": 4, "integer": True},
        ),
        ("tag(search, range(0, 10, 5))", {"distribution": "choice", "values": [0, 5]}),
        ("tag(search, range(0, 1, 0.5))", {"distribution": "choice", "values": [0.0, 0.5]}),
    ],
)
def test_hydras_own_words_are_searched_on_the_command_line_and_in_yaml(
    typed: str, meant: dict[str, Any]
) -> None:
    found = from_override("optimizer.lr", read(f"optimizer.lr={typed}")[0])
    assert found == one(typed) == one(meant)
    assert found is not None and same(found.describe(), meant)


def test_a_list_in_the_space_needs_no_tag() -> None:
    meant = one({"distribution": "choice", "values": ["a", "null", None]})
    assert one("a,'null',null") == meant
    assert one("choice(a, b)") == one({"distribution": "choice", "values": ["a", "b"]})
    pair = {"distribution": "choice", "values": [["norm", 1], ["none", None]]}
    assert one("[norm,1],[none,null]", "a,b") == one(pair, "a,b")


@pytest.mark.parametrize("typed", ["lstm", "1", "null", "rnn,gru", "choice(1,2)", "range(3)", "*"])
def test_other_values_are_not_searched(typed: str) -> None:
    assert from_override("cell", read(f"cell={typed}")[0]) is None
