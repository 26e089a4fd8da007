"""The searched and compared parameters: what is read, what is drawn, and the words that set it."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from omegaconf import OmegaConf

import random_kit
from odyssey.config import keys, sources
from odyssey.study.search_space import Parameter, parse_compared, parse_space

GRID = [i / 4096 for i in range(4096)] + [1 - 2**-53]  # numbers from 0 to below 1


def one(distribution: Any, key: str = "optimizer.lr") -> Parameter:
    (parameter,) = parse_space({key: distribution})
    return parameter


def numbers(**fields: Any) -> list[Any]:
    """The values at the numbers of GRID."""
    return [v for u in GRID for v in one(fields).at(u)]


def test_uniform() -> None:
    found = numbers(distribution="uniform", low=-1, high=3)
    assert all(isinstance(v, float) for v in found)
    assert found[0] == -1.0 and found[1024] == 0.0 and found[2048] == 1.0
    assert math.copysign(1, found[1024]) == 1
    assert found == sorted(found) and max(found) == 3.0


def test_uniform_whole_numbers_are_equally_likely_with_both_ends() -> None:
    found = numbers(distribution="uniform", low=-2, high=5.0, integer=True)
    assert all(type(v) is int for v in found)
    assert {v: found[:-1].count(v) for v in found} == dict.fromkeys(range(-2, 6), 512)
    assert found[-1] == 5
    large = one({"distribution": "uniform", "low": 0, "high": 10**30, "integer": True})
    assert large.at(0.0) == (0,) and large.at(1 - 2**-53) <= (10**30,)


def test_log_uniform() -> None:
    found = numbers(distribution="log_uniform", low=1e-6, high=1e-2)
    assert found[0] == 1e-6 and found[2048] == 1e-4 and max(found) <= 1e-2
    decades = [sum(10**k <= v < 10 ** (k + 1) for v in found[:-1]) for k in (-6, -5, -4, -3)]
    assert all(abs(n - 1024) <= 2 for n in decades)  # the ends of a decade are rounded


def test_log_uniform_whole_numbers_are_cut_from_the_log_uniform_up_to_the_next() -> None:
    found = numbers(distribution="log_uniform", low=20, high=200, integer=True)
    assert all(type(v) is int for v in found) and found[0] == 20 and found[-1] == 200
    span = math.log(201 / 20)
    for n in (20, 21, 60, 199, 200):
        assert abs(found.count(n) - 4096 * math.log((n + 1) / n) / span) <= 1.5, n
    ones = numbers(distribution="log_uniform", low=1, high=2, integer=True)
    assert abs(ones.count(1) / len(ones) - math.log(2) / math.log(3)) < 1e-3


def test_one_minus_log_uniform_is_greffs_momentum() -> None:
    found = numbers(distribution="one_minus_log_uniform", low=0.01, high=1)
    assert found[0] == 0.99 and found[2048] == 0.9 and 0 <= min(found) < 0.002
    assert found == sorted(found, reverse=True)
    close = numbers(distribution="one_minus_log_uniform", low=1e-9, high=1e-3)
    assert max(close) == 0.999999999 and len(set(close)) > 4000  # not all rounded to 1


def test_choice() -> None:
    found = numbers(distribution="choice", values=["rnn", None, 1, 1.0])
    assert {(v, type(v)): 0 for v in found}.keys() == {(v, type(v)) for v in ("rnn", None, 1, 1.0)}
    assert [found[:-1].count("rnn"), found[:-1].count(None)] == [1024, 1024]


def test_paired_values_go_together() -> None:
    pair = one(
        {"distribution": "choice", "values": [["norm", 1], ["none", None]]}, "clip,clip.threshold"
    )
    assert pair.keys == ("clip", "clip.threshold") and pair.name == "clip,clip.threshold"
    assert pair.words(0.0) == ("clip=norm", "clip.threshold=1")
    assert pair.words(0.5) == ("clip=none", "clip.threshold=null")


def test_real_numbers_have_six_digits_and_stay_in_their_range() -> None:
    rng = random_kit.dice()
    for _ in range(300):
        low, high = sorted(10 ** rng.uniform(-12, 12) for _ in range(2))
        for kind in ("uniform", "log_uniform"):
            parameter = one({"distribution": kind, "low": low, "high": high})
            for u in (0.0, rng.random(), rng.random(), 1 - 2**-53):
                (value,) = parameter.at(u)
                assert low <= value <= high
                assert value in (low, high) or value == float(f"{value:.6g}")
                assert parameter.words(u) == (f"optimizer.lr={value!r}",)
    with pytest.raises(ValueError):
        one({"distribution": "uniform", "low": 0, "high": 1}).at(1.0)


SPACE = {
    "model.hidden_size": {"distribution": "log_uniform", "low": 20, "high": 200, "integer": True},
    "seed": {"distribution": "uniform", "low": 0, "high": 9, "integer": True},
    "optimizer": {
        "lr": {"distribution": "log_uniform", "low": 1e-6, "high": 1e-2, "integer": False},
        "momentum": {"distribution": "one_minus_log_uniform", "low": 0.01, "high": 1},
        "beta1, beta2": {"distribution": "choice", "values": [[0.9, 0.999], [0.5, 0.9]]},
    },
    "task": {"input_noise": "interval(0, 1)"},
    "task.split": {"distribution": "choice", "values": [[0.8, 0.1], [0.9, 0.05]]},
    "bptt.length": {"distribution": "choice", "values": [25, None, "x, y", True, 1, 1.5]},
}


def test_sections_and_dotted_keys_are_the_same() -> None:
    assert [p.name for p in parse_space(SPACE)] == [
        "model.hidden_size",
        "seed",
        "optimizer.lr",
        "optimizer.momentum",
        "optimizer.beta1,optimizer.beta2",
        "task.input_noise",
        "task.split",
        "bptt.length",
    ]
    assert parse_space({}) == parse_space(None) == []


def test_a_description_gives_the_same_parameter() -> None:
    for parameter in parse_space(SPACE):
        again = one(parameter.describe(), parameter.name)
        assert again == parameter and repr(again.describe()) == repr(parameter.describe())
        assert [again.words(u) for u in GRID[::100]] == [parameter.words(u) for u in GRID[::100]]
        assert hash(again) == hash(parameter)


def test_compared_values() -> None:
    found = parse_compared(
        {
            "cell": ["rnn", "gru"],
            "cell.init, model.hidden_size": [["lstm", 100], ["gru", 120]],
            "bptt": {"length": [25, None]},
            "clip": "norm, none",
            "seed": "range(0, 2)",
            "task": "charlm",
            "device": None,
            "study": ["true", "a,b"],
            "task.split": [[0.9, 0.1]],
            "a,b": "[x,1],['2',null]",
        }
    )
    assert found == {
        "cell": [("cell=rnn",), ("cell=gru",)],
        "cell.init,model.hidden_size": [
            ("cell.init=lstm", "model.hidden_size=100"),
            ("cell.init=gru", "model.hidden_size=120"),
        ],
        "bptt.length": [("bptt.length=25",), ("bptt.length=null",)],
        "clip": [("clip=norm",), ("clip=none",)],
        "seed": [("seed=0",), ("seed=1",)],
        "task": [("task=charlm",)],
        "device": [("device=null",)],
        "study": [("study='true'",), ("study='a,b'",)],
        "task.split": [("task.split=[0.9,0.1]",)],
        "a,b": [("a=x", "b=1"), ("a='2'", "b=null")],
    }
    assert parse_compared({}) == parse_compared(None) == {}


def test_the_sweeps_of_conf_are_spaces_of_keys_that_there_are() -> None:
    for file in sorted((sources.CONF / "sweep").glob("*.yaml")):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "# @package _global_"
        assert lines[1].startswith(f"# python train.py -m sweep={file.stem} ")
        sweeper = OmegaConf.to_container(OmegaConf.load(file).hydra.sweeper)
        assert isinstance(sweeper, dict)
        for parameter in parse_space(sweeper.get("space", {})):
            assert all(keys.known(key) for key in parameter.keys)
        for values in parse_compared(sweeper.get("compare")).values():
            for words in values:
                group, _, name = words[0].partition("=")
                assert group not in keys.GROUPS or name in sources.choices(group)


def test_greffs_search_is_nine_variants_with_the_papers_ranges() -> None:
    file = OmegaConf.load(sources.CONF / "sweep" / "greff.yaml")
    sweeper: Any = OmegaConf.to_container(file.hydra.sweeper)
    assert len(parse_compared(sweeper["compare"])["cell"]) == 9
    ends = [(p.name, p.at(0.0)[0], p.at(1 - 2**-53)[0]) for p in parse_space(sweeper["space"])]
    assert ends == [
        ("model.hidden_size", 20, 200),
        ("optimizer.lr", 1e-6, 1e-2),
        ("optimizer.momentum", 0.99, 0.0),
        ("task.input_noise", 0.0, 1.0),
    ]
    assert sweeper["trials"] == 200


def test_spaces_and_draws_are_read_without_torch_or_hydra() -> None:
    code = """
import sys
from odyssey.study import sampling, search_space
search_space.parse_space({"a": {"distribution": "uniform", "low": 0, "high": 1}})
sampling.uniforms("random", 0, "", 0, ["a"])
heavy = {"torch", "hydra", "omegaconf", "scipy", "numpy"} & set(sys.modules)
sys.exit(" ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
