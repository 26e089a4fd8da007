"""Intervals of shares: the posterior of polynomials, refitted forests, lost trials, calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import anova_kit as kit
import random_kit
from odyssey.report.calibration import importance as calibration
from odyssey.report.fanova.axes import Axis
from odyssey.report.fanova.decomposition import FOREST, POLYNOMIALS, Decomposition, decompose
from odyssey.report.fanova.losses import decompose_with_losses
from odyssey.report.fanova.polynomials import (
    MOST,
    _leave_one_out_r2,
    make_basis,
    make_columns,
    sample_posterior,
)
from odyssey.report.stats.samples import Interval

AXES = [
    Axis("lr", "log", 1e-6, 1e-2),
    Axis("H", "log", 3, 40, integer=True),
    Axis("layers", "linear", 1, 3, integer=True),
    Axis("momentum", "one_minus_log", 0.01, 1),
    Axis("cell", "choice", choices=tuple("abcde")),
]


def fine(axis: Axis, cells: int = 20_000) -> np.ndarray:
    """Coordinates with the axis' distribution: whole numbers and choices at their middles."""
    u = (np.arange(cells) + 0.5) / cells
    return axis.to_unit(axis.from_unit(u)) if axis.discrete else u


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_functions_of_an_axis_are_orthonormal_over_its_distribution(axis: Axis) -> None:
    basis = make_basis(axis)
    values = basis.at(fine(axis))
    assert values.shape[1] == len(basis.degrees) == {"layers": 2, "cell": 4}.get(axis.name, 8)
    assert values.mean(axis=0) == pytest.approx(np.zeros(values.shape[1]), abs=2e-3)
    assert values.T @ values / len(values) == pytest.approx(np.eye(values.shape[1]), abs=2e-2)


def test_many_settings_get_lower_degrees_and_too_many_none() -> None:
    few, many = (make_columns([make_basis(a) for a in kit.cube(n)]) for n in ("abcd", "abcdefgh"))
    assert few is not None and many is not None
    assert len(few.factors) == 4 * 8 + 6 * 15 + 4 * 4
    assert len(few.factors) < len(many.factors) <= MOST
    wide = [make_basis(Axis(n, "choice", choices=tuple(range(300)))) for n in "ab"]
    assert make_columns(wide) is None
    rng = random_kit.rng()
    axes = [Axis(n, "choice", choices=tuple(range(300))) for n in "ab"]
    assert sample_posterior(axes, rng.random((20, 2)), rng.normal(size=20)) is None


def test_leaving_one_out_is_fitting_without_it() -> None:
    rng = random_kit.rng()
    n, columns = 23, 7
    x = rng.normal(size=(n, columns))
    x -= x.mean(axis=0)
    y = x[:, 0] + 0.5 * rng.normal(size=n)
    y -= y.mean()
    variance, noise = rng.uniform(0.1, 2, columns), 0.3
    errors = []
    for i in range(n):
        kept = np.arange(n) != i
        # The constant has a flat prior; a wide one does.
        a = np.column_stack([np.ones(n - 1), x[kept]])
        prior = np.diag(np.concatenate([[1e-12], 1 / variance]))
        beta = np.linalg.solve(a.T @ a / noise + prior, a.T @ y[kept] / noise)
        errors.append(y[i] - np.concatenate([[1.0], x[i]]) @ beta)
    expected = 1 - np.mean(np.square(errors)) / np.var(y)
    assert _leave_one_out_r2(x, y, variance, noise) == pytest.approx(expected, abs=1e-9)


def test_draws_have_the_variance_of_the_function_and_its_curve() -> None:
    rng = random_kit.rng()
    unit = rng.random((150, 2))
    y = 2 * unit[:, 0] + 3 * (unit[:, 0] - 0.5) * (unit[:, 1] - 0.5)
    found = sample_posterior(kit.cube("ab"), unit, (y - y.mean()) / y.std(), draws=60)
    assert found is not None
    variance, parts = found.variances()
    of_a, of_both = 4 / 12, 9 / 144
    assert parts[0,].mean() * y.var() == pytest.approx(of_a, rel=0.01)
    assert parts[0, 1].mean() * y.var() == pytest.approx(of_both, rel=0.02)
    assert variance.mean() * y.var() == pytest.approx(of_a + of_both, rel=0.01)
    u = np.array([0.0, 0.2, 1.0])
    line = (found.mean[:, None] + found.effect((0,), [u])).mean(axis=0) * y.std() + y.mean()
    assert line == pytest.approx(2 * u, abs=0.02)
    plane = found.effect((0, 1), [u, u]).mean(axis=0) * y.std()
    assert plane == pytest.approx(3 * np.outer(u - 0.5, u - 0.5), abs=0.02)


def test_jumps_are_left_to_the_forest_whose_limits_hold_what_it_misses() -> None:
    rng = random_kit.rng()
    unit = rng.random((150, 2))
    y = np.floor(unit[:, 0] * 9) % 2 + 0.3 * rng.normal(size=150)
    d = decompose(kit.cube("ab"), kit.rows(kit.cube("ab"), unit), y.tolist())
    assert d.model == FOREST and 0.3 < d.r2 < 0.9
    share = d.singles["a"]
    assert share.low < share.value * d.r2 < share.value <= share.high
    # What the forest misses may be b's.
    assert d.singles["b"].high >= 1 - d.r2 - 1e-9
    assert d.of_outcome(0.5) == pytest.approx(0.5 * d.r2)
    smooth = kit.of(lambda u: u[:, 0] * u[:, 1], "ab", 60)
    assert smooth.model == POLYNOMIALS


def test_wide_limits_tell_nothing() -> None:
    d = kit.of(lambda u: u[:, 0] + u[:, 1], "abc", 60)
    assert d.told and "cannot tell" not in d.note
    wide = Interval(0.3, 0.1, 0.61)
    assert not replace(d, all_pairs=wide).told
    assert not replace(d, singles=d.singles | {"a": wide}).told
    assert not kit.of(lambda u: u[:, 0], "ab", 4).told
    # Jumps that 50 points show badly: R^2 is below 0.5.
    rough = kit.of(lambda u: np.floor(u[:, 0] * 9) % 2, "ab", 50, noise=0.4)
    assert not rough.told
    assert "cannot tell" in rough.note or "too little" in rough.note


def test_lost_trials_are_apart() -> None:
    rng = random_kit.rng()
    unit = rng.random((200, 3))
    points = kit.rows(kit.cube("abc"), unit)
    y = unit[:, 0] + 0.05 * rng.normal(size=200)
    gone = unit[:, 1] > 0.75
    y[gone] = np.where(unit[gone, 0] > 0.5, math.inf, math.nan)
    d = decompose_with_losses(kit.cube("abc"), points, y.tolist())
    kept = [point for point, lost in zip(points, gone, strict=True) if not lost]
    assert d.n == len(kept)
    assert d.singles == decompose(kit.cube("abc"), kept, y[~gone].tolist()).singles
    assert d.singles["a"].value > 0.9
    assert f"{gone.sum()} of 200 trials were lost" in d.note
    assert d.lost is not None and d.lost.n == 200
    assert d.lost.singles["b"].value > 0.9 > 0.1 > d.lost.singles["a"].value


def test_few_lost_trials_are_counted() -> None:
    unit = random_kit.rng().random((60, 2))
    points = kit.rows(kit.cube("ab"), unit)
    y = unit[:, 0].tolist()
    assert decompose_with_losses(kit.cube("ab"), points, y) == decompose(kit.cube("ab"), points, y)
    d = decompose_with_losses(kit.cube("ab"), points, [math.inf] * 4 + y[4:])
    assert d.lost is None and d.n == 56 and "takes 5 lost" in d.note
    d = decompose_with_losses(kit.cube("ab"), points, [math.nan] * 60)
    assert d.lost is None and d.n == 0 and "60 of 60" in d.note
    with pytest.raises(ValueError, match="60 points"):
        decompose_with_losses(kit.cube("ab"), points, y[1:])


# Calibration


def test_true_shares_are_those_on_paper() -> None:
    additive = calibration.true_shares(calibration.additive)
    assert [additive[j,] for j in range(4)] == pytest.approx(
        [1 / 1.45, 0.36 / 1.45, 0.09 / 1.45, 0], abs=1e-9
    )
    d = 0.06**2  # of (x - 0.5 - 0.06) (y - 0.5 - 0.06): mains d / 12 each, interaction 1 / 144
    product = calibration.true_shares(calibration.product)
    assert product[0, 1] == pytest.approx((1 / 144) / (1 / 144 + 2 * d / 12), abs=2e-3)
    strong = calibration.true_shares(calibration.strong)
    assert strong[0,] == pytest.approx(0.5, abs=1e-3)
    # Of the cliff: lr above 0.7 or not, a slope below it, and H below it alone.
    u = random_kit.rng().random((200_000, 4))
    y = calibration.cliff(u)
    of_both = 0.3**2 / 4 * 0.7 / y.var()  # the part of H given lr, the rest is lr's
    cliff = calibration.true_shares(calibration.cliff)
    assert cliff[0,] == pytest.approx(1 - of_both, abs=0.01)
    assert cliff[1,] + cliff[0, 1] == pytest.approx(of_both, abs=0.01)


def test_the_order_of_main_effects() -> None:
    def told(*shares: float) -> Decomposition:
        names = calibration.NAMES
        found = {n: Interval(v, 0, 1) for n, v in zip(names, shares, strict=True)}
        return Decomposition((), 50, 1.0, 0.9, found, {}, Interval(0, 0, 0))

    true = calibration.true_shares(calibration.additive)
    assert calibration.order_right(told(0.6, 0.3, 0.1, 0.0), true)
    assert not calibration.order_right(told(0.6, 0.1, 0.3, 0.0), true)
    assert not calibration.order_right(told(0.6, 0.3, 0.0, 0.0), true)
    # Both factors of the product matter alike, so that either may come first.
    true = calibration.true_shares(calibration.product)
    assert calibration.order_right(told(0.05, 0.03, 0, 0), true)
    assert calibration.order_right(told(0.03, 0.05, 0, 0), true)


@pytest.mark.slow
def test_rows_of_the_calibration() -> None:
    heard: list[str] = []
    rows = calibration.importance_rows(1, random_kit.seed(), heard.append)
    assert len(rows) == 2 * sum(len(known.watched) for known in calibration.KNOWN)
    assert len(heard) == 2 * len(calibration.KNOWN)
    product = next(r for r in rows if r.function == "product" and r.trials == 200)
    assert product.share == "lr x H" and product.studies == 1 and product.printed == 1
    assert product.mean == pytest.approx(0.92, abs=0.12) and product.coverage in (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["additive", "product", "valley", "strong"])
def test_intervals_hold_the_true_share(name: str) -> None:
    """At 50 trials; 28 of 40 fail by chance less than once in 500,000 at a coverage of .93."""
    known = next(k for k in calibration.KNOWN if k.name == name)
    true = calibration.true_shares(known.function)
    found = [calibration.simulate(known, 50, random_kit.seed(i), trees=16) for i in range(40)]
    for share in known.watched:
        intervals = [calibration._interval(d, share) for d in found]
        assert sum(i.low <= true[share] <= i.high for i in intervals) >= 28
        assert abs(np.mean([i.value for i in intervals]) - true[share]) < 0.05
        assert np.mean([i.high - i.low for i in intervals]) < 0.4
    assert sum(calibration.order_right(d, true) for d in found) >= 30
