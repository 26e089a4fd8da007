"""Coordinates: as the search drew the values, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import random_kit
from odyssey.errors import UserError
from odyssey.report.fanova.axes import Axis, axis_from_description, axis_from_values
from odyssey.report.fanova.curves import axis_values
from odyssey.study.search_space import Parameter, parse_space

SPACE: dict[str, Any] = {
    "optimizer.lr": {"distribution": "log_uniform", "low": 1e-6, "high": 1e-2},
    "model.hidden_size": {"distribution": "log_uniform", "low": 20, "high": 200, "integer": True},
    "optimizer.momentum": {"distribution": "one_minus_log_uniform", "low": 0.01, "high": 1},
    "task.input_noise": {"distribution": "uniform", "low": 0, "high": 1},
    "model.num_layers": {"distribution": "uniform", "low": 1, "high": 3, "integer": True},
    "optimizer.kind": {"distribution": "choice", "values": ["sgd", "adam", None]},
    "clip,clip.threshold": {"distribution": "choice", "values": [["none", None], ["norm", 1.0]]},
}
PARAMETERS = {p.name: p for p in parse_space(SPACE)}


@pytest.mark.parametrize("name", SPACE)
def test_what_a_study_draws_is_uniform_on_its_axis(name: str) -> None:
    parameter: Parameter = PARAMETERS[name]
    axis = axis_from_description(name, parameter.describe())
    rng = random_kit.dice()
    points = [
        dict(zip(parameter.keys, parameter.at(rng.random()), strict=True)) for _ in range(25000)
    ]
    u = axis.to_unit([axis.value_in(point) for point in points])
    # What follows is missed by chance less than once in 200,000.
    if axis.discrete:
        shares = np.unique(u, return_counts=True)[1] / len(u)
        places = np.unique(u)
        edges = axis.snap((places[:-1] + places[1:]) / 2)
        assert len(places) == axis.size
        assert shares == pytest.approx(np.diff([0, *edges, 1]), abs=0.015)
    else:
        assert u.min() >= -1e-6 and u.max() <= 1 + 1e-6
        quantiles = np.quantile(u, np.arange(1, 10) / 10)
        assert quantiles == pytest.approx(np.arange(1, 10) / 10, abs=0.02)
    found = axis.from_unit(u)
    if axis.kind == "choice":
        assert found == [axis.value_in(point) for point in points]
    else:
        assert found == pytest.approx([axis.value_in(point) for point in points], rel=1e-9)


@pytest.mark.parametrize("name", [n for n in SPACE if "values" not in SPACE[n]])
def test_coordinates_grow_with_the_value(name: str) -> None:
    axis = axis_from_description(name, SPACE[name])
    values = axis.from_unit(np.linspace(0, 1, 41))
    assert values == sorted(values)
    assert (np.diff(axis.to_unit(sorted(set(values)))) > 0).all()
    low, high = axis.low, axis.high
    ends = (1 - high, 1 - low) if axis.kind == "one_minus_log" else (low, high)
    assert (values[0], values[-1]) == pytest.approx(ends)


def test_the_middle_of_a_log_axis() -> None:
    lr = axis_from_description("optimizer.lr", SPACE["optimizer.lr"])
    assert lr.to_unit([1e-6, 1e-4, 1e-2, 1e-8, 1]) == pytest.approx([0, 0.5, 1, -0.5, 1.5])
    assert lr.from_unit(0.25) == pytest.approx([1e-5])
    momentum = axis_from_description("optimizer.momentum", SPACE["optimizer.momentum"])
    assert momentum.to_unit([0, 0.9, 0.99]) == pytest.approx([0, 0.5, 1])


def test_a_split_between_two_whole_numbers_sends_each_to_its_side() -> None:
    axis = Axis("n", "linear", 1, 4, integer=True)
    assert axis.to_unit([1, 2, 3, 4]) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    # A threshold half way from 1 to 4 is between 2 and 3; one just at 3's middle takes 3 along.
    assert axis.snap(np.array([0.5, 0.6, 0.625, 0.9, -3, 7])).tolist() == [0.5, 0.5, 0.75, 1, 0, 1]
    rough = random_kit.rng().random(1000)
    size = Axis("n", "log", 7, 701, integer=True)
    middles = size.to_unit(range(7, 702)).astype(np.float32)  # as trees compare
    below = [(middles <= t).sum() for t in rough]
    expected = [math.log((7 + k) / 7) / math.log(702 / 7) for k in below]
    assert size.snap(rough) == pytest.approx(expected)


def test_what_an_axis_cannot_hold_is_nan() -> None:
    bad = [None, "0.1", True, math.nan, math.inf, 0, -1, [1], 10**400]
    assert np.isnan(Axis("lr", "log", 1e-6, 1e-2).to_unit(bad)).all()
    assert np.isnan(Axis("m", "one_minus_log", 0.01, 1).to_unit([1.0, 2, "a"])).all()
    choice = Axis("c", "choice", choices=(1, "1", None, True, ("a", 2)))
    u = choice.to_unit([1, 1.0, "1", None, True, ["a", 2.0], False, 2, "None"])
    assert u[:6] == pytest.approx([0.1, 0.1, 0.3, 0.5, 0.7, 0.9])
    assert np.isnan(u[6:]).all()
    assert Axis("lr", "linear", 0, 1).to_unit([]).shape == (0,)


def test_values_of_keys_that_belong_together() -> None:
    axis = axis_from_description("clip,clip.threshold", SPACE["clip,clip.threshold"])
    assert axis.value_in({"clip": "norm", "clip.threshold": 1.0, "x": 1}) == ("norm", 1.0)
    assert axis.value_in({"clip,clip.threshold": ["none", None]}) == ["none", None]
    assert axis.to_unit([["none", None], ("norm", 1)]).tolist() == [0.25, 0.75]
    assert math.isnan(Axis("lr", "log", 1, 2).value_in({}))


def test_axes_of_values_alone() -> None:
    def kind(*values: Any) -> str:
        return axis_from_values("x", values).kind

    assert kind(1e-4, 1e-2) == kind(10, 1, 1000) == "log"
    assert kind(1, 20) == kind(0, 1000) == kind(-1, 100.0) == kind(5) == "linear"
    assert kind("a", "b") == kind(True, False) == kind(None, 100) == kind(1, math.nan) == "choice"
    assert kind() == "choice"
    assert axis_from_values("x", [3, 1, 2]) == Axis("x", "linear", 1, 3, integer=True)
    assert axis_from_values("x", np.array([1, 3])).integer
    assert not axis_from_values("x", [3, 1.5]).integer
    found = axis_from_values("x", ["b", None, "a", "b", None])
    assert found.choices == ("b", None, "a")
    pairs = [["norm", 1], ["none", None], ("norm", 1.0)]
    assert axis_from_values("x", pairs).choices == (("norm", 1), ("none", None))


def test_values_to_draw_at() -> None:
    assert axis_values(Axis("n", "log", 1, 7, integer=True)) == (1, 2, 3, 4, 5, 6, 7)
    assert axis_values(Axis("c", "choice", choices=("b", "a"))) == ("b", "a")
    many = axis_values(Axis("n", "log", 20, 2000, integer=True))
    assert many[0] == 20 and many[-1] == 2000 and len(many) == len(set(many)) <= 50
    assert all(isinstance(v, int) for v in many)
    lr = axis_values(Axis("lr", "log", 1e-6, 1e-2))
    assert len(lr) == 50 and np.allclose(np.diff(np.log(lr)), math.log(1e4) / 49)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"distribution": "normal"}, "distribution=normal"),
        ({}, "distribution=None"),
        ({"distribution": "uniform", "low": 2, "high": 1}, "low=2 and high=1"),
        ({"distribution": "log_uniform", "low": 0, "high": 1}, "above 0"),
        ({"distribution": "log_uniform", "low": "1e-3", "high": 1}, "low=1e-3"),
        ({"distribution": "uniform", "low": 1}, "high=None"),
        ({"distribution": "choice"}, "values=None"),
        ({"distribution": "choice", "values": "ab"}, "values=ab"),
        ({"distribution": "choice", "values": []}, "values=[]"),
    ],
)
def test_a_plan_edited_by_hand(description: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        axis_from_description("optimizer.lr", description)
    assert said in str(error.value) and "optimizer.lr" in str(error.value)
    assert "type" in str(error.value)
