"""Shares of variance from points: known decompositions, and what is no input for one."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

import anova_kit as kit
import random_kit
from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.decomposition import Decomposition, decompose


def shares(d: Decomposition) -> list[float]:
    return [v.value for v in (*d.singles.values(), *d.pairs.values(), d.rest)]


def unknown(d: Decomposition) -> bool:
    return all(math.isnan(v) for v in shares(d)) and bool(d.note) and not d.surfaces


def test_an_additive_function() -> None:
    d = kit.of(lambda u: 3 * u[:, 0] + 2 * u[:, 1] - u[:, 2], "abcd", 2500)
    expected = {"a": 9 / 14, "b": 4 / 14, "c": 1 / 14, "d": 0}
    assert {k: v.value for k, v in d.singles.items()} == pytest.approx(expected, abs=0.02)
    assert d.variance == pytest.approx(14 / 12, rel=0.05)
    assert sum(v.value for v in d.pairs.values()) + d.rest.value < 0.04
    assert d.r2 > 0.98 and d.note == "" and d.n == 2500


@pytest.mark.slow
def test_a_product() -> None:
    # Of u v: variance 7/144, of which u and v 1/48 each.
    d = kit.of(lambda u: u[:, 0] * u[:, 1], "ab", 1500)
    assert shares(d) == pytest.approx([3 / 7, 3 / 7, 1 / 7, 0], abs=0.02)
    # Of factors with a mean of zero, all is interaction, if hard for trees: no first split helps.
    d = kit.of(lambda u: np.sign(u[:, 0] - 0.5) * np.sign(u[:, 1] - 0.5), "abc", 5000)
    assert d.pairs["a", "b"].value > 0.95
    d = kit.of(lambda u: np.sign(np.prod(u - 0.5, axis=1)), "abc", 3000)
    assert d.rest.value > 0.9


@pytest.mark.slow
def test_ishigami() -> None:
    # Trees cannot follow sin^2 y to the end with so few points, which costs y part of its share:
    # 0.066, with a standard deviation of 0.007 over the points drawn.
    d = kit.of(kit.ishigami, "abc", 5000)
    assert d.singles["a"].value == pytest.approx(kit.ISHIGAMI["a"], abs=0.03)
    assert d.singles["b"].value == pytest.approx(kit.ISHIGAMI["b"], abs=0.11)
    assert d.singles["c"].value == pytest.approx(0, abs=0.01)
    assert d.pairs["a", "c"].value == pytest.approx(kit.ISHIGAMI["a", "c"], abs=0.03)
    assert d.pairs["a", "b"].value + d.pairs["b", "c"].value + d.rest.value < 0.09
    assert d.variance == pytest.approx(13.845, rel=0.05)


@pytest.mark.slow
def test_a_logarithmic_axis_is_measured_on_its_log_scale() -> None:
    rng = random_kit.rng()
    u = rng.random((1000, 2))
    axes = [Axis("lr", "log", 1e-6, 1e-2), Axis("noise", "linear", 0, 1)]
    y = 3 * np.maximum(0.6 - u[:, 0], 0) + 0.3 * u[:, 1]
    points = kit.rows(axes, u)
    on_log = decompose(axes, points, y)
    of_lr, of_noise = 9 * (0.6**3 / 3 - 0.18**2), 0.09 / 12
    assert on_log.singles["lr"].value == pytest.approx(of_lr / (of_lr + of_noise), abs=0.01)
    # The same points on a linear scale: 97% of it are above 2.5e-4, where lr changes nothing.
    linear = [Axis("lr", "linear", 1e-6, 1e-2), axes[1]]
    assert decompose(linear, points, y).singles["lr"].value < 0.6
    curve = on_log.curves["lr"]
    expected = 3 * np.maximum(0.6 - np.linspace(0, 1, 50), 0) + 0.15
    assert curve.mean == pytest.approx(expected, abs=0.06)


def test_choices() -> None:
    names = ["lstm", "gru", "rnn", "mgu", "jordan"]
    heights = dict(zip(names, [1.0, 5.0, 1.0, 3.0, 0.0], strict=True))
    axes = [Axis("cell", "choice", choices=tuple(names)), Axis("a", "linear", 0, 1)]
    rng = random_kit.rng()
    # Not drawn alike often: the measure is that of the search, not of the sample.
    points = [
        {"cell": str(rng.choice(names, p=[0.5, 0.2, 0.1, 0.1, 0.1])), "a": rng.random()}
        for _ in range(900)
    ]
    y = [heights[p["cell"]] + 2 * p["a"] for p in points]
    d = decompose(axes, points, y)
    of_cell, of_a = np.var(list(heights.values())), 4 / 12
    assert d.singles["cell"].value == pytest.approx(of_cell / (of_cell + of_a), abs=0.01)
    assert d.singles["a"].value == pytest.approx(of_a / (of_cell + of_a), abs=0.01)
    assert d.curves["cell"].x == tuple(names)
    assert d.curves["cell"].mean == pytest.approx([v + 1 for v in heights.values()], abs=0.05)
    surface = d.surface("a", "cell")
    assert surface is not None and surface.y == tuple(names)
    turned = d.surface("cell", "a")
    assert turned is not None and turned == surface.turned()
    for i, x in enumerate(surface.x):
        for j, name in enumerate(names):
            assert surface.mean[i][j] == pytest.approx(heights[name] + 2 * x, abs=0.25)
    assert d.surface("a", "nothing") is None


@pytest.mark.parametrize(("names", "n"), [("ab", 13), ("abc", 101), ("abcde", 199)])
def test_shares_add_up_to_one(names: str, n: int) -> None:
    d = kit.of(lambda u: np.exp(2 * u[:, 0]) + u[:, 0] * u[:, 1] + 2 * u[:, -1] ** 2, names, n)
    assert kit.total(d) == pytest.approx(1, abs=1e-9)
    assert (d.rest.value == 0) == (len(names) == 2)
    for share in (*d.singles.values(), *d.pairs.values(), d.rest):
        assert 0 <= share.low <= share.value <= share.high <= 1 and share.level == 0.95
    assert list(d.singles) == list(names)
    for curve in d.curves.values():
        assert (np.array(curve.low) <= curve.mean).all()
        assert (np.array(curve.mean) <= curve.high).all()


def test_an_irrelevant_parameter_gets_about_nothing() -> None:
    rng = random_kit.rng()
    labels = tuple("abcdefghi")
    axes = [*kit.cube("xy"), Axis("label", "choice", choices=labels)]
    points = [
        {"x": rng.random(), "y": rng.random(), "label": str(rng.choice(labels))} for i in range(600)
    ]
    y = [4 * (p["x"] - 0.3) ** 2 + p["y"] + 0.2 * rng.standard_normal() for p in points]
    d = decompose(axes, points, y)
    assert d.singles["label"].value < 0.01
    assert d.pairs["x", "label"].value + d.pairs["y", "label"].value + d.rest.value < 0.04


@pytest.mark.slow
def test_noise_makes_no_claims() -> None:
    claims = 0
    for seed in range(12):
        d = kit.of(lambda u: 0 * u[:, 0], "abc", [11, 31, 97][seed % 3], seed, noise=1)
        claims += not math.isnan(d.rest.value)
        if math.isnan(d.rest.value):
            assert unknown(d) and "noise" in d.note and not d.curves
            assert d.r2 < 0.6
    assert claims <= 1
    d = kit.of(lambda u: u[:, 0], "ab", 400, noise=0.5)
    assert d.singles["a"].value > 0.7 and "rough" in d.note and 0.05 < d.r2 < 0.5


def test_a_few_extreme_outcomes_are_told() -> None:
    rng = random_kit.rng()
    unit = rng.random((203, 2))
    y = unit[:, 0] + 0.1 * unit[:, 1]
    points = kit.rows(kit.cube("ab"), unit)
    assert decompose(kit.cube("ab"), points, y).note == ""
    near = np.argsort(unit[:, 1])[-2:]
    y[near] += 50
    assert "extreme 2 of 203 configurations hold 99%" in decompose(kit.cube("ab"), points, y).note


@pytest.mark.slow
def test_units_of_the_outcome_do_not_matter() -> None:
    rng = np.random.default_rng(3)  # fixed: with others rounding may decide between equal splits
    unit = rng.random((150, 3))
    y = kit.ishigami(unit)
    points = kit.rows(kit.cube("abc"), unit)
    d = decompose(kit.cube("abc"), points, y)
    for factor, shift in ((1, 1000), (-1, 0), (1e6, 0), (1e-9, 3e-9), (1e200, 0)):
        other = decompose(kit.cube("abc"), points, y * factor + shift)
        assert shares(other) == pytest.approx(shares(d), abs=1e-6)
        assert other.r2 == pytest.approx(d.r2, abs=1e-6)
        expected = np.array(d.curves["b"].mean) * factor + shift
        assert other.curves["b"].mean == pytest.approx(expected, rel=1e-6)
    assert decompose(kit.cube("abc"), points, y * 1e3).variance == pytest.approx(d.variance * 1e6)


def test_the_same_again() -> None:
    first, second = (kit.of(kit.ishigami, "abc", 97) for _ in range(2))
    assert first == second == pickle.loads(pickle.dumps(first))
    unit = random_kit.rng().random((97, 3))
    told: list[tuple[int, int]] = []
    other = decompose(
        kit.cube("abc"),
        kit.rows(kit.cube("abc"), unit),
        kit.ishigami(unit),
        trees=7,
        seed=1,
        progress=lambda done, of: told.append((done, of)),
    )
    assert told == [(i, 7) for i in range(1, 8)]
    assert shares(other) != shares(first)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_too_few_points(n: int) -> None:
    d = kit.of(kit.ishigami, "abc", n)
    assert unknown(d) and d.n == n and "too few" in d.note
    assert list(d.singles) == list("abc") and len(d.pairs) == 3


def test_nothing_to_explain() -> None:
    d = kit.of(lambda u: 0 * u[:, 0] + 2.3, "ab", 50)
    assert unknown(d) and "outcome does not vary" in d.note
    assert unknown(decompose([], [{}] * 20, range(20)))
    same: list[dict[str, Any]] = [{"a": 0.5, "b": 1.0}] * 20
    assert unknown(decompose(kit.cube("ab"), same, range(20)))


def test_one_parameter_has_a_curve_and_no_shares() -> None:
    d = kit.of(lambda u: u[:, 0], "a", 60)
    assert unknown(d) and "One parameter" in d.note
    assert d.curves["a"].mean == pytest.approx(d.curves["a"].x, abs=0.1)


def test_a_constant_parameter_is_left_out() -> None:
    rng = random_kit.rng()
    points = [{"a": rng.random(), "b": 0.3, "c": rng.random()} for _ in range(200)]
    d = decompose(kit.cube("abc"), points, [p["a"] + p["c"] for p in points])
    assert math.isnan(d.singles["b"].value) and "only one value of b" in d.note
    assert math.isnan(d.pairs["a", "b"].value) and math.isnan(d.pairs["b", "c"].value)
    known = d.singles["a"].value, d.singles["c"].value, d.pairs["a", "c"].value, d.rest.value
    assert sum(known) == pytest.approx(1)
    assert set(d.curves) == {"a", "c"}


def test_points_that_no_axis_holds_are_counted() -> None:
    rng = random_kit.rng()
    axes = [Axis("lr", "log", 1e-4, 1), Axis("kind", "choice", choices=("p", "q", "r"))]
    points: list[dict[str, Any]] = [
        {"lr": 10 ** rng.uniform(-4, 0), "kind": "pq"[i % 2]} for i in range(60)
    ]
    y = [math.log(p["lr"]) + (p["kind"] == "q") for p in points]
    good = decompose(axes, points, y)
    bad = [{"lr": 0, "kind": "p"}, {"lr": "x", "kind": "q"}, {"kind": "p"}, {"lr": 0.1, "kind": 5}]
    bad += [{"lr": 1e300, "kind": "p"}, {"lr": 1.1, "kind": "p"}]
    d = decompose(axes, points + bad, [*y, 1, 2, 3, 4, 5, 6])
    assert shares(d) == shares(good) and d.n == good.n == 60
    assert "6 of 66 points are left out: there lr, kind" in d.note
    assert "No point has kind=r" in good.note and good.curves["kind"].x == ("p", "q")


def test_seeds_of_one_configuration_are_one_point() -> None:
    rng = random_kit.rng()
    grid = [{"a": i / 5, "b": j / 5} for i in range(6) for j in range(6)]
    y = np.array([p["a"] + 2 * p["b"] for p in grid])
    one = decompose(kit.cube("ab"), grid, y)
    noise = rng.normal(size=36)
    # Both seeds' noise cancels in the mean.
    both = decompose(kit.cube("ab"), [*grid, *grid], [*(y + noise), *(y - noise)])
    assert shares(both) == pytest.approx(shares(one), abs=1e-6)
    assert both.n == 72 and "72 points are 36 configurations" in both.note


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_outcome_that_is_not_finite_is_refused(bad: float) -> None:
    points = kit.rows(kit.cube("ab"), random_kit.rng().random((20, 2)))
    with pytest.raises(ValueError, match="not finite"):
        decompose(kit.cube("ab"), points, [*range(19), bad])
    with pytest.raises(ValueError, match="20 points"):
        decompose(kit.cube("ab"), points, range(19))
    with pytest.raises(ValueError, match="one name"):
        decompose(kit.cube("aa"), points, range(20))
